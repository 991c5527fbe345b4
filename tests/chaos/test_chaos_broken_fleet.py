"""What a verdict is built on is broken on purpose: who counts, who waits for whom, what is left, what is sent."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace

import pytest

from chaos.chaos_kit import FAULT, FakeTarget, failed, imagined, sample, scenario, seen, struck
from chaos.test_chaos_broken_rules import quick, verdicts
from chaos.verdict_kit import WELL, many
from recloser.testing.clock import run_virtual
from recloser.testing.scenario import judge, run_scenario
from recloser.testing.scenario.leftovers import leftovers
from recloser.testing.scenario.load import arguments_for
from recloser.testing.scenario.records import CallSpec, Load
from recloser.testing.scenario.verdicts import JUDGES

pytestmark = pytest.mark.thorough


class Passing:
    """Hands everything on to its target."""

    def __init__(self, target):
        self.target = target

    def __getattr__(self, name):
        return getattr(self.target, name)


# --- rule 3: calls with arguments of their own


def with_calls(what, *calls: CallSpec):
    return replace(what, loads=tuple(replace(load, tools={}, calls=calls) for load in what.loads))


@pytest.mark.processes
@pytest.mark.parametrize(
    "call",
    [
        CallSpec(server="sick", tool="write", arguments={"text": "pay 5"}),
        CallSpec(server="sick", tool="add", arguments={"a": 1, "b": 2}),
    ],
    ids=["a text of its own", "no text"],
)
def test_a_call_with_arguments_of_its_own_that_runs_twice_is_seen(tmp_path, call):
    what = quick(tmp_path, "3", fault='fault = "reset"\non = "tools/call"\narguments = { executes = true }')
    what = with_calls(what, call)
    distrusted = {
        name: replace(each, options=replace(each.options, trusted=False)) for name, each in what.servers.items()
    }
    what = replace(what, servers=distrusted)
    good = verdicts(what)
    assert good["3"].held, good
    bad = verdicts(what, change=lambda server: replace(server, idempotent=("*",)))
    assert bad["3"].state == "broke", bad
    assert f"sick.{call.tool}" in bad["3"].cases[0]


def test_the_label_of_a_call_stands_in_what_its_server_writes_down():
    def text(tool: str, **arguments: object) -> object:
        spec = CallSpec(server="a", tool=tool, arguments=arguments)
        return arguments_for(spec, Load(name="l"), "call-1")[1].get("text")

    assert text("write", text="pay 5") == "pay 5 call-1"
    assert text("sleep", seconds=1) == "call-1"
    assert text("sleep", seconds=1, text=5) == "5 call-1"
    assert text("echo", text=5) == 5


def test_a_wrong_text_on_purpose_does_not_make_two_calls_one():
    loads = (Load(name="a", rate=20, calls=(CallSpec(server="sick", tool="echo", arguments={"text": 5}),)),)
    run = imagined(scenario(loads=loads))
    assert len({each.label for each in run.samples}) == len(run.samples) > 1


# --- rule 2: a fault that is there from the start

AT_START = [struck(began=-0.1, ended=2.0)]
QUICK, SLOW = many(30, 0.1, 0.01, **WELL), many(30, 0.1, 0.2, **WELL)
AFTER = many(30, 2.6, 0.01, **WELL)
BACK = sample(2.4, 0.1)


def joined(target):
    """A server that starts slowly: nobody is answered in the meantime."""

    class Waits(target):
        async def call(self, order):
            while self.fleet.bad:
                await asyncio.sleep(0.05)
            return await super().call(order)

    return Waits


@pytest.mark.parametrize(
    ("state", "run"),
    [
        ("held", seen(*QUICK, *AFTER, BACK, struck=AT_START)),
        ("broke", seen(*SLOW, *AFTER, BACK, struck=AT_START)),
        # Who waits until the server is there does so until it answers, which is no time without a fault.
        ("broke", seen(*SLOW, *many(30, 2.05, 0.4, **WELL), *AFTER, BACK, struck=AT_START)),
        ("unseen", seen(*SLOW, *AFTER, struck=AT_START)),
        ("unseen", seen(*SLOW, *AFTER, BACK, struck=[struck(began=-0.1, ended=None)])),
        ("broke", seen(*SLOW, *AFTER, struck=[struck(None, -0.1, 2.0)])),
    ],
)
def test_with_a_fault_at_the_start_calls_are_compared_with_those_after_it(state, run):
    verdict = JUDGES["2"](run)
    assert verdict.state == state, verdict


def test_a_client_that_waits_for_a_server_that_does_not_start_is_seen():
    first = replace(FAULT, name="hang_initialize", at=0.0)
    what = scenario("2", loads=(Load(name="a", rate=60, timeout=3.0, tools={"echo": 1}),), timeline=(first,))
    (good,) = judge(imagined(what))
    assert good.held, good
    (bad,) = judge(imagined(what, joined(FakeTarget)))
    assert bad.state == "broke", bad


@pytest.mark.processes
def test_the_load_begins_while_a_server_that_is_struck_at_the_start_is_not_ready(tmp_path):
    what = quick(tmp_path, "1", tools="{ echo = 1 }", fault='fault = "hang_initialize"')
    what = replace(what, timeline=(replace(what.timeline[0], at=0.0),), duration=0.3)
    what = replace(what, timeline=(replace(what.timeline[0], until=None),))
    states = []

    class Looks(Passing):
        async def offered(self):
            states.append(self.target.router.health()["sick"].state)
            return await self.target.offered()

    asyncio.run(run_scenario(what, seed=1, wrap=Looks))
    assert states[0] == "connecting"


def test_tools_of_a_server_that_joins_later_are_known_from_then_on():
    class Joins(FakeTarget):
        async def offered(self):
            now = self.recorder.now
            found = dict(await super().offered())
            return found if 1.0 < now < 2.5 else found | {"sick": []}

    run = imagined(scenario("11", loads=(Load(name="a", tools={"echo": 1}),)), Joins)
    assert {look.missing for look in run.listings if look.at < 2.45} == {()}
    assert run.listings[-1].missing == ("sick__echo",)
    assert run.known == {"sick": 1, "well": 1}


# --- rule 10: a wrong call that is on its way when a fault begins


def test_a_wrong_call_that_a_fault_meets_on_its_way_may_be_told_anything():
    told = {"tool": "unknown", "code": "server_fault", "kind": "critical"}
    assert JUDGES["10"](seen(failed(0.95, 0.1, **told))).held
    assert JUDGES["10"](seen(failed(0.85, 0.1, **told))).state == "broke"


# --- rule 7: what outlives the client


@pytest.mark.processes
def test_a_client_that_leaves_children_of_its_servers_behind_is_seen(tmp_path, monkeypatch):
    what = quick(tmp_path, "7", transport="stdio", tools="{ echo = 1 }", fault='fault = "forks_sleeper"')
    good = verdicts(what)
    assert good["7"].held, good
    # Only who leads a group of processes is ended, and its children go on.
    monkeypatch.setattr(os, "killpg", os.kill)
    bad = verdicts(what)
    assert bad["7"].state == "broke", bad
    assert "(sleep) of" in bad["7"].cases[0]


def test_what_ends_by_itself_in_time_was_not_left():
    looks = []

    def look() -> list[str]:
        looks.append(len(looks))
        return ["b", "a"] if len(looks) < 100 else []

    assert list(run_virtual(leftovers(look, 3.0))) == []
    assert list(run_virtual(leftovers(lambda: ["b", "a"], 3.0))) == ["a", "b"]


def test_a_machine_that_stood_still_for_the_whole_grace_gives_another_few_looks():
    looks = []

    def look() -> list[str]:
        looks.append(len(looks))
        return ["a"] if len(looks) < 10 else []

    assert list(run_virtual(leftovers(look, 0.0))) == []
