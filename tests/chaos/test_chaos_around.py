"""Faults of our own surroundings in a run, and the corners of the engine's helpers."""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import time

import mcp_types as types
import pytest

from chaos.chaos_kit import FakeFleet, FakeTarget, imagined, member, scenario, seen, struck
from recloser import Server
from recloser.cli import main
from recloser.cli.chaos import running
from recloser.events import AttemptFinished, CallFinished
from recloser.testing.scenario.engine import Engine
from recloser.testing.scenario.fleets import BuiltFleet, ConfigFleet
from recloser.testing.scenario.load import specs_for
from recloser.testing.scenario.planted import Planted
from recloser.testing.scenario.recorder import Recorder
from recloser.testing.scenario.records import Load, Strike
from recloser.testing.scenario.targets import RawTarget
from recloser.testing.scenario.web_member import HttpMember


def around(name: str, at: float, until: float | None, **arguments) -> Strike:
    return Strike(kind="action", name=name, at=at, until=until, arguments=arguments)


@pytest.mark.processes
def test_a_run_strikes_its_own_surroundings_and_makes_them_well_again():
    seen_clock = []

    class Watches(FakeTarget):
        async def call(self, order):
            seen_clock.append(time.time())
            assert {"tracer_provider", "meter_provider", "audit", "secrets"} <= set(self.options)
            return await super().call(order)

    timeline = (
        around("clock_step", 0.1, 0.3, seconds=-86400.0),
        around("collector_down", 0.1, 0.2),
        around("collector_down", 0.3, None, refuse=True),
        around("audit_disk_full", 0.1, 0.4),
    )
    what = scenario(
        loads=(Load(name="a", rate=60, tools={"echo": 1}),),
        timeline=timeline,
        duration=0.5,
        telemetry=True,
        audit=True,
        secrets=True,
    )

    async def go():
        fleet = FakeFleet("sick", "well")
        planted = Planted(random.Random(1))
        engine = Engine(what, fleet, lambda _s, recorder, more: Watches(fleet, recorder, more), seed=1, planted=planted)
        return await engine.run()

    run = asyncio.run(go())
    now = time.time()
    assert min(seen_clock) < now - 80_000 < max(seen_clock)
    assert {each.server for each in run.struck} == {None}
    assert [each.ended is None for each in run.struck].count(True) == 1
    assert run.audited in ((0, 0), None)
    assert run.leftovers == ()
    assert any(note.startswith("clock_step: of this process") for note in run.notes)


@pytest.mark.processes
def test_an_audit_log_without_planted_secrets_is_only_counted():
    run = asyncio.run(real(scenario(loads=(Load(name="a", rate=60, tools={"echo": 1}),), duration=0.2, audit=True)))
    assert run.audited == (0, 0)


def test_what_fails_while_everything_is_closed_keeps_nothing_open():
    class Breaks(FakeTarget):
        async def close(self):
            raise RuntimeError("it does not close")

    class Fleet(FakeFleet):
        async def start(self):
            raise ChildProcessError("it does not start")

    for fleet, make, error in ((FakeFleet("a"), Breaks, RuntimeError), (Fleet("a"), FakeTarget, ChildProcessError)):
        with pytest.raises(error):
            asyncio.run(real(scenario(loads=(Load(name="a", tools={"echo": 1}),), duration=0.1), fleet, make))
        assert fleet.life[-1] == "close"


async def real(what, fleet=None, make=FakeTarget):
    """Run a scenario in real time on servers that are nowhere."""
    servers = fleet or FakeFleet("sick", "well")
    return await Engine(what, servers, lambda _s, recorder, more: make(servers, recorder, more), seed=1).run()


def test_what_others_log_is_looked_at_from_warnings_on():
    planted = Planted(random.Random(1))
    for level in (logging.INFO, logging.WARNING):
        planted.emit(logging.LogRecord("other", level, "x", 1, planted.token, (), None))
    assert planted.found == ("the credential in the log of other",)


def attempt(call_id: str) -> AttemptFinished:
    about = {"server": "sick", "endpoint": "e", "method": "tools/call", "name": "echo", "known": True}
    return AttemptFinished(call_id=call_id, attempt=1, kind="primary", duration=0.0, code=None, **about)


def test_attempts_of_calls_that_nobody_asked_for_or_that_never_ended_are_kept_too():
    recorder = Recorder(lambda: 1.0)
    recorder.hear(attempt("a"))
    recorder.hear(attempt("b"))
    recorder.hear(
        CallFinished(
            call_id="a",
            method="tools/call",
            key="echo",
            server="sick",
            name="echo",
            known=True,
            caller=None,
            outcome="success",
            code=None,
            attempts=1,
            duration=0.0,
        )
    )
    recorder.close()
    assert [each.label for each in recorder.attempts] == ["", ""]
    assert recorder.finished("nobody") is None
    assert recorder.states() == {}


