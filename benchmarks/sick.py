"""A faulty server in a process of its own, started again whenever it is over, over either transport."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fixtures import free_port

from recloser import Server
from recloser.testing.faulty import FaultyStdio, script

__all__ = ["Faulty", "faulty_http", "faulty_stdio"]

REST = 0.05
"""Seconds before a server that is over is started again."""


class Faulty:
    """What a benchmark wants of a faulty server: to be sick or well from now on."""

    def __init__(self, server: dict[str, Any]) -> None:
        self._server = server

    def options(self, name: str, **more: Any) -> Server:
        """Return it as a server of a router."""
        return Server(name, **self._server, **more)

    async def behave(self, fault: str | None) -> None:
        """Have this fault from now on, or none."""
        raise NotImplementedError


class _Piped(Faulty):
    def __init__(self, server: FaultyStdio) -> None:
        super().__init__({"command": server.command, "args": server.args})
        self._faulty = server

    async def behave(self, fault: str | None) -> None:
        if fault is None:
            self._faulty.heal()
        else:
            self._faulty.fault(fault)


class _Served(Faulty):
    """One process after the other on one port; each with the fault of its time."""

    def __init__(self, era: str) -> None:
        self._port = free_port()
        super().__init__({"url": f"http://127.0.0.1:{self._port}/mcp"})
        self._command = script("--transport", "http", "--era", era, "--port", str(self._port))
        self._kept: asyncio.Task[None] | None = None

    async def behave(self, fault: str | None) -> None:
        await self.stop()
        up = asyncio.Event()
        self._kept = asyncio.create_task(self._keep([] if fault is None else ["--fault", fault], up))
        await up.wait()

    async def stop(self) -> None:
        if self._kept is not None:
            self._kept.cancel()
            await asyncio.wait({self._kept})

    async def _keep(self, options: list[str], up: asyncio.Event) -> None:
        while True:
            process = await asyncio.create_subprocess_exec(
                *self._command, *options, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
            try:
                assert process.stdout is not None
                await process.stdout.readline()  # its URL: it listens
                up.set()
                await process.wait()
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
            await asyncio.sleep(REST)


@asynccontextmanager
async def faulty_stdio(era: str) -> AsyncIterator[Faulty]:
    """Prepare a server that the router starts."""
    with FaultyStdio(era=era) as server:  # type: ignore[arg-type]  # from the table of faults
        yield _Piped(server)


@asynccontextmanager
async def faulty_http(era: str) -> AsyncIterator[Faulty]:
    """Run a server over streamable HTTP."""
    server = _Served(era)
    try:
        yield server
    finally:
        await server.stop()
