"""What the tests of the fault proxy share: its engines, a peer behind it, and connections through it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from recloser.testing.clock import run_virtual
from recloser.testing.leaks import no_leaks
from recloser.testing.proxy import FaultProxy

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
