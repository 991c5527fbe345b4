"""What is around a fleet: the clock, a collector, a disk, and a client that has no router."""

from __future__ import annotations

import asyncio
import os
import time

import pytest

from chaos.chaos_kit import member, scenario
from recloser import Server
from recloser.testing.leaks import no_leaks
from recloser.testing.scenario import surroundings
from recloser.testing.scenario.fleets import BuiltFleet
from recloser.testing.scenario.recorder import Recorder
from recloser.testing.scenario.records import Strike
from recloser.testing.scenario.surroundings import Collector, Disk, Surroundings
from recloser.testing.scenario.targets import Order, RawTarget

pytestmark = [pytest.mark.thorough, pytest.mark.processes]


# --- the surroundings


def test_the_wall_clock_steps_and_comes_back():
    clock = surroundings.Clock()
    before = time.time()
    assert "of this process" in clock.step(3600.0)
    assert time.time() - before >= 3600
    assert time.time_ns() / 1e9 - before >= 3600
    clock.restore()
    assert time.time() - before < 3600


def test_a_collector_answers_hangs_and_is_gone():
    async def main():
        async with no_leaks():
            collector = Collector()
            await collector.start()

            async def post(limit: float = 5.0) -> bytes:
                async with asyncio.timeout(limit):
                    reader, writer = await asyncio.open_connection("127.0.0.1", collector.port)
                    writer.write(b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi")
                    try:
                        return await reader.readline()
                    finally:
                        writer.close()

            assert b"200" in await post()
            await collector.hang()
            with pytest.raises(TimeoutError):
                await post(0.1)
            _, hanging = await asyncio.open_connection("127.0.0.1", collector.port)
            await asyncio.sleep(0.05)
            await collector.stop()
            hanging.close()
            with pytest.raises(ConnectionRefusedError):
                await post()
            await collector.start()
            assert b"200" in await post()
            assert (collector.received, collector.url[:17]) == (2, "http://127.0.0.1:")
            await collector.stop()
            await collector.stop()

    asyncio.run(main())


def test_surroundings_that_a_scenario_does_not_ask_for_are_left_alone():
    async def main():
        around = Surroundings(scenario())
        assert dict(await around.start()) == {}
        full = Strike(kind="action", name="audit_disk_full")
        assert "set audit = true" in await around.strike(full)
        assert around.struck(full) == 0
        await around.heal(full)
        refuse_ = Strike(kind="action", name="collector_down", arguments={"refuse": True})
        assert await around.strike(refuse_) == ""
        await around.close()
        await around.remove()

    asyncio.run(main())


@pytest.mark.parametrize("how", ["mount", "device", "nothing"])
def test_a_disk_is_filled_as_well_as_the_system_allows(how, monkeypatch, tmp_path):
    if how == "mount" and os.geteuid() != 0:
        pytest.skip("needs root")
    if how != "mount":
        monkeypatch.setattr(surroundings.shutil, "which", lambda _word: None)
    if how == "nothing":
        monkeypatch.setattr(surroundings, "FULL", tmp_path / "none")

    async def main():
        disk = Disk()
        await disk.start(full=True)
        disk.fill()
        assert disk.can_fill is (how != "nothing")
        if how == "nothing":
            assert "not done" in disk.note
        else:
            with pytest.raises(OSError, match="No space left"), disk.path.open("w", encoding="ascii") as file:
                file.write("x" * 100_000)
                file.flush()
        disk.free()
        if how == "mount":
            disk.path.write_text("one\n", encoding="ascii")
            assert disk.lines() == 1
        if how == "device":
            assert disk.lines() is None
        await disk.close()
        assert not disk.path.exists()

    asyncio.run(main())


# --- the raw client


def test_a_raw_client_tells_in_its_own_words_what_went_wrong():
    async def main():
        async with no_leaks(grace=5.0):
            recorder = Recorder(asyncio.get_running_loop().time)
            fleet = BuiltFleet(scenario(servers=(member("a"), member("b", transport="stdio"))), seed=1)
            await fleet.start()
            servers = [*fleet.servers, Server("gone", "http://127.0.0.1:9/mcp")]
            target = RawTarget(servers, recorder, callback=0.01)
            await target.open()

            def order(server: str, tool: str = "echo") -> Order:
                return Order(server=server, tool=tool, arguments={"text": "x"}, timeout=2.0, caller="c")

            assert (await target.call(order("a"))).good
            assert (await target.call(order("b", "ask"))).good
            told = await target.call(order("gone"))
            assert (told.good, told.code, told.kind) == (False, "ConnectionError", None)
            with pytest.raises(ConnectionError, match="never connected: gone"):
                await target.offered()
            assert target.pid("a") is None
            assert dict(target.in_flight()) == {}
            assert {mark.server for mark in recorder.connections} == {"a", "b"}
            assert any("the client of gone ended" in note for note in recorder.notes)
            await target.close()
            await fleet.close()

    asyncio.run(main())
