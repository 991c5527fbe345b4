"""The fault proxy, with each engine: what each kind of toxic does, also to connections that are open already."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import struct
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from recloser.testing.clock import run_virtual
from recloser.testing.leaks import no_leaks
from recloser.testing.proxy import KINDS, FaultProxy

pytestmark = pytest.mark.thorough

ENGINES = [
    "asyncio",
    pytest.param(
        "toxiproxy",
        marks=[
            pytest.mark.processes,
            pytest.mark.skipif(
                shutil.which("toxiproxy-server") is None,
                reason="THE REAL TOXIPROXY IS NOT TESTED AGAINST: toxiproxy-server is not on the PATH",
            ),
        ],
    ),
]
each_engine = pytest.mark.parametrize("engine", ENGINES)

SOON = 20.0
"""Real seconds after which a test is stuck; nothing is asserted of it."""


class Peer:
    """A TCP server that echoes, and can be told to do something else."""

    def __init__(self, behave: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> None:
        self.behave = behave
        self.received = b""
        self.broken = 0
        """How many connections were reset by the other side."""
        self.tasks: set[asyncio.Task[Any]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        try:
            await self.behave(reader, writer)
        except ConnectionError:
            self.broken += 1
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            self.tasks.discard(task)
            writer.close()
            with suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()


@asynccontextmanager
async def peer(behave: Any = None) -> AsyncIterator[tuple[Peer, int]]:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            made.received += data
            writer.write(data)
            await writer.drain()

    made = Peer(behave or echo)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    try:
        yield made, server.sockets[0].getsockname()[1]
    finally:
        server.close()
        tasks = list(made.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


@asynccontextmanager
async def through(
    engine: Any, behave: Any = None, **options: Any
) -> AsyncIterator[tuple[FaultProxy, Peer, Callable[[], Any]]]:
    """A peer, a proxy before it, and what opens a connection through the proxy."""
    writers = []

    async def connect() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        opened = await asyncio.open_connection(proxy.host, proxy.port)
        writers.append(opened[1])
        return opened

    async with peer(behave) as (behind, port), FaultProxy("127.0.0.1", port, engine=engine, **options) as proxy:
        try:
            yield proxy, behind, connect
        finally:
            for writer in writers:
                writer.close()
            for writer in writers:
                with suppress(OSError):
                    await writer.wait_closed()


def run(main: Callable[[], Any], engine: str) -> Any:
    """Run on virtual time, which a real toxiproxy knows nothing of; leave nothing behind."""

    async def whole() -> Any:
        async with no_leaks():
            return await main()

    async def bounded() -> Any:
        async with asyncio.timeout(SOON):
            return await whole()

    return run_virtual(whole) if engine == "asyncio" else asyncio.run(bounded())


def now() -> float:
    return asyncio.get_running_loop().time()


async def said(connection: Any, text: bytes) -> bytes:
    """What comes back for a text, as far as it comes."""
    reader, writer = connection
    writer.write(text)
    return await reader.readexactly(len(text))


async def ending(reader: asyncio.StreamReader) -> str:
    """How a connection ends."""
    try:
        while await reader.read(65536):
            pass
    except ConnectionError:
        return "reset"
    return "end"


# --- without a toxic


@each_engine
def test_without_a_toxic_it_is_as_if_it_were_not_there(engine: str) -> None:
    async def main() -> None:
        async with through(engine) as (proxy, behind, connect):
            assert (proxy.kind, proxy.enabled, proxy.toxics) == (engine, True, ())
            assert proxy.address == f"127.0.0.1:{proxy.port}"
            text = os.urandom(3_000_000)
            reader, writer = await connect()
            writer.write(text)
            assert await reader.readexactly(len(text)) == text
            assert behind.received == text
            assert await said(await connect(), b"another") == b"another"

    run(main, engine)


def test_the_end_of_one_direction_is_told_and_the_other_goes_on() -> None:
    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        text = await reader.read(-1)
        writer.write(str(len(text)).encode())
        await writer.drain()

    async def main() -> None:
        async with through("asyncio", count) as (_, _, connect):
            reader, writer = await connect()
            writer.write(b"x" * 100_000)
            writer.write_eof()
            assert await reader.read(-1) == b"100000"

    run(main, "asyncio")


@each_engine
def test_a_peer_that_does_not_read_holds_up_the_sender(engine: str) -> None:
    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.get_running_loop().create_future()

    async def main() -> None:
        async with through(engine, deaf) as (_, _, connect):
            _, writer = await connect()
            sent = 0
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1):
                    while sent < 200_000_000:
                        writer.write(b"x" * 65536)
                        await writer.drain()
                        sent += 65536
            # What fits into the proxy and the buffers of four sockets; not the two hundred that there were.
            assert sent < 64_000_000
            writer.transport.abort()

    run(main, engine)


def test_the_reset_of_one_side_is_the_others_too() -> None:
    async def main() -> None:
        gone = asyncio.Event()

        async def abort(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

        async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await reader.read(1)
                await reader.read(1)
            finally:
                gone.set()

        async with through("asyncio", abort) as (_, _, connect):
            reader, writer = await connect()
            writer.write(b"x")
            assert await ending(reader) == "reset"
        async with through("asyncio", hear) as (_, behind, connect):
            _, writer = await connect()
            writer.write(b"x")
            await asyncio.sleep(0.1)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
            await gone.wait()
            await asyncio.sleep(0.1)
            assert behind.broken == 1

    run(main, "asyncio")


@each_engine
def test_a_server_that_is_not_there_ends_the_connection(engine: str) -> None:
    async def main() -> None:
        async with through(engine) as (proxy, _, _):
            gone = proxy.port
        async with FaultProxy("127.0.0.1", gone, engine=engine) as proxy:
            reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
            assert await ending(reader) in ("end", "reset")
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    run(main, engine)


# --- down and up


@each_engine
def test_down_closes_the_port_and_all_connections_and_up_opens_the_same_port(engine: str) -> None:
    async def main() -> None:
        async with through(engine) as (proxy, _, connect):
            connection = await connect()
            assert await said(connection, b"first") == b"first"
            port = proxy.port
            await proxy.down()
            await proxy.down()
            assert not proxy.enabled
            assert await ending(connection[0]) in ("end", "reset")
            with pytest.raises(ConnectionRefusedError):
                await connect()
            await proxy.up()
            await proxy.up()
            assert (proxy.enabled, proxy.port) == (True, port)
            assert await said(await connect(), b"second") == b"second"

    run(main, engine)


@each_engine
def test_a_reset_removes_all_toxics_and_opens_the_port(engine: str) -> None:
    async def main() -> None:
        async with through(engine) as (proxy, _, connect):
            toxic = await proxy.add("limit_data", bytes=0)
            await proxy.add("timeout", stream="upstream")
            await proxy.down()
            await proxy.reset()
            assert (proxy.toxics, proxy.enabled) == ((), True)
            assert await said(await connect(), b"again") == b"again"
            await toxic.remove()
            with pytest.raises(ValueError, match="toxic 'limit_data_downstream' was removed"):
                await toxic.update(bytes=1)

    run(main, engine)


@each_engine
def test_it_can_be_started_again_on_the_same_port_and_has_forgotten_its_toxics(engine: str) -> None:
    async def main() -> None:
        async with peer() as (_, port):
            proxy = FaultProxy("127.0.0.1", port, engine=engine)
            await proxy.start()
            await proxy.start()
            first = proxy.port
            await proxy.add("timeout")
            await proxy.down()
            await proxy.stop()
            await proxy.stop()
            await proxy.start()
            assert (proxy.port, proxy.toxics) == (first, ())
            await proxy.stop()

    run(main, engine)


# --- each kind


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


# --- whom they strike


@each_engine
def test_the_toxicity_is_the_share_of_connections_that_are_struck(engine: str) -> None:
    async def main() -> None:
        async with through(engine, seed=3) as (proxy, _, connect):
            toxic = await proxy.add("limit_data", toxicity=0.5, bytes=0)
            ends = 0
            for _ in range(40):
                reader, writer = await connect()
                writer.write(b"x")
                ends += not await reader.read(1)
            assert 8 <= ends <= 32
            assert toxic.struck == (ends if engine == "asyncio" else 0)
            await toxic.update(toxicity=0)
            assert await said(await connect(), b"x") == b"x"
            assert toxic.toxicity == 0

    run(main, engine)


def test_the_same_seed_strikes_the_same_connections() -> None:
    def struck(seed: int) -> list[bool]:
        async def main() -> list[bool]:
            async with through("asyncio", seed=seed) as (proxy, _, connect):
                await proxy.add("limit_data", toxicity=0.5, bytes=0)
                found = []
                for _ in range(20):
                    reader, writer = await connect()
                    writer.write(b"x")
                    found.append(not await reader.read(1))
                return found

        return run(main, "asyncio")

    assert struck(1) == struck(1) != struck(2)


def test_a_toxic_that_comes_while_data_is_on_its_way_strikes_that_too() -> None:
    async def main() -> None:
        async with through("asyncio") as (proxy, _, connect):
            connection = await connect()
            await proxy.add("latency", latency=2)
            task = asyncio.create_task(said(connection, b"0123456789"))
            await asyncio.sleep(1)
            await proxy.add("limit_data", bytes=4)
            with pytest.raises(asyncio.IncompleteReadError) as caught:
                await task
            assert caught.value.partial == b"0123"

    run(main, "asyncio")


@each_engine
def test_several_toxics_strike_one_after_the_other(engine: str) -> None:
    async def main() -> None:
        async with through(engine) as (proxy, _, connect):
            names = [
                (await proxy.add("latency", latency=0.1)).name,
                (await proxy.add("latency", name="more", latency=0.1)).name,
                (await proxy.add("slicer", average_size=3, size_variation=1)).name,
                (await proxy.add("limit_data", bytes=20)).name,
            ]
            assert [toxic.name for toxic in proxy.toxics] == names
            reader, writer = await connect()
            begun = now()
            writer.write(b"x" * 50)
            assert await reader.read(-1) == b"x" * 20
            assert now() - begun >= 0.2

    run(main, engine)


@each_engine
def test_the_end_of_the_proxy_ends_whatever_is_on_its_way(engine: str) -> None:
    async def main() -> None:
        async with through(engine) as (proxy, _, connect):
            for kind, numbers in {
                "latency": {"latency": 1000},
                "timeout": {"timeout": 1000},
                "bandwidth": {"rate": 1},
            }.items():
                toxic = await proxy.add(kind, **numbers)
                _, writer = await connect()
                writer.write(b"x" * 100_000)
                await asyncio.sleep(0.05)
                del toxic
            await proxy.stop()

    run(main, engine)


def test_a_closed_connection_whose_peer_does_not_take_the_rest_ends_with_the_proxy() -> None:
    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    async def main() -> None:
        async with through("asyncio", flood) as (proxy, _, connect):
            await proxy.add("timeout", stream="upstream", timeout=1)
            _, writer = await connect()
            await asyncio.sleep(2)
            await proxy.stop()
            writer.transport.abort()

    run(main, "asyncio")


def test_a_client_that_has_gone_before_it_was_let_in_is_no_failure() -> None:
    async def main() -> None:
        async with through("asyncio") as (proxy, _, connect):
            engine: Any = proxy.engine
            engine._accept(engine._listener)  # nobody is there
            assert await said(await connect(), b"x") == b"x"

    run(main, "asyncio")


def test_a_proxy_that_ends_while_it_connects_leaves_nothing_behind() -> None:
    async def main() -> None:
        # An address that is never answered: of the block for documentation.
        async with FaultProxy("192.0.2.1", 9) as proxy:
            _, writer = await asyncio.open_connection(proxy.host, proxy.port)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            await proxy.add("latency", latency=1)
            await proxy.stop()
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    run(main, "asyncio")


# --- what is refused


@pytest.mark.parametrize(
    ("kind", "given", "says"),
    [
        ("latenzy", {}, "unknown toxic 'latenzy'; known: latency, bandwidth"),
        ("latency", {"delay": 1}, "latency has no attribute 'delay'; known: latency, jitter"),
        ("latency", {"latency": -1}, "latency.latency must not be negative"),
        ("latency", {"latency": float("inf")}, "latency.latency must not be negative"),
        ("limit_data", {"bytes": 1.5}, "limit_data.bytes must be a whole number of bytes"),
        ("slicer", {"average_size": 5, "size_variation": 5}, "size_variation must be less than average_size"),
        ("latency", {"toxicity": 1.5}, "toxicity must be between 0 and 1"),
        ("latency", {"stream": "sideways"}, "stream must be upstream or downstream, got 'sideways'"),
    ],
)
def test_a_toxic_that_makes_no_sense_is_refused_and_not_added(kind: Any, given: Any, says: str) -> None:
    async def main() -> None:
        async with through("asyncio") as (proxy, _, _):
            with pytest.raises(ValueError, match=says):
                await proxy.add(kind, **given)
            assert proxy.toxics == ()

    run(main, "asyncio")


def test_a_number_that_is_none_and_a_name_that_is_taken_are_refused() -> None:
    async def main() -> None:
        async with through("asyncio") as (proxy, _, _):
            with pytest.raises(TypeError, match=r"latency\.latency must be a number, got '1'"):
                await proxy.add("latency", latency="1")
            await proxy.add("latency")
            with pytest.raises(ValueError, match="there is a toxic 'latency_downstream' already"):
                await proxy.add("latency")

    run(main, "asyncio")


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "example.com", "::"])
def test_it_listens_on_this_machine_alone(host: str) -> None:
    with pytest.raises(ValueError, match="listens on this machine alone"):
        FaultProxy("127.0.0.1", 1, host=host)


def test_an_engine_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="engine must be asyncio, toxiproxy or auto, got 'steam'"):
        FaultProxy("127.0.0.1", 1, engine="steam")


def test_it_listens_on_the_other_loopback_address_too() -> None:
    async def main() -> None:
        async with peer() as (_, port), FaultProxy("127.0.0.1", port, host="::1") as proxy:
            assert proxy.address == f"[::1]:{proxy.port}"
            connection = await asyncio.open_connection("::1", proxy.port)
            assert await said(connection, b"six") == b"six"
            connection[1].close()
            await connection[1].wait_closed()

    run(main, "asyncio")


def test_it_does_nothing_before_it_was_started() -> None:
    async def main() -> None:
        with pytest.raises(RuntimeError, match="has not been started"):
            await FaultProxy("127.0.0.1", 1).add("latency")

    asyncio.run(main())


def test_every_number_of_every_kind_has_a_unit_or_says_what_it_counts() -> None:
    for facts in KINDS.values():
        assert facts.does
        assert all(attribute.does for attribute in facts.attributes.values())


# --- which engine


def test_the_engine_is_chosen_by_what_is_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert FaultProxy("127.0.0.1", 1, engine="auto").kind == "asyncio"
    program = tmp_path / "toxiproxy-server"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert FaultProxy("127.0.0.1", 1, engine="auto").kind == "toxiproxy"
    assert FaultProxy("127.0.0.1", 1).kind == "asyncio"


def test_a_real_one_that_is_missing_is_said_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    async def main() -> None:
        with pytest.raises(RuntimeError, match="toxiproxy-server is not on the PATH"):
            await FaultProxy("127.0.0.1", 1, engine="toxiproxy").start()

    asyncio.run(main())


STAND_IN = f"""#!{sys.executable}
import http.server, json, signal, sys

