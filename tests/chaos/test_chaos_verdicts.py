"""Each verdict by a table: what was seen, and whether the rule held, broke, or could not be seen at all."""

from __future__ import annotations

import pytest

from chaos.verdict_table import TABLE as FIRST
from chaos.verdict_table_more import MORE
from recloser.testing.scenario.rules import GOALS, OPEN, RULES
from recloser.testing.scenario.verdicts import JUDGES

TABLE = [*FIRST, *MORE]


@pytest.mark.parametrize(
    ("rule", "state", "run"), TABLE, ids=[f"{rule}-{number}" for number, (rule, _, _) in enumerate(TABLE)]
)
def test_a_verdict_says_what_was_seen(rule, state, run):
    verdict = JUDGES[rule](run)
    assert verdict.state == state, verdict
    assert verdict.evidence
    assert bool(verdict.cases) is (state == "broke")


def test_every_rule_that_exists_has_a_judge_that_can_say_each_of_three_things():
    assert set(JUDGES) == set(RULES) | set(GOALS)
    assert not set(OPEN) & set(JUDGES)
    assert {(rule, state) for rule, state, _ in TABLE} == {
        (rule, state) for rule in JUDGES for state in ("held", "broke", "unseen")
    }
