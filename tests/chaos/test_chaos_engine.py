"""The engine in virtual time: what is called, struck, given up and closed, at which moments."""

from __future__ import annotations

import asyncio
import logging
import random
from dataclasses import replace

import pytest

from chaos.chaos_kit import FAULT, FakeFleet, FakeTarget, imagined, member, sample, scenario
from recloser.testing.clock import run_virtual
from recloser.testing.scenario import judge
from recloser.testing.scenario.engine import Engine
from recloser.testing.scenario.planted import Planted
from recloser.testing.scenario.records import Load, Strike
from recloser.testing.scenario.verdicts.verdict import Verdict


def verdict(run, rule: str) -> Verdict:
    return next(each for each in judge(run) if each.rule == rule)


def test_an_open_load_comes_at_its_rate_whatever_the_answers_do():
    class Slow(FakeTarget):
        takes = 0.9

    loads = (Load(name="a", rate=100, tools={"echo": 1}, timeout=2.0),)
    run = imagined(scenario(loads=loads), Slow)
    assert 340 < len(run.samples) < 460
    assert all(each.took == pytest.approx(0.9) for each in run.samples)
    assert max(each.began for each in run.samples) < 4.0


def test_a_closed_load_waits_for_its_answers_and_its_pauses():
    loads = (Load(name="a", kind="closed", callers=2, pause=0.09, tools={"echo": 1}),)
    run = imagined(scenario(loads=loads))
    assert len(run.samples) == 80
    assert {round(each.began, 6) for each in run.samples} == {round(0.1 * step, 6) for step in range(40)}


def test_a_load_begins_and_ends_when_it_says_and_stops_after_its_total():
    loads = (
        Load(name="late", kind="closed", callers=1, pause=0.09, begin=1.0, end=2.0, tools={"echo": 1}),
        Load(name="few", kind="closed", callers=3, pause=0.0, total=7, tools={"write": 1}),
    )
    run = imagined(scenario(loads=loads))
    late = [each.began for each in run.samples if each.load == "late"]
    assert (min(late), len(late)) == (pytest.approx(1.0), 10)
    assert sum(each.load == "few" for each in run.samples) == 7


def test_the_same_seed_makes_the_same_calls():
    loads = (Load(name="a", rate=30, tools={"echo": 2, "write": 1}, cancel=0.2, cancel_after=0.005),)
    first, second = (imagined(scenario(loads=loads)) for _ in range(2))
    assert first.samples == second.samples
    assert len({each.tool for each in first.samples}) == 2
    assert {each.outcome for each in first.samples} == {"answered", "cancelled"}


def test_a_strike_begins_and_ends_at_its_moments_and_is_written_down():
    loads = (Load(name="a", kind="closed", callers=2, pause=0.04, tools={"echo": 1}),)
    run = imagined(scenario(loads=loads, timeline=(FAULT,)))
    (one,) = run.struck
    assert (one.server, one.began, one.ended) == ("sick", pytest.approx(1.0), pytest.approx(2.0))
    assert run.notes == ("hang_call of sick: sick is bad", "in memory")
    failures = [each for each in run.samples if not each.good]
    assert {each.server for each in failures} == {"sick"}
    assert all(0.98 <= each.began < 2.0 for each in failures)
    assert failures[0].code == "unreachable"
    assert [each.code for each in run.attempts].count("unreachable") == len(failures)


def test_a_strike_at_zero_is_there_before_anything_connects():
    found = []

    class Looks(FakeTarget):
        async def open(self, *, struck=()) -> None:
            found.append({name: name in struck for name in self.fleet.bad})

    first = Strike(kind="fault", name="hang_initialize", servers=("sick",), at=0.0, until=1.0)
    run = imagined(scenario(timeline=(first,), loads=(Load(name="a", tools={"echo": 1}),)), Looks)
    assert found == [{"sick": True}]
    assert run.struck[0].began <= 0.0
    assert run.struck[0].ended == pytest.approx(1.0)