class Api(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(200, {{"version": "0"}})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        open("asked", "a").write(json.dumps([self.path, body]) + "\\n")
        if body.get("name") == "bad":
            self.answer(409, {{"error": "toxic already exists", "status": 409}})
        else:
            self.answer(200, {{"listen": "127.0.0.1:4711"}})

    def do_DELETE(self):
        self.send_response(204)
        self.end_headers()

    def answer(self, status, body):
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *args):
        pass

open("argv", "w").write(" ".join(sys.argv[1:]))
if STUBBORN:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[4])), Api).serve_forever()
"""


def stand_in(place: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a program in the place of the real one."""
    program = place / "toxiproxy-server"
    program.write_text(text)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(place))
    monkeypatch.chdir(place)


@pytest.mark.processes
def test_a_real_one_is_told_in_its_own_units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path, STAND_IN.replace("STUBBORN", "False"), monkeypatch)

    async def main() -> None:
        async with FaultProxy("::1", 80, engine="auto", seed=5) as proxy:
            assert proxy.port == 4711
            await proxy.add("latency", latency=0.25, jitter=0.0001)
            await proxy.add("slicer", average_size=1, delay=0.001, stream="upstream", toxicity=0.5)
            rate = await proxy.add("bandwidth", rate=0.2)
            await rate.update(rate=10)
            await rate.remove()
            with pytest.raises(RuntimeError, match=r"toxiproxy-server answered 409: .*toxic already exists"):
                await proxy.add("timeout", name="bad")
            assert len(proxy.toxics) == 2
            await proxy.down()

    asyncio.run(main())
    argv = (tmp_path / "argv").read_text().split()
    assert argv[:2] == ["-host", "127.0.0.1"]
    assert argv[-2:] == ["-seed", "5"]
    asked = (tmp_path / "asked").read_text().splitlines()
    assert '"upstream": "[::1]:80"' in asked[0]
    assert '"toxicity": 1.0, "attributes": {"latency": 250, "jitter": 1}' in asked[1]
    assert '"stream": "upstream"' in asked[2]
    assert '"toxicity": 0.5' in asked[2]
    assert '"average_size": 2, "size_variation": 1, "delay": 1000' in asked[2]
    assert '"attributes": {"rate": 1}' in asked[3]
    assert '["/proxies/proxy/toxics/bandwidth_downstream", {"toxicity": 1.0, "attributes": {"rate": 10}}]' in asked[4]
    assert '["/proxies/proxy", {"enabled": false}]' in asked[-1]