def test_read_only_tools_are_those_that_say_so_and_can_be_called():
    def tool(name: str, *, read_only: bool | None, required: tuple[str, ...] = ()) -> types.Tool:
        hints = None if read_only is None else types.ToolAnnotations(read_only_hint=read_only)
        return types.Tool(name=name, input_schema={"type": "object", "required": list(required)}, annotations=hints)

    offered = {
        "a": [
            tool("files.look", read_only=True),
            tool("ask", read_only=True, required=("what",)),
            tool("change", read_only=False),
            tool("unsaid", read_only=None),
        ]
    }
    found = specs_for(Load(name="l", tools={"read-only": 1.0}), ["a", "b"], frozenset(), offered)
    assert [(each.server, each.tool, each.safe, dict(each.arguments)) for each in found] == [
        ("a", "files.look", True, {})
    ]


def test_a_user_s_server_without_a_process_of_ours_is_not_killed():
    kill = Strike(kind="action", name="kill", servers=("a",))

    async def go():
        fleet = ConfigFleet(
            scenario(timeline=(kill,)), [Server("a", "http://127.0.0.1:9/mcp")], frozenset({"a"}), kill=True, seed=1
        )
        await fleet.start()
        target = FakeTarget(FakeFleet("a"), Recorder(asyncio.get_running_loop().time), {})
        assert await fleet.strike(kill, "a", target) == "it has no process of ours"
        assert fleet.struck(kill, "a") == 0
        await fleet.heal(kill, "a")
        assert (await fleet.cancels(), fleet.starts(), fleet.executed()) == ({}, {}, None)
        await fleet.close()

    asyncio.run(go())


def test_a_kill_that_comes_too_late_for_its_process_has_struck_nothing(monkeypatch):
    kill = Strike(kind="action", name="kill", servers=("a",))

    class Knows(FakeTarget):
        def pid(self, server):
            return 2**22 + 1

    async def go():
        fleet = ConfigFleet(scenario(timeline=(kill,)), [Server("a", command="x")], frozenset({"a"}), kill=True, seed=1)
        await fleet.start()
        target = Knows(FakeFleet("a"), Recorder(asyncio.get_running_loop().time), {})
        assert await fleet.strike(kill, "a", target) == ""
        assert fleet.struck(kill, "a") == 0

    asyncio.run(go())


def test_servers_that_were_never_started_are_closed_all_the_same():
    async def go():
        fleet = BuiltFleet(scenario(servers=(member("a"), member("b", transport="stdio"))), seed=1)
        assert isinstance(fleet._members["a"], HttpMember)
        await fleet._members["a"]._end(stay_down=False)
        assert await fleet._members["b"].strike(Strike(kind="action", name="kill")) == ""
        await fleet.close()

    asyncio.run(go())


def test_a_raw_client_that_nobody_opened_closes():
    async def go():
        recorder = Recorder(asyncio.get_running_loop().time)
        await RawTarget([], recorder).close()

    asyncio.run(go())


@pytest.mark.processes
def test_a_raw_client_that_does_not_close_is_given_up(monkeypatch):
    from recloser.testing.scenario import targets

    class Clings:
        protocol_version = "2026-07-28"

        def __init__(self, *_arguments, **_options):
            pass

        async def __aenter__(self):
            return self

        async def __aexit__(self, *_exc_info):
            await asyncio.sleep(3600)

    monkeypatch.setattr(targets, "Client", Clings)
    monkeypatch.setattr(targets, "ENDED", 0.05)

    async def go():
        recorder = Recorder(asyncio.get_running_loop().time)
        target = RawTarget([Server("a", command="x", env={"A": "b"})], recorder)
        await target.open()
        await target.close()
        return recorder

    assert "raw: clients did not close by themselves" in asyncio.run(go()).notes


def test_a_run_has_its_own_end_when_calls_come_back_after_it():
    class Slow(FakeTarget):
        takes = 0.6

    run = imagined(scenario(loads=(Load(name="a", rate=20, tools={"echo": 1}),), duration=1.0), Slow)
    assert run.ended == 1.0
    assert max(each.ended for each in run.samples) > 1.0


# --- the command's corners


def handmade(monkeypatch: pytest.MonkeyPatch, run) -> None:
    async def made(*_arguments: object, **_options: object):
        if isinstance(run, BaseException):
            raise run
        return run

    monkeypatch.setattr(running, "run_scenario", made)


def test_notes_are_told(monkeypatch, capsys):
    handmade(monkeypatch, seen(scenario=scenario("7"), leftovers=(), notes=("by a proxy",), struck=(struck(),)))
    assert main(["chaos", "run", "slow_one"]) == 0
    assert "Note: by a proxy" in capsys.readouterr().err


def test_what_cancels_the_command_from_outside_goes_on_as_it_came(monkeypatch):
    handmade(monkeypatch, asyncio.CancelledError())
    with pytest.raises(asyncio.CancelledError):
        main(["chaos", "run", "slow_one"])


def test_beside_the_main_thread_nothing_hears_ctrl_c(monkeypatch):
    handmade(monkeypatch, seen(scenario=scenario("7"), leftovers=()))
    codes = []
    thread = threading.Thread(target=lambda: codes.append(main(["chaos", "run", "slow_one", "--allow-kill"])))
    thread.start()
    thread.join()
    assert codes == [0]
