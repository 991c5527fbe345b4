"""Each verdict by a table: what was seen, and whether the rule held, broke, or could not be seen at all."""

from __future__ import annotations

import pytest

from chaos.chaos_kit import failed, member, sample, scenario, seen, struck
from recloser.options import Retry, Timeouts
from recloser.testing.scenario.observed import (
    Attempt,
    CircuitMark,
    ConnectionMark,
    Executed,
    Lag,
    Listing,
    Run,
)
from recloser.testing.scenario.records import Limits
from recloser.testing.scenario.rules import GOALS, OPEN, RULES
from recloser.testing.scenario.verdicts import JUDGES

WELL = {"server": "well", "label": "w"}
OWN = scenario(fleet="config")


def circuit(at: float, state: str, previous: str = "closed", server: str = "sick") -> CircuitMark:
    return CircuitMark(at=at, server=server, previous=previous, state=state, reason="failures")


def attempt(began: float, took: float = 0.01, code: str | None = None, **facts: object) -> Attempt:
    given = {"server": "sick", "label": "call-1", "number": 1} | facts
    return Attempt(began=began, ended=began + took, code=code, **given)


def many(count: int, began: float, took: float, **facts: object) -> list:
    return [sample(began + 0.01 * index, took, number=index, **facts) for index in range(count)]


FIVE = [attempt(1.0 + 0.1 * index, code="timeout", label=f"f{index}") for index in range(5)]
OPENED = [circuit(1.45, "open")]
GIVEN_UP = [
    sample(0.5, 0.1, outcome="cancelled", cancel_at=0.6, server="well", label=str(number)) for number in range(9)
]
RAN = [Executed(server="well", tool="sleep", label=str(number), at=0.55) for number in range(9)]
MODERN, LEGACY = "2026-07-28", "2025-11-25"


def ready(server: str, version: str | None, at: float = 0.0) -> ConnectionMark:
    return ConnectionMark(at=at, server=server, state="ready", generation=1, version=version)


def connecting(*moments: float, code: str | None = None) -> list[ConnectionMark]:
    return [
        ConnectionMark(at=at, server="sick", state="connecting", generation=index, code=code)
        for index, at in enumerate(moments)
    ]


def spread(moments: list[float]) -> list[ConnectionMark]:
    """Tries to connect, each with its failure."""
    return [
        ConnectionMark(at=at + later, server="sick", state=state, generation=index)
        for index, at in enumerate(moments)
        for later, state in ((0.0, "connecting"), (0.001, "failed"))
    ]


def fleet(**facts: object) -> tuple:
    return (member("sick", **facts), member("well"))