@pytest.mark.processes
def test_a_real_one_that_does_not_heed_its_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path, STAND_IN.replace("STUBBORN", "True"), monkeypatch)
    monkeypatch.setattr("recloser.testing.proxy.toxiproxy.END", 0.01)

    async def main() -> None:
        async with no_leaks(), FaultProxy("127.0.0.1", 80, engine="toxiproxy"):
            pass

    asyncio.run(main())


@pytest.mark.processes
def test_a_real_one_that_ends_at_once_or_never_serves_is_said_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path, "#!/bin/sh\nexit 3\n", monkeypatch)

    async def main(says: str) -> None:
        async with no_leaks():
            with pytest.raises(RuntimeError, match=says):
                await FaultProxy("127.0.0.1", 1, engine="toxiproxy").start()

    asyncio.run(main(r"does not serve its API \(exit code 3\)"))
    silent = f"#!{sys.executable}\nimport socket, sys\n"
    silent += "s = socket.create_server(('127.0.0.1', int(sys.argv[4])))\nwhile True: s.accept()[0].close()\n"
    stand_in(tmp_path, silent, monkeypatch)
    monkeypatch.setattr("recloser.testing.proxy.toxiproxy.START", 0.5)
    asyncio.run(main(r"does not serve its API \(exit code None\)"))
