"""What each kind of toxic does, with each engine, also to connections that are open already."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any

import pytest
from proxy_kit import each_engine, ending, now, run, said, through

pytestmark = pytest.mark.thorough


@each_engine
@pytest.mark.parametrize("stream", ["upstream", "downstream"])
def test_latency_makes_data_late_in_one_direction(engine: str, stream: Any) -> None:
    async def main() -> None:
        async with through(engine) as (proxy, behind, connect):
            connection = await connect()
            await proxy.add("latency", stream=stream, latency=0.3)
            begun = now()
            task = asyncio.create_task(said(connection, b"x"))
            await asyncio.sleep(0.15)
            assert behind.received == (b"" if stream == "upstream" else b"x")
            await task
            assert now() - begun >= 0.3

    run(main, engine)


def test_latency_is_counted_from_when_data_came_and_keeps_its_order() -> None:
    async def main() -> None:
        async with through("asyncio", seed=1) as (proxy, _, connect):
            reader, writer = await connect()
            await proxy.add("latency", stream="upstream", latency=1)
            await proxy.add("latency", latency=2, jitter=0.5)
            begun, arrivals = now(), []
            for _ in range(5):
                writer.write(b"12345")
                await asyncio.sleep(0.1)
            for _ in range(5):
                assert await reader.readexactly(5) == b"12345"
                arrivals.append(now() - begun)
            assert arrivals == sorted(arrivals)
            # Five times three seconds, one after the other, would be fifteen.
            assert 2.5 <= arrivals[0] <= 3.5
            assert arrivals[-1] <= 4
            assert len({round(arrival - number / 10, 3) for number, arrival in enumerate(arrivals)}) > 1

    run(main, "asyncio")


@each_engine
def test_a_latency_can_be_changed_and_removed_while_data_waits_under_it(engine: str) -> None:
    async def main() -> None:
        async with through(engine) as (proxy, _, connect):
            connection = await connect()
            toxic = await proxy.add("latency", latency=1000)
            task = asyncio.create_task(said(connection, b"first"))
            await asyncio.sleep(0.1)
            await toxic.remove()
            assert await task == b"first"
            other = await proxy.add("latency", latency=500)
            await other.update(latency=0.01, jitter=0.005)
            assert other.attributes == {"latency": 0.01, "jitter": 0.005}
            assert await said(connection, b"second") == b"second"
            assert repr(other) == "<Toxic 'latency_downstream' latency downstream toxicity=1 latency=0.01 jitter=0.005>"

    run(main, engine)


def test_a_latency_that_is_changed_counts_for_what_waits_already() -> None:
    async def main() -> None:
        async with through("asyncio") as (proxy, _, connect):
            connection = await connect()
            toxic = await proxy.add("latency", latency=10)
            begun = now()
            task = asyncio.create_task(said(connection, b"x"))
            await asyncio.sleep(1)
            await toxic.update(latency=4)
            await task
            assert now() - begun == pytest.approx(4, abs=0.01)

    run(main, "asyncio")


@each_engine
def test_a_bandwidth_bounds_what_passes_in_a_second(engine: str) -> None:
    async def main() -> None:
        async with through(engine) as (proxy, _, connect):
            connection = await connect()
            await proxy.add("bandwidth", rate=100)
            begun = now()
            assert len(await said(connection, b"x" * 60_000)) == 60_000
            assert now() - begun >= 0.5

    run(main, engine)


def test_a_bandwidth_is_exact_over_time_also_where_the_loop_is_late() -> None:
    async def main() -> None:
        async with through("asyncio") as (proxy, _, connect):
            loop: Any = asyncio.get_running_loop()
            connection = await connect()
            await proxy.add("bandwidth", rate=50)
            for moment in range(1, 52):
                loop.call_later(moment * 0.07, loop.advance, 0.05)
            begun = now()
            await said(connection, b"x" * 200_000)
            assert now() - begun == pytest.approx(4, abs=0.1)

    run(main, "asyncio")


@each_engine
def test_a_bandwidth_of_nought_lets_nothing_pass_until_it_is_removed(engine: str) -> None:
    async def main() -> None:
        async with through(engine) as (proxy, _, connect):
            connection = await connect()
            toxic = await proxy.add("bandwidth", rate=0)
            task = asyncio.create_task(said(connection, b"x" * 5000))
            await asyncio.sleep(0.3)
            assert not task.done()
            await toxic.remove()
            assert await task == b"x" * 5000

    run(main, engine)


def test_a_bandwidth_that_is_changed_counts_from_then_on() -> None:
    async def main() -> None:
        async with through("asyncio") as (proxy, _, connect):
            connection = await connect()
            toxic = await proxy.add("bandwidth", rate=0)
            begun = now()
            task = asyncio.create_task(said(connection, b"x" * 40_000))
            await asyncio.sleep(1)
            await toxic.update(rate=10)
            await asyncio.sleep(2)
            assert not task.done()
            await toxic.remove()
            await task
            assert now() - begun == pytest.approx(3, abs=0.2)

    run(main, "asyncio")


@each_engine
def test_a_slow_close_holds_back_the_end_and_nothing_else(engine: str) -> None:
    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read(100))

    async def main() -> None:
        async with through(engine, once) as (proxy, _, connect):
            await proxy.add("slow_close", delay=0.4)
            reader, writer = await connect()
            begun = now()
            assert await said((reader, writer), b"bye") == b"bye"
            assert await ending(reader) == "end"
            assert now() - begun >= 0.4

    run(main, engine)


@each_engine
def test_a_timeout_lets_nothing_pass_and_closes_the_connection(engine: str) -> None:
    async def main() -> None:
        async with through(engine) as (proxy, behind, connect):
            connection = await connect()
            begun = now()
            await proxy.add("timeout", timeout=0.4)
            task = asyncio.create_task(said(connection, b"x"))
            await asyncio.sleep(0.1)
            assert behind.received == b"x"
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await task
            assert now() - begun >= 0.4

    run(main, engine)


@each_engine
def test_a_timeout_of_nought_holds_the_connection_until_it_is_removed(engine: str) -> None:
    async def main() -> None:
        async with through(engine) as (proxy, _, connect):
            connection = await connect()
            toxic = await proxy.add("timeout", timeout=0)
            task = asyncio.create_task(said(connection, b"x"))
            await asyncio.sleep(0.3)
            assert not task.done()
            await toxic.remove()
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await task
            assert await said(await connect(), b"y") == b"y"

    run(main, engine)


def test_a_connection_that_has_ended_leaves_no_alarm_behind() -> None:
    async def main() -> None:
        async with through("asyncio") as (proxy, _, connect):
            _, writer = await connect()
            await proxy.add("timeout", timeout=1000)
            await asyncio.sleep(1)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
            await asyncio.sleep(1)
            loop: Any = asyncio.get_running_loop()
            assert [handle for handle in loop._scheduled if not handle.cancelled()] == []

    run(main, "asyncio")


def test_a_timeout_that_is_changed_begins_anew_and_swallows_the_end_too() -> None:
    async def main() -> None:
        async with through("asyncio") as (proxy, behind, connect):
            reader, writer = await connect()
            toxic = await proxy.add("timeout", stream="upstream", timeout=1)
            begun = now()
            writer.write(b"x")
            writer.write_eof()
            await asyncio.sleep(0.5)
            await toxic.update(timeout=2)
            assert await ending(reader) == "end"
            assert now() - begun == pytest.approx(2.5, abs=0.01)
            assert behind.received == b""

    run(main, "asyncio")


def test_a_timeout_that_strikes_the_connection_no_more_lets_the_end_pass() -> None:
    async def main() -> None:
        async with through("asyncio") as (proxy, _, connect):
            reader, writer = await connect()
            toxic = await proxy.add("timeout", stream="upstream")
            writer.write_eof()
            await asyncio.sleep(1)
            await toxic.update(toxicity=0)
            assert await ending(reader) == "end"
            connection = await connect()
            await toxic.remove()
            assert await said(connection, b"x") == b"x"

    run(main, "asyncio")


@each_engine
def test_a_reset_peer_resets_the_connection_when_data_comes(engine: str) -> None:
    async def main() -> None:
        async with through(engine) as (proxy, _, connect):
            await proxy.add("reset_peer", timeout=0.2)
            reader, writer = await connect()
            begun = now()
            writer.write(b"x")
            assert await ending(reader) == "reset"
            assert now() - begun >= 0.2

    run(main, engine)


def test_a_reset_peer_that_is_removed_in_time_lets_the_data_pass() -> None:
    async def main() -> None:
        async with through("asyncio") as (proxy, _, connect):
            toxic = await proxy.add("reset_peer", timeout=5)
            connection = await connect()
            task = asyncio.create_task(said(connection, b"x"))
            await asyncio.sleep(1)
            await toxic.remove()
            assert await task == b"x"

    run(main, "asyncio")


@each_engine
def test_a_slicer_cuts_data_into_pieces_with_pauses_between_them(engine: str) -> None:
    async def main() -> None:
        async with through(engine) as (proxy, _, connect):
            await proxy.add("slicer", average_size=10, size_variation=5, delay=0.01)
            reader, writer = await connect()
            begun = now()
            writer.write(b"x" * 400)
            pieces = []
            while sum(pieces) < 400:
                pieces.append(len(await reader.read(65536)))
            assert len(pieces) > 10
            assert now() - begun >= 0.2

    run(main, engine)


def test_a_slicer_that_is_removed_lets_the_rest_pass_in_one() -> None:
    async def main() -> None:
        async with through("asyncio") as (proxy, _, connect):
            toxic = await proxy.add("slicer", average_size=1, delay=1)
            reader, writer = await connect()
            writer.write(b"x" * 1000)
            assert await reader.read(65536) == b"x"
            await toxic.remove()
            assert await reader.readexactly(999) == b"x" * 999
            assert now() < 3

    run(main, "asyncio")


@each_engine
@pytest.mark.parametrize("limit", [0, 5])
def test_a_limit_closes_the_connection_once_so_much_has_passed(engine: str, limit: int) -> None:
    async def main() -> None:
        async with through(engine) as (proxy, _, connect):
            await proxy.add("limit_data", bytes=limit)
            reader, writer = await connect()
            writer.write(b"0123456789")
            assert await reader.read(-1) == b"0123456789"[:limit]

    run(main, engine)


@each_engine
def test_a_limit_counts_over_several_pieces(engine: str) -> None:
    async def main() -> None:
        async with through(engine) as (proxy, _, connect):
            await proxy.add("limit_data", bytes=8)
            connection = await connect()
            assert await said(connection, b"01234") == b"01234"
            connection[1].write(b"56789")
            assert await connection[0].read(-1) == b"567"

    run(main, engine)


@each_engine
@pytest.mark.parametrize(
    ("kind", "numbers", "how"), [("limit_data", {"bytes": 1}, "end"), ("reset_peer", {"timeout": 0.1}, "reset")]
)
def test_an_end_that_a_toxic_makes_comes_late_where_a_slow_close_is_behind_it(
    engine: str, kind: Any, numbers: dict[str, float], how: str
) -> None:
    async def main() -> None:
        async with through(engine) as (proxy, _, connect):
            await proxy.add(kind, **numbers)
            await proxy.add("slow_close", delay=0.4)
            reader, writer = await connect()
            begun = now()
            writer.write(b"x")
            assert await ending(reader) == how
            assert now() - begun >= 0.4 + numbers.get("timeout", 0)

    run(main, engine)