def test_a_call_that_is_given_up_is_cancelled_and_counted():
    class Slow(FakeTarget):
        takes = 0.5

    loads = (Load(name="a", kind="closed", callers=1, pause=0.0, tools={"sleep": 1}, cancel=1.0, cancel_after=0.1),)
    run = imagined(scenario("4", loads=loads), Slow)
    assert {each.outcome for each in run.samples} == {"cancelled"}
    assert all(each.cancel_at == pytest.approx(each.began + 0.1) for each in run.samples)
    assert sum(run.cancels.values()) == len(run.samples) == 40
    assert verdict(run, "4").held


def test_a_call_that_ends_before_it_is_given_up_is_a_call_like_any_other():
    loads = (Load(name="a", kind="closed", callers=1, pause=0.5, tools={"echo": 1}, cancel=1.0, cancel_after=0.1),)
    run = imagined(scenario(loads=loads))
    assert {(each.outcome, each.cancel_at) for each in run.samples} == {("answered", None)}


def test_a_call_that_never_returns_hangs_and_does_not_hold_up_the_report():
    class Hangs(FakeTarget):
        async def call(self, order):
            await asyncio.get_running_loop().create_future()

    loads = (Load(name="a", kind="closed", callers=2, tools={"echo": 1}, timeout=0.5),)
    run = imagined(scenario("1", "7", loads=loads), Hangs)
    assert [each.outcome for each in run.samples] == ["hung", "hung"]
    assert [each.state for each in judge(run)] == ["broke", "broke"]


def test_a_client_that_hangs_when_it_is_given_up_does_not_hold_up_the_report_either():
    class Clings(FakeTarget):
        async def call(self, order):
            future = asyncio.get_running_loop().create_future()
            while True:
                try:
                    await asyncio.shield(future)
                except asyncio.CancelledError:
                    if self.fleet.life[-1] == "close":
                        raise

    loads = (Load(name="a", kind="closed", callers=1, tools={"echo": 1}, timeout=0.5, cancel=1.0, cancel_after=0.1),)
    run = imagined(scenario("7", loads=loads), Clings)
    assert [each.outcome for each in run.samples] == ["hung"]
    assert any("task" in line for line in run.leftovers)


def test_what_a_client_raises_is_a_finding_and_not_the_end():
    class Raises(FakeTarget):
        async def call(self, order):
            raise KeyError("nothing of ours")

    loads = (Load(name="a", kind="closed", callers=1, pause=0.5, tools={"echo": 1}),)
    run = imagined(scenario("10", loads=loads), Raises)
    assert {(each.outcome, each.code, each.kind) for each in run.samples} == {("failed", "KeyError", None)}
    assert verdict(run, "10").state == "broke"


def test_a_run_that_is_stopped_hands_over_what_it_has_seen():
    stop = asyncio.Event()

    class Stops(FakeTarget):
        async def call(self, order):
            told = await super().call(order)
            if self.calls == 10:
                stop.set()
            return told

    loads = (Load(name="a", kind="closed", callers=1, pause=0.1, tools={"echo": 1}),)
    run = imagined(scenario(loads=loads), Stops, stop=stop)
    assert run.interrupted
    assert 10 <= len(run.samples) <= 12
    assert run.ended < 2.0


def test_a_run_that_is_stopped_before_its_first_call_has_seen_nothing():
    stop = asyncio.Event()
    stop.set()
    run = imagined(scenario(loads=(Load(name="a", begin=1.0, tools={"echo": 1}),)), stop=stop)
    assert (run.samples, run.interrupted) == ((), True)


@pytest.mark.parametrize("where", ["strike", "call"])
def test_what_is_not_possible_ends_the_run_and_closes_everything(where):
    life = []

    class Broken(FakeFleet):
        async def strike(self, strike, server, target):
            raise ValueError("there is no network to cut")

        async def close(self):
            life.append("closed")

    async def main():
        fleet = Broken("sick", "well")
        load = Load(name="a", tools={"echo": 1})
        if where == "call":
            object.__setattr__(load, "tools", {})
        what = scenario(timeline=(FAULT,), loads=(load,))
        await Engine(what, fleet, lambda _s, recorder, more: FakeTarget(fleet, recorder, more), seed=1).run()

    with pytest.raises(ValueError, match="no network to cut" if where == "strike" else "nothing to call"):
        run_virtual(main())
    assert life == ["closed"]


