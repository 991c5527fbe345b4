"""A faulty server in a process of its own, started again whenever it is over, over either transport."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fixtures import free_port

from recloser import Server
from recloser.testing.faulty import FaultyStdio, script

__all__ = ["Faulty", "faulty_http", "faulty_stdio"]

STARTER = """
import subprocess, sys, time
while True:
    due = time.monotonic() + float(sys.argv[1])
    subprocess.run(sys.argv[2:], input=b"", capture_output=True)
    time.sleep(max(0, due - time.monotonic()))
"""
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

    @property
    def starts(self) -> int:
        """How often the router has started it."""
        return 0

    @asynccontextmanager
    async def started_by_somebody_else(self, rate: float) -> AsyncIterator[None]:
        """Let a process beside us start it so many times a second, and end it at once."""
        raise NotImplementedError
        yield


class _Piped(Faulty):
    def __init__(self, server: FaultyStdio) -> None:
        super().__init__({"command": server.command, "args": server.args})
        self._faulty = server

    async def behave(self, fault: str | None) -> None:
        if fault is None:
            self._faulty.heal()
        else:
            self._faulty.fault(fault)

    @property
    def starts(self) -> int:
        return self._faulty.starts

    @asynccontextmanager
    async def started_by_somebody_else(self, rate: float) -> AsyncIterator[None]:
        command = [self._faulty.command, *self._faulty.args]
        starter = await asyncio.create_subprocess_exec(sys.executable, "-c", STARTER, str(1 / rate), *command)
        try:
            yield
        finally:
            starter.kill()
            await starter.wait()


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
