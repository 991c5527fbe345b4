"""What verdicts are made of: limits of servers, cases, numbers in words, and what a run knows of itself."""

from __future__ import annotations

from dataclasses import replace

from chaos.chaos_kit import member, sample, scenario, seen, struck
from recloser.options import Breaker
from recloser.testing.scenario.observed import Attempt, CircuitMark
from recloser.testing.scenario.verdicts import JUDGES, judge
from recloser.testing.scenario.verdicts.numbers import counted, in_time, percentile, share
from recloser.testing.scenario.verdicts.verdict import broke


def circuit(at: float, state: str, server: str = "sick") -> CircuitMark:
    return CircuitMark(at=at, server=server, previous="closed", state=state, reason="failures")


def failed(count: int, server: str = "sick") -> list[Attempt]:
    return [
        Attempt(server=server, label=f"f{index}", number=1, began=1.0 + 0.05 * index, ended=1.2, code="timeout")
        for index in range(count)
    ]


OPENED = [circuit(1.45, "open")]


def test_a_circuit_of_a_server_with_other_limits_is_judged_by_those():
    touchy = scenario(servers=(member("sick", breaker=Breaker(consecutive=2, probes=2)), member("well")))
    run = seen(sample(), scenario=touchy, circuits=OPENED, attempts=failed(2))
    assert JUDGES["5"](run).held
    for count in (4, 5):
        unknown = [circuit(1.45, "open", server="else")]
        run = seen(sample(server="else"), circuits=unknown, attempts=failed(count, "else"))
        assert JUDGES["5"](run).held == (count == Breaker().consecutive)


def test_a_verdict_names_some_cases_and_tells_how_many_there_are():
    assert broke("x", [str(number) for number in range(8)]).cases == ("0", "1", "2", "3", "4", "and 3 more")
    assert broke("x", ["a"]).cases == ("a",)


def test_numbers_are_told_as_people_read_them():
    assert [in_time(value) for value in (0.0000005, 0.0123, 1.5)] == ["0 µs", "12 ms", "1.50 s"]
    assert [counted(number, "call") for number in (0, 1, 2)] == ["no calls", "1 call", "2 calls"]
    assert [share(*pair) for pair in ((0, 0), (9999, 10000), (3, 3), (1, 3))] == ["none", "99.9 %", "100 %", "33.3 %"]
    assert percentile([], 0.5) == 0.0
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0


def test_a_run_knows_when_a_server_was_struck_and_how_its_circuit_went():
    run = seen(sample(), sample(server="else"), circuits=[circuit(-1.0, "open"), *OPENED], struck=[struck(ended=None)])
    assert run.servers == ("sick", "well", "else")
    assert run.windows("sick") == [(1.0, 4.0)]
    assert run.windows("well") == []
    assert (run.during(1.5), run.during(0.5), run.during(1.5, "well")) == (True, False, False)
    assert list(run.states("sick")) == [(0.0, 1.45, "open"), (1.45, 4.0, "open")]
    assert list(run.states("well")) == [(0.0, 4.0, "closed")]
    assert list(replace(run, ended=1.45).states("sick")) == [(0.0, 1.45, "open")]


def test_verdicts_come_in_the_order_of_the_scenario():
    run = seen(sample(), scenario=scenario("7", "1", "recovery"))
    assert [(each.rule, each.state) for each in judge(run)] == [("7", "unseen"), ("1", "held"), ("recovery", "unseen")]
