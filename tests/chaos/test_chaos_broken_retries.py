"""What counts against a server, and when it is asked again: broken on purpose, and the scenario turns red."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chaos.chaos_kit import FakeTarget, imagined, scenario
from chaos.quick_kit import SHORT, quick, verdicts
from recloser import errors
from recloser.policies import retry
from recloser.policies.breaker import CircuitBreaker
from recloser.testing.scenario import judge, load_scenario
from recloser.testing.scenario.records import Load
from recloser.testing.scenario.shipped import shipped

pytestmark = pytest.mark.thorough


@pytest.fixture
def all_counts(monkeypatch):
    """Return what lets every failure count against its server, also a tool's own."""

    def break_it():
        make, succeeded = errors.RouterError.__init__, CircuitBreaker._succeeded

        def made(self, payload, *, evidence=None):
            make(self, payload, evidence=True)

        def heard(self, call):
            (self._failed if call.name == "fail" else lambda call: succeeded(self, call))(call)

        monkeypatch.setattr(errors.RouterError, "__init__", made)
        monkeypatch.setattr(CircuitBreaker, "_succeeded", heard)

    return break_it


def impatient(server):
    """Let a rate limit be asked about again at once."""
    return replace(server, retry=replace(server.retry, throttled_backoff=0.01))


@pytest.mark.processes
@pytest.mark.parametrize("fault", ["status_429", "token_expiry"])
def test_a_router_that_counts_a_refusal_against_the_server_is_seen(tmp_path, all_counts, fault):
    told = f'fault = "{fault}"\non = "tools/call"'
    what = quick(tmp_path, '"evidence"', breaker=SHORT, fault=told, tools="{ echo = 1 }")
    good = verdicts(what, change=impatient)
    assert good["evidence"].held, good
    all_counts()
    bad = verdicts(replace(what, rules=("evidence", "5")), change=impatient)
    assert bad["evidence"].state == "broke", bad
    assert bad["5"].state == "broke", bad


@pytest.mark.processes
@pytest.mark.parametrize("tool", ["bad_arguments", "fail"])
def test_a_router_that_counts_a_wrong_call_against_the_server_is_seen(tmp_path, all_counts, tool):
    what = quick(tmp_path, '"evidence"', breaker=SHORT, fault='action = "kill"', until="", tools=f"{{ {tool} = 1 }}")
    what = replace(what, timeline=())
    good = verdicts(what)
    assert good["evidence"].held, good
    all_counts()
    bad = verdicts(what)
    assert bad["evidence"].state == "broke", bad


@pytest.mark.processes
def test_a_router_that_asks_again_before_its_server_wished_is_seen(tmp_path, monkeypatch):
    wish = 'fault = "status_429"\non = "tools/call"\narguments = { retry_after = "1" }'
    what = quick(tmp_path, "6", fault=wish, tools="{ echo = 1 }", timeout=2.5)
    good = verdicts(what, change=impatient)
    assert good["6"].held, good
    monkeypatch.setattr(retry, "backoff", lambda *_: 0.01)
    bad = verdicts(what, change=impatient)
    assert bad["6"].state == "broke", bad
    assert "had asked for 1.00 s" in bad["6"].cases[0]


@pytest.mark.processes
def test_a_router_that_does_not_hear_when_its_server_wishes_to_be_asked_again_is_seen(tmp_path, monkeypatch):
    wish = 'fault = "status_429"\non = "tools/call"\narguments = { retry_after = "1" }'
    what = quick(tmp_path, "6", fault=wish, tools="{ echo = 1 }", timeout=2.5)
    make = errors.RouterError.__init__

    def deaf(self, payload, *, evidence=None):
        make(self, replace(payload, retry_after=None), evidence=evidence)

    monkeypatch.setattr(errors.RouterError, "__init__", deaf)
    bad = verdicts(what, change=impatient)
    assert bad["6"].state == "broke", bad
    assert any("was not heard" in case for case in bad["6"].cases)


@pytest.mark.processes
def test_a_router_that_tries_again_what_cannot_help_is_seen(tmp_path, monkeypatch):
    what = quick(tmp_path, "6", fault='fault = "token_expiry"', tools="{ echo = 1 }")
    good = verdicts(what)
    assert good["6"].held, good
    monkeypatch.setattr(retry._Rules, "_may_pass", lambda self, error: True)
    bad = verdicts(what)
    assert bad["6"].state == "broke", bad
    assert "after unauthenticated" in " ".join(bad["6"].cases)


class Contagious(FakeTarget):
    """Rule 2: a call that is wrong takes the next ones of its server with it."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.lost = 0

    async def call(self, order):
        told = await super().call(order)
        if order.tool == "fail":
            self.lost = 3
        elif self.lost:
            self.lost -= 1
            return self.failure(order, "connection_lost")
        return told


def test_a_wrong_call_that_costs_others_theirs_is_seen():
    what = scenario("2", loads=(Load(name="a", rate=60, tools={"echo": 1, "fail": 1}),))
    (good,) = judge(imagined(what))
    assert good.held, good
    (bad,) = judge(imagined(what, Contagious))
    assert bad.state == "broke", bad


@pytest.mark.parametrize(
    ("name", "rules"),
    [
        ("rate_limit_storm", {"6", "evidence"}),
        ("bad_calls", {"2", "evidence"}),
        ("token_expiry", {"6", "8", "evidence"}),
    ],
)
def test_a_shipped_scenario_names_the_rules_of_what_it_promises(name, rules):
    assert rules <= set(load_scenario(shipped()[name]).rules)
