"""Servers that others have written, as processes that can be killed and, behind a URL, started again."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import mcp_types as types
import pytest

from recloser import Router, Server
from recloser.events import Event

NAME: Final = "third"
"""What every server here is called in its router."""

PACKAGES: Final = Path(__file__).parents[2] / ".npm-servers" / "node_modules"


def npm_server(package: str) -> list[str]:
    """Return the command of an npm server, or skip the test and say what is missing."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed, so the servers from npm cannot run: install node, then `make npm-servers`")
    script = PACKAGES / package / "dist" / "index.js"
    if not script.exists():
        pytest.skip(f"{package} is not installed in .npm-servers: run `make npm-servers`, which needs npm")
    return [node, str(script)]


class Local:
    """A server that the router starts itself."""

    def __init__(self, command: Sequence[str], **options: Any) -> None:
        self.server = Server(NAME, command=command[0], args=command[1:], **options)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The process is the router's."""

    async def kill(self, router: Router) -> None:
        """End it as a crash would; the router starts it again."""
        pid = router.health()[NAME].endpoints[0].pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)

    async def revive(self) -> None:
        """Nothing to do."""


class Remote:
    """A server behind a URL, which keeps its port when it is started again.

    Args:
        command: its program and arguments; `{port}` in them becomes the port.
        path: where it answers.
        running: what its stderr holds once it listens.
        environment: variables for it; `{port}` in them becomes the port.
        options: for the router's `Server`.
    """

    def __init__(
        self,
        command: Sequence[str],
        path: str,
        *,
        running: bytes,
        environment: Mapping[str, str] | None = None,
        **options: Any,
    ) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.server = Server(NAME, f"http://127.0.0.1:{port}{path}", **options)
        self._command = [word.format(port=port) for word in command]
        self._environment = {name: value.format(port=port) for name, value in (environment or {}).items()}
        self._running = running
        self._process: Process | None = None

    async def __aenter__(self) -> Self:
        await self.revive()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end()

    async def kill(self, router: Router) -> None:
        """End it as a crash would."""
        del router
        await self._end()

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            await process.communicate()

    async def revive(self) -> None:
        """Start it; returns when it listens."""
        environment = {**os.environ, **self._environment}
        self._process = process = await asyncio.create_subprocess_exec(
            *self._command, stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE, env=environment
        )
        assert process.stderr is not None
        said = b""
        while self._running not in said:
            line = await process.stderr.readline()
            assert line, f"{self._command} ended: {said.decode(errors='replace')}"
            said += line


Peer = Local | Remote


class Changes:
    """Wakes whoever waits for something that the router tells of by events; a listener."""

    def __init__(self) -> None:
        self._happened = asyncio.Event()

    def __call__(self, event: Event) -> None:
        self._happened.set()

    async def tool(self, router: Router, name: str) -> None:
        """Return once a tool is listed."""
        while name not in {tool.name for tool in await router.list_tools()}:
            self._happened.clear()
            await self._happened.wait()


def text(result: types.CallToolResult) -> str:
    """All that a result says."""
    return "\n".join(block.text for block in result.content if isinstance(block, types.TextContent))