TABLE: list[tuple[str, str, Run]] = [
    # 1: the deadline
    ("1", "unseen", seen()),
    ("1", "held", seen(sample(took=1.04))),
    ("1", "broke", seen(sample(took=1.06))),
    ("1", "held", seen(sample(took=1.3), lags=[Lag(at=1.6, late=0.28, busy=0.28)])),
    ("1", "broke", seen(sample(took=1.4), lags=[Lag(at=1.6, late=0.28, busy=0.0)])),
    ("1", "broke", seen(sample(took=1.3), lags=[Lag(at=0.9, late=0.28, busy=0.0)])),
    ("1", "broke", seen(sample(took=9.0, outcome="hung"))),
    ("1", "unseen", seen(sample(took=9.0, tool="ask"))),
    ("1", "broke", seen(sample(took=9.0, tool="ask"), scenario=OWN)),
    # 2: isolation
    ("2", "unseen", seen(sample(1.5))),
    ("2", "unseen", seen(sample(0.5, **WELL))),
    ("2", "held", seen(sample(1.5, **WELL))),
    ("2", "broke", seen(failed(1.5, **WELL))),
    ("2", "held", seen(failed(1.5, **(WELL | {"tool": "unknown"})), sample(1.5, **WELL))),
    ("2", "broke", seen(failed(1.5, **(WELL | {"tool": "unknown"})), sample(1.5, **WELL), scenario=OWN)),
    ("2", "held", seen(*many(30, 0.1, 0.01, **WELL), *many(30, 1.1, 0.09, **WELL))),
    ("2", "broke", seen(*many(30, 0.1, 0.01, **WELL), *many(30, 1.1, 0.2, **WELL))),
    ("2", "held", seen(*many(30, 0.1, 0.1, **WELL), *many(30, 1.1, 0.29, **WELL))),
    (
        "2",
        "held",
        seen(
            *many(30, 0.1, 0.01, **WELL),
            *many(30, 1.1, 0.2, **WELL),
            lags=[Lag(at=at, late=0.15, busy=0.01) for at in (1.25, 1.4, 1.55)],
        ),
    ),
    (
        "2",
        "broke",
        seen(
            *many(30, 0.1, 0.01, **WELL),
            *many(30, 1.1, 0.2, **WELL),
            lags=[Lag(at=at, late=0.15, busy=0.15) for at in (1.25, 1.4, 1.55)],
        ),
    ),
    ("2", "broke", seen(failed(1.5, tool="echo"), struck=[struck(tool="write")])),
    ("2", "unseen", seen(failed(1.5, tool="write"), struck=[struck(tool="write")])),
    # 3: at most once
    ("3", "unseen", seen(sample(1.5, safe=True), executed=[])),
    ("3", "unseen", seen(sample(0.5, safe=False), executed=[])),
    (
        "3",
        "held",
        seen(sample(1.5, safe=False), executed=[Executed(server="sick", tool="write", label="call-1", at=1.5)]),
    ),
    (
        "3",
        "broke",
        seen(sample(1.5, safe=False), executed=[Executed(server="sick", tool="write", label="call-1", at=1.5)] * 2),
    ),
    (
        "3",
        "held",
        seen(
            sample(1.5, safe=False),
            executed=[Executed(server=name, tool="write", label="call-1", at=1.5) for name in ("sick", "well")],
        ),
    ),
    (
        "3",
        "broke",
        seen(
            failed(1.5, safe=False, delivered="no"),
            executed=[Executed(server="sick", tool="write", label="call-1", at=1.5)],
        ),
    ),
    ("3", "held", seen(sample(1.5, safe=False), attempts=[attempt(1.5, code="overloaded"), attempt(1.6, number=2)])),
    ("3", "broke", seen(sample(1.5, safe=False), attempts=[attempt(1.5, code="timeout"), attempt(1.6, number=2)])),
    ("3", "broke", seen(sample(1.5, safe=False), attempts=[attempt(1.5, code="MCPError"), attempt(1.6, number=2)])),
    ("3", "broke", seen(sample(1.5, safe=False), attempts=[attempt(1.5), attempt(1.6, number=2)])),
    # 4: cancellation
    ("4", "unseen", seen(sample())),
    ("4", "held", seen(sample(0.5, 0.12, outcome="cancelled", cancel_at=0.6))),
    ("4", "broke", seen(sample(0.5, 0.2, outcome="cancelled", cancel_at=0.6))),
    ("4", "broke", seen(sample(0.5, 0.2, outcome="hung", cancel_at=0.6))),
    ("4", "broke", seen(failed(0.5, 0.12, cancel_at=0.6))),
    ("4", "held", seen(failed(0.5, 0.05, cancel_at=0.6), sample(0.5, 0.1, outcome="cancelled", cancel_at=0.6))),
    (
        "4",
        "broke",
        seen(sample(0.5, 0.1, outcome="cancelled", cancel_at=0.6), circuits=[circuit(1.0, "open", server="well")]),
    ),
    ("4", "held", seen(sample(0.5, 0.1, outcome="cancelled", cancel_at=0.6), circuits=OPENED)),
    ("4", "broke", seen(*GIVEN_UP, cancels={"well": 1}, executed=RAN)),
    ("4", "held", seen(*GIVEN_UP, cancels={"well": 8}, executed=RAN)),
    ("4", "held", seen(*GIVEN_UP, cancels={"well": 1}, executed=[])),
    # 5: the circuit
    ("5", "unseen", seen(sample())),
    ("5", "held", seen(sample(), circuits=OPENED, attempts=FIVE)),
    ("5", "broke", seen(sample(), circuits=OPENED, attempts=[*FIVE, attempt(1.6)])),
    ("5", "held", seen(sample(), circuits=OPENED, attempts=[*FIVE, attempt(1.452)])),
    (
        "5",
        "broke",
        seen(
            sample(1.6, label="x"),
            circuits=OPENED,
            attempts=FIVE,
            executed=[Executed(server="sick", tool="echo", label="x", at=1.7)],
        ),
    ),
    (
        "5",
        "held",
        seen(
            sample(1.4, label="x"),
            circuits=OPENED,
            attempts=FIVE,
            executed=[Executed(server="sick", tool="echo", label="x", at=1.7)],
        ),
    ),
    ("5", "broke", seen(sample(), circuits=OPENED, attempts=FIVE[:2])),
    (
        "5",
        "broke",
        seen(sample(), circuits=[*OPENED, circuit(2.0, "closed"), circuit(2.5, "half_open")], attempts=FIVE),
    ),
    (
        "5",
        "held",
        seen(
            sample(),
            circuits=[*OPENED, circuit(2.0, "half_open", "open")],
            attempts=[*FIVE, attempt(2.1, 0.1, label="p")],
        ),
    ),
    (
        "5",
        "broke",
        seen(
            sample(),
            circuits=[*OPENED, circuit(2.0, "half_open", "open")],
            attempts=[*FIVE, attempt(2.1, 0.1, label="p"), attempt(2.15, 0.1, label="q")],
        ),
    ),
    (
        "5",
        "broke",
        seen(
            sample(),
            circuits=[*OPENED, circuit(2.0, "closed", "open"), circuit(3.0, "open")],
            attempts=[*FIVE, attempt(2.5, code="timeout", label="g")],
        ),
    ),
    ("5", "unseen", seen(sample(), target="raw")),
    ("5", "broke", seen(*(failed(1.1 + 0.1 * index) for index in range(7)), target="raw")),
    ("5", "unseen", seen(*(failed(1.1 + 0.1 * index, 0.001) for index in range(7)), target="raw")),
    ("5", "unseen", seen(*(failed(1.1 + 0.1 * index, **WELL) for index in range(7)), target="raw")),
    # 6: load
    ("6", "unseen", seen(sample(), struck=[])),
    ("6", "unseen", seen(sample())),
    ("6", "unseen", seen(sample(), connections=[ready("well", None)])),
    ("6", "unseen", seen(sample(**WELL), attempts=FIVE, connections=[ready("sick", None)])),
    ("6", "unseen", seen(sample(**WELL), target="raw")),
    ("6", "held", seen(sample(), target="raw")),
    ("6", "held", seen(sample(), attempts=FIVE)),
    (
        "6",
        "broke",
        seen(
            sample(),
            scenario=scenario(servers=fleet(retry=Retry(budget=20))),
            attempts=[attempt(1.1 + 0.1 * index, code="timeout", number=index) for index in (1, 2, 3)],
        ),
    ),
    (
        "6",
        "held",
        seen(
            sample(),
            scenario=scenario(servers=fleet(retry=Retry(budget=20))),
            attempts=[attempt(1.1 + 0.1 * index, code="overloaded", number=index) for index in (1, 2, 3)],
        ),
    ),
    (
        "6",
        "held",
        seen(
            sample(),
            scenario=scenario(servers=fleet(retry=Retry(budget=20))),
            attempts=[
                attempt(1.2, code="timeout"),
                attempt(1.3, number=2),
                attempt(1.4, code="timeout", label="b"),
                attempt(1.5, label="b", number=2),
            ],
        ),
    ),
    (
        "6",
        "broke",
        seen(sample(), attempts=[attempt(1.1 + 0.1 * index, code="timeout", number=index) for index in (1, 2, 3, 4)]),
    ),
    (
        "6",
        "broke",
        seen(
            *(failed(1.0 + index / 2000, label=str(index)) for index in range(1000)),
            scenario=scenario(servers=fleet(retry=Retry(budget=10**6))),
            attempts=[
                attempt(1.2, code="timeout", label=str(index), number=number)
                for index in range(1000)
                for number in (1, 2)
            ],
        ),
    ),
    (
        "6",
        "held",
        seen(
            *(failed(1.0 + index / 2000, label=str(index)) for index in range(1000)),
            attempts=[attempt(1.2, code="timeout", label=str(index)) for index in range(1000)],
        ),
    ),
    ("6", "held", seen(sample(), connections=spread([1.0 + 0.05 * index for index in range(8)]))),
    ("6", "broke", seen(sample(), connections=spread([1.0 + 0.01 * index for index in range(90)]))),
    ("6", "broke", seen(sample(), connections=connecting(1.0, 1.1, 1.2, 1.3))),
    ("6", "held", seen(sample(), connections=connecting(1.0, 1.1, 1.2, 1.3, code="timeout"))),
    # 7: leftovers
    ("7", "unseen", seen(sample())),
    ("7", "held", seen(sample(), leftovers=())),
    ("7", "broke", seen(sample(), leftovers=("task x",))),
    ("7", "broke", seen(sample(), leftovers=(), in_flight={"sick": 1, "well": 0})),
    ("7", "broke", seen(sample(outcome="hung"), leftovers=())),
    ("7", "broke", seen(sample(), leftovers=(), closing=6.5)),
    ("7", "held", seen(sample(), leftovers=(), closing=5.5)),
    (
        "7",
        "broke",
        seen(
            sample(),
            leftovers=(),
            closing=5.5,
            scenario=scenario(servers=(member("sick", timeouts=Timeouts(shutdown=1.0)),)),
        ),
    ),
    # 8: secrets
    ("8", "unseen", seen(failed())),
    ("8", "unseen", seen(sample(), leaks=())),
    ("8", "held", seen(failed(), leaks=())),
    ("8", "broke", seen(failed(), leaks=("the credential in the log of recloser",))),
    # 10: bad input
    ("10", "unseen", seen(sample())),
    ("10", "held", seen(failed())),
    ("10", "held", seen(failed(named=None))),
    ("10", "broke", seen(failed(named=None, message="it failed"))),
    ("10", "broke", seen(failed(kind=None, code="MCPError"))),
    ("10", "broke", seen(failed(code="internal", kind="critical"))),
    ("10", "held", seen(failed(0.5, tool="unknown", code="unknown_tool", kind="critical", named=None, message=""))),
    ("10", "broke", seen(failed(0.5, tool="unknown", code="server_fault", kind="critical"))),
    ("10", "held", seen(failed(1.5, tool="unknown", code="server_fault", kind="critical"))),
    ("10", "held", seen(failed(0.5, tool="unknown", code="server_fault", kind="critical"), scenario=OWN)),
    ("10", "broke", seen(failed(0.5, tool="unknown", code="unknown_tool", named=None, message=""), scenario=OWN)),
    ("10", "held", seen(failed(), audited=(1, 0))),
    ("10", "broke", seen(failed(), audited=(0, 0))),
    ("10", "broke", seen(failed(), audited=(1, 1))),
    # 11: listings
    ("11", "unseen", seen(sample(), listings=[Listing(at=0.5)])),
    ("11", "held", seen(failed(), listings=[Listing(at=1.5)])),
    ("11", "unseen", seen(sample(1.5), listings=[Listing(at=1.5)])),
    ("11", "unseen", seen(failed(**WELL), listings=[Listing(at=1.5)])),
    ("11", "unseen", seen(failed(), listings=[Listing(at=1.5)], known={"well": 1})),
    ("11", "unseen", seen(failed(), listings=[Listing(at=1.5)], known={"sick": 0})),
    ("11", "unseen", seen(failed(), listings=[Listing(at=2.1)])),
    ("11", "unseen", seen(failed(tool="fail"), listings=[Listing(at=1.5)])),
    ("11", "unseen", seen(sample(1.5, 0.1, outcome="cancelled", cancel_at=1.6), listings=[Listing(at=1.5)])),
    ("11", "held", seen(sample(1.5), attempts=[attempt(1.5, code="timeout")], listings=[Listing(at=1.5)])),
    ("11", "unseen", seen(sample(1.5), attempts=[attempt(1.5, code="x", label="")], listings=[Listing(at=1.5)])),
    ("11", "held", seen(failed(1.01), sample(1.5, 0.1), struck=[struck(ended=1.0)], listings=[Listing(at=1.3)])),
    ("11", "held", seen(failed(1.01), struck=[struck(ended=1.0)], listings=[Listing(at=3.9)])),
    ("11", "broke", seen(sample(), listings=[Listing(at=1.5, missing=("a", "b", "c", "d"))])),
    ("11", "broke", seen(sample(), listings=[Listing(at=1.5, error="MCPError")])),
    ("11", "broke", seen(failed(code="unknown_tool"), listings=[Listing(at=1.5)])),
    ("11", "held", seen(failed(), failed(code="unknown_tool", tool="unknown"), listings=[Listing(at=1.5)])),
    ("11", "broke", seen(failed(code="circuit_open"), listings=[Listing(at=1.5)])),
    ("11", "held", seen(failed(code="circuit_open", retry_after=1.0), listings=[Listing(at=1.5)])),
    ("11", "held", seen(failed(), failed(3.5, code="unknown_tool"), sample(2.5), listings=[Listing(at=1.5)])),
    # 12: eras
    ("12", "unseen", seen(sample(), connections=[ready("sick", None)])),
    ("12", "held", seen(sample(), connections=[ready("sick", MODERN)])),
    ("12", "broke", seen(sample(), connections=[ready("sick", LEGACY)])),
    ("12", "broke", seen(failed(), connections=[ready("sick", MODERN)])),
    ("12", "held", seen(sample(), connections=[ready("sick", LEGACY)], scenario=scenario(servers=fleet(era="legacy")))),
    (
        "12",
        "broke",
        seen(sample(), connections=[ready("sick", MODERN)], scenario=scenario(servers=fleet(era="legacy"))),
    ),
    ("12", "held", seen(sample(server="else"), connections=[ready("else", LEGACY)])),
    # 13: questions
    ("13", "unseen", seen(sample())),
    ("13", "unseen", seen(sample(took=2.0, tool="ask", **WELL), scenario=scenario(callback=1.9, fleet="config"))),
    ("13", "held", seen(sample(took=2.0, tool="ask", **WELL), scenario=scenario(callback=1.9))),
    ("13", "unseen", seen(sample(took=0.9, tool="ask", **WELL), scenario=scenario(callback=0.5))),
    ("13", "broke", seen(failed(took=1.0, tool="ask", **WELL), scenario=scenario(callback=1.9))),
    ("13", "broke", seen(sample(took=1.5, tool="ask", **WELL), scenario=scenario(callback=1.9))),
    ("13", "broke", seen(sample(took=2.0, tool="ask", attempts=2, **WELL), scenario=scenario(callback=1.9))),
    (
        "13",
        "broke",
        seen(
            sample(took=2.0, tool="ask", **WELL),
            scenario=scenario(callback=1.9),
            circuits=[circuit(1.0, "open", server="well")],
        ),
    ),
    # the goals
    ("answered", "unseen", seen(sample(**WELL), sample(safe=False))),
    ("answered", "unseen", seen(failed(tool="fail"))),
    ("answered", "broke", seen(failed(tool="fail"), scenario=scenario(fleet="config"))),
    ("answered", "held", seen(sample(1.5), sample(0.5))),
    ("answered", "broke", seen(sample(1.5), failed(1.5))),
    ("answered", "held", seen(sample(1.5), failed(1.5), scenario=scenario(limits=Limits(answered=0.5)))),
    ("recovery", "unseen", seen(sample(1.5))),
    ("recovery", "unseen", seen(sample(2.5), struck=[struck(ended=None)])),
    ("recovery", "unseen", seen(sample(2.5), struck=[struck(server=None)])),
    ("recovery", "unseen", seen(sample(3.9), struck=[struck(ended=4.0)])),
    ("recovery", "held", seen(failed(2.1), sample(2.5))),
    ("recovery", "broke", seen(failed(2.1))),
    # ... and goes on doing so
    ("recovery", "held", seen(sample(2.1), failed(2.5), sample(3.0, outcome="cancelled", cancel_at=3.1))),
    ("recovery", "held", seen(sample(2.1), failed(2.5), failed(2.6, tool="unknown"))),
    ("recovery", "broke", seen(sample(2.1), failed(2.5), failed(2.6))),
    ("recovery", "held", seen(*many(20, 2.1, 0.001), failed(2.5), failed(2.6))),
    ("recovery", "broke", seen(*many(20, 2.1, 0.001), failed(2.5), failed(2.6), failed(2.7))),
    ("recovery", "held", seen(sample(2.1), failed(2.5, 0.2), failed(3.0), struck=[struck(), struck(began=2.6)])),
    ("recovery", "broke", seen(sample(2.1), failed(2.5), failed(2.6), struck=[struck(), struck(began=3.0)])),
    ("recovery", "broke", seen(sample(3.5), scenario=scenario(limits=Limits(recover_within=1.0)))),
    (
        "recovery",
        "held",
        seen(sample(3.5), scenario=scenario(limits=Limits(recover_within=1.0)), lags=[Lag(at=3.0, late=0.6, busy=0.0)]),
    ),
    ("recovery", "held", seen(sample(3.6), struck=[struck(), struck(began=1.5, ended=3.5)])),
]


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