def test_progress_is_told_from_the_start_of_the_servers_to_the_end():
    told = []
    loads = (Load(name="a", tools={"echo": 1}),)
    imagined(
        scenario(loads=loads, timeline=(FAULT,)), watch=lambda progress: told.append((progress.phase, progress.active))
    )
    phases = [phase for phase, _ in told]
    assert list(dict.fromkeys(phases)) == ["starting servers", "connecting", "running", "closing"]
    assert phases.count("running") >= 39
    assert {len(active) for _, active in told} == {0, 1}


def test_planted_secrets_are_given_to_the_servers_and_found_where_they_come_out():
    numbers = random.Random(1)

    class Talks(FakeTarget):
        def failure(self, order, code):
            return replace(super().failure(order, code), message=f"the body was {order.arguments['text']}")

    class Logs(FakeTarget):
        async def call(self, order):
            logging.getLogger("recloser.something").debug("sending %s", order.arguments)
            logging.getLogger("other").info("sending %s", order.arguments)
            return await super().call(order)

    loads = (Load(name="a", kind="closed", callers=2, pause=0.04, tools={"echo": 1}),)
    what = scenario("8", loads=loads, timeline=(FAULT,), secrets=True)
    quiet = imagined(what, planted=Planted(numbers))
    assert verdict(quiet, "8").held
    loud = imagined(what, Talks, planted=Planted(numbers))
    assert verdict(loud, "8").cases == ("what a call carried in an error of sick",)
    logging_ = imagined(what, Logs, planted=Planted(numbers))
    assert verdict(logging_, "8").cases == ("what a call carried in the log of recloser.something",)
    assert logging.getLogger("recloser").level == logging.NOTSET


def test_planting_uses_headers_and_the_environment():
    planted = Planted(random.Random(1))
    from recloser import Server

    web, pipe = planted.plant([Server("a", "http://127.0.0.1:1/mcp", headers={"x": "y"}), Server("b", command="c")])
    assert web.headers == {"x": "y", "Authorization": f"Bearer {planted.token}"}
    assert pipe.env == {"API_TOKEN": planted.token}
    assert planted.fill_in({"a": "{token} {content}", "b": 3}) == {"a": f"{planted.token} {planted.content}", "b": 3}


def test_permits_that_do_not_come_back_are_seen():
    class Keeps(FakeTarget):
        def in_flight(self):
            return {"sick": 2, "well": 0}

    run = imagined(scenario("7", loads=(Load(name="a", tools={"echo": 1}),)), Keeps)
    assert verdict(run, "7").cases == ("sick: 2 permits still taken",)


def test_the_list_of_tools_is_looked_at_all_the_while():
    class Forgets(FakeTarget):
        async def offered(self):
            found = dict(await super().offered())
            for name in self.fleet.bad:
                found[name] = []
            return found

    class Fails(FakeTarget):
        async def offered(self):
            if self.fleet.bad:
                raise ConnectionError("gone")
            return await super().offered()

    loads = (Load(name="a", tools={"echo": 1}),)
    what = scenario("11", loads=loads, timeline=(FAULT,))
    assert verdict(imagined(what), "11").held
    assert "1 known tool missing: sick__echo" in verdict(imagined(what, Forgets), "11").cases[0]
    assert "could not be had: ConnectionError" in verdict(imagined(what, Fails), "11").cases[0]


def test_a_client_whose_tools_cannot_be_had_at_the_start_has_none_that_are_known():
    class Never(FakeTarget):
        async def offered(self):
            raise ConnectionError("gone")

    run = imagined(scenario(loads=(Load(name="a", tools={"echo": 1}),)), Never)
    assert run.samples
    assert {look.error for look in run.listings} == {"ConnectionError"}
    assert {look.missing for look in run.listings} == {()}


def test_scaling_moves_every_moment():
    loads = (Load(name="a", begin=1.0, end=3.0), Load(name="b"))
    short = scenario(loads=loads, timeline=(FAULT, Strike(kind="action", name="kill", at=3.0))).scaled(2.0)
    assert (short.duration, short.loads[0].begin, short.loads[0].end, short.loads[1].end) == (2.0, 0.5, 1.5, None)
    assert [(each.at, each.until) for each in short.timeline] == [(0.5, 1.0), (1.5, None)]


def test_members_and_samples_are_what_they_say():
    assert member("a", transport="stdio").transport == "stdio"
    assert sample(took=0.25).took == 0.25
