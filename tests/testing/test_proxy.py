"""The fault proxy, with each engine: without a toxic, down and up again, and at its end."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from contextlib import suppress
from typing import Any

import pytest
from proxy_kit import each_engine, ending, peer, run, said, through

from recloser.testing.proxy import FaultProxy

pytestmark = pytest.mark.thorough


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


# --- its end


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
