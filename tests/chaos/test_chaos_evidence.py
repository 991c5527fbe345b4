"""What is evidence and what is not: faults that struck nothing, options that are a user's, calls that were cut off."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from chaos.chaos_kit import FAULT, FakeFleet, FakeTarget, failed, imagined, sample, scenario, seen, struck
from chaos.verdict_kit import many
from recloser.options import Breaker, Retry, Server, Timeouts
from recloser.testing.clock import run_virtual
from recloser.testing.scenario import judge
from recloser.testing.scenario.engine import Engine
from recloser.testing.scenario.observed import Attempt, CircuitMark, Lag, Listing, Run
from recloser.testing.scenario.records import CallSpec, Load, Strike
from recloser.testing.scenario.report import document
from recloser.testing.scenario.verdicts import JUDGES

OWN = scenario(fleet="config")
WELL = {"server": "well", "label": "w"}
ECHO = (Load(name="a", kind="closed", callers=1, pause=0.1, tools={"echo": 1}),)


def attempt(began: float, code: str | None = None, **facts: object) -> Attempt:
    given = {"server": "sick", "label": "call-1", "number": 1} | facts
    return Attempt(began=began, ended=began + 0.01, code=code, **given)


def circuit(at: float, state: str) -> CircuitMark:
    return CircuitMark(at=at, server="sick", previous="closed", state=state, reason="failures")


FIVE = [attempt(1.0 + 0.1 * index, code="timeout", label=f"f{index}") for index in range(5)]


NOTHING = [struck(times=0)]
VAIN = [
    ("2", seen(*many(30, 0.1, 0.01, **WELL), *many(30, 1.1, 0.01, **WELL), struck=NOTHING)),
    ("3", seen(sample(1.5, safe=False), executed=[], struck=NOTHING)),
    ("6", seen(sample(1.5), attempts=FIVE, struck=NOTHING)),
    ("6", seen(sample(1.5), target="raw", struck=NOTHING)),
    ("11", seen(failed(), listings=[Listing(at=1.5)], struck=NOTHING)),
    ("answered", seen(sample(1.5), struck=NOTHING)),
    ("recovery", seen(sample(2.5), struck=NOTHING)),
]


@pytest.mark.parametrize(("rule", "run"), VAIN, ids=[f"{rule}-{number}" for number, (rule, _) in enumerate(VAIN)])
def test_a_fault_that_struck_nothing_proves_nothing(rule, run):
    verdict = JUDGES[rule](run)
    assert verdict.state == "unseen", verdict
    for times in (None, 1):
        assert JUDGES[rule](replace(run, struck=[struck(times=times)])).held


def test_a_failure_at_a_server_whose_fault_struck_nothing_has_to_do_with_no_fault():
    run = seen(failed(1.5), sample(1.5, **WELL), struck=[struck(times=0), struck("well", tool="write")])
    assert JUDGES["2"](run).state == "broke"


def test_the_lag_s_part_of_an_overrun_is_never_greater_than_the_overrun():
    run = seen(sample(took=1.4), lags=[Lag(at=1.6, late=0.9, busy=0.9)])
    assert "the longest overrun of a deadline was 400 ms, 400 ms of it the loop's lag" in JUDGES["1"](run).evidence


def test_a_user_s_servers_are_judged_by_their_own_options():
    def own(**facts):
        return {"options": {"sick": Server("sick", command="x", **facts)}, "scenario": replace(OWN, servers={})}

    once, twice = FIVE[:1], [attempt(1.5, code="timeout"), attempt(1.6, number=2), *FIVE]
    touchy, patient = own(breaker=Breaker(consecutive=1)), own(breaker=Breaker(consecutive=2))
    opened = [circuit(1.05, "open")]
    assert JUDGES["5"](seen(sample(), circuits=opened, attempts=once, **touchy)).held
    assert JUDGES["5"](seen(sample(), circuits=opened, attempts=once, **patient)).state == "broke"
    waits = [failed(1.1 + 0.1 * index) for index in range(3)]
    assert JUDGES["5"](seen(*waits, target="raw", **patient)).cases == (
        "sick got 1 further call that failed, after 2 in a row had",
    )
    assert JUDGES["5"](seen(*waits, target="raw", **own())).state == "unseen"
    assert JUDGES["6"](seen(sample(), attempts=twice, **own())).held
    assert JUDGES["6"](seen(sample(), attempts=twice, **own(retry=Retry(attempts=1)))).state == "broke"
    assert JUDGES["7"](seen(sample(), leftovers=(), closing=5.5, **own())).held
    quick = own(timeouts=Timeouts(shutdown=1.0))
    assert JUDGES["7"](seen(sample(), leftovers=(), closing=5.5, **quick)).state == "broke"


# --- what the engine writes down


def counted(times: int | None, *timeline: Strike, **facts) -> Run:
    """Run a scenario whose servers say how often each fault has struck."""

    async def main() -> Run:
        fleet = FakeFleet("sick", "well")
        fleet.times = times
        what = scenario(loads=ECHO, timeline=timeline, **facts)
        return await Engine(what, fleet, lambda _s, recorder, more: FakeTarget(fleet, recorder, more), seed=1).run()

    return run_virtual(main())


def test_a_run_knows_how_often_each_fault_has_struck_and_says_which_struck_nothing():
    for times in (None, 7):
        run = counted(times, FAULT)
        assert [each.times for each in run.struck] == [times]
        assert run.struck_servers == {"sick"}
        assert not any("struck nothing" in note for note in run.notes)
    run = counted(0, FAULT)
    assert (run.landed, run.struck_servers, run.windows()) == ((), frozenset(), [])
    assert "hang_call of sick struck nothing, so that no rule is judged by it" in run.notes
    (told,) = document(run, judge(run), command="x")["faults"]
    assert (told["fault"], told["times"]) == ("hang_call", 0)


def test_what_strikes_surroundings_that_are_not_there_strikes_nothing():
    names = ("clock_step", "collector_down", "audit_disk_full")
    run = counted(3, *(Strike(kind="action", name=name, at=1.0, until=2.0) for name in names))
    assert {each.strike.name: each.times for each in run.struck} == {
        "clock_step": 1,
        "collector_down": 0,
        "audit_disk_full": 0,
    }
    assert "collector_down struck nothing, so that no rule is judged by it" in run.notes


def test_a_run_carries_the_options_and_the_known_tools_of_its_servers():
    run = imagined(scenario(loads=ECHO))
    assert {name: server.name for name, server in run.options.items()} == {"sick": "sick", "well": "well"}
    assert run.known == {"sick": 1, "well": 1}


# --- calls that the end cuts off


class Slow(FakeTarget):
    takes = 0.7


def stopped_after(seconds: float, make: type[FakeTarget] = Slow, **facts) -> Run:
    stop = asyncio.Event()

    class Stops(make):
        async def open(self, *, struck=()) -> None:
            asyncio.get_running_loop().call_later(seconds, stop.set)

    loads = (replace(ECHO[0], **facts),)
    return imagined(scenario("1", "2", "4", "7", loads=loads, timeline=(FAULT,)), Stops, stop=stop)


def test_a_call_that_an_interruption_cuts_off_is_no_evidence():
    run = stopped_after(1.75)
    assert run.interrupted
    assert run.ended == pytest.approx(1.8)
    assert {each.outcome for each in run.samples} == {"answered"}
    assert "broke" not in {each.state for each in judge(run)}


def test_a_call_that_was_given_up_and_then_cut_off_is_no_evidence_either():
    class Clings(Slow):
        async def call(self, order):
            try:
                return await super().call(order)
            except asyncio.CancelledError:
                await asyncio.sleep(1.0)
                raise

    run = stopped_after(0.5, Clings, cancel=1.0, cancel_after=0.1)
    assert run.samples == ()


def test_a_call_that_is_long_past_its_limit_when_all_is_over_hangs():
    class Hangs(FakeTarget):
        async def call(self, order):
            await asyncio.get_running_loop().create_future()

    assert [each.outcome for each in stopped_after(2.5, Hangs).samples] == ["hung"]
    assert stopped_after(1.5, Hangs).samples == ()


def test_a_client_that_cancels_a_call_of_its_own_accord_is_a_finding():
    class Cancels(FakeTarget):
        async def call(self, order):
            raise asyncio.CancelledError

    run = imagined(scenario("2", loads=ECHO, timeline=(FAULT,)), Cancels)
    assert [(each.outcome, each.cancel_at) for each in run.samples] == [("cancelled", None)]


# --- what is said of a call


def ordered(what) -> set[tuple[str, str, bool | None, str]]:
    """Return what a client was asked for: server, tool, whether it may be repeated, names of arguments."""
    found = []

    class Notes(FakeTarget):
        async def call(self, order):
            found.append(order)
            return await super().call(order)

    imagined(what, Notes)
    return {(each.server, each.tool, each.safe, ",".join(each.arguments)) for each in found}


def test_a_user_s_tools_are_called_as_the_user_says_whatever_they_are_called():
    names = ("unknown", "bad_arguments", "write", "status")
    calls = tuple(CallSpec(server="sick", tool=name, safe=name != "write") for name in names)
    load = Load(name="a", rate=100, calls=calls)
    assert ordered(scenario(fleet="config", loads=(load,))) == {
        ("sick", "unknown", True, ""),
        ("sick", "bad_arguments", True, ""),
        ("sick", "write", None, ""),
        ("sick", "status", True, ""),
    }


def test_of_the_built_in_fleet_s_tools_the_servers_say_themselves_whether_they_may_be_repeated():
    load = Load(name="a", rate=100, tools={"echo": 1, "bad_arguments": 1}, servers=("sick",))
    assert ordered(scenario(loads=(load,))) == {("sick", "echo", None, "text")}
    own = replace(load, tools={}, calls=(CallSpec(server="sick", tool="write", safe=True),))
    assert ordered(scenario(loads=(own,))) == {("sick", "write", True, "text")}
