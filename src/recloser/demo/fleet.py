"""The demo's four servers: started on free loopback ports, and made to fail in the ways that servers do."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import sys
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from recloser.options import Breaker, Retry, Server, Timeouts

START: Final = 20.0
"""Seconds that a demo server gets to come up: importing is slow on a machine that is busy."""

PATIENT: Final = Timeouts(attempt=5, total=12, start=START)
HASTY: Final = Timeouts(attempt=0.75, total=2, start=START)
"""For the server that will hang: short, so that nobody waits long to see what happens then."""

TOUCHY: Final = Breaker(window=10, consecutive=2, open_for=1.5, open_cap=3)

HTTP: Final = {"weather": ("weather_server", "http", "both"), "search": ("search_server", "sse", "legacy")}
"""Module, transport and era of the servers that are reached by a URL."""


class DemoFleet:
    """Two processes of its own (weather, search); the other two (math, notes) are commands that the router starts.

    Its processes end with it in any case: they are killed at the end, and end by themselves when their stdin closes.
    """

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="recloser-demo-")
        self._token_file = Path(self._directory.name, "token")
        self._token = secrets.token_urlsafe(12)
        self._processes: dict[str, Process] = {}
        self._urls: dict[str, str] = {}

    async def __aenter__(self) -> Self:
        self.renew_token()
        try:
            await asyncio.gather(*(self._start(name) for name in HTTP))
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    async def _start(self, name: str) -> None:
        module, transport, era = HTTP[name]
        options = ["--transport", transport, "--era", era, "--until-stdin-closes"]
        if name == "weather":
            options += ["--token-file", str(self._token_file)]
        # A session of its own keeps Ctrl-C from reaching it before the router has closed its connections.
        process = await asyncio.create_subprocess_exec(
            sys.executable, *_module(module), *options, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, start_new_session=True
        )
        self._processes[name] = process
        assert process.stdout is not None  # it is a pipe
        line = b""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(START):
                line = await process.stdout.readline()
        if not line:
            command = f"{sys.executable} -m recloser.demo.servers.{module} --transport {transport}"
            raise ChildProcessError(f"the demo's {name} server did not start; this shows why: {command}")
        self._urls[name] = line.decode().strip()

    async def _close(self) -> None:
        for process in self._processes.values():
            with contextlib.suppress(ProcessLookupError):  # it may have ended already
                process.kill()  # unlike SIGTERM, this ends one that was stopped, too
            await process.wait()
        self._directory.cleanup()

    @property
    def servers(self) -> tuple[Server, ...]:
        """The four servers as a router takes them: mixed transports and eras."""
        bearer: Mapping[str, str] = {"Authorization": f"Bearer {self._token}"}
        return (
            Server("math", command=sys.executable, args=_module("math_server"), trusted=True, timeouts=PATIENT),
            Server("weather", self._urls["weather"], headers=bearer, trusted=True, timeouts=PATIENT),
            Server(
                "search",
                self._urls["search"],
                transport="sse",
                trusted=True,
                timeouts=HASTY,
                retry=Retry(attempts=3),
                breaker=TOUCHY,
            ),
            Server(
                "notes",
                command=sys.executable,
                args=[*_module("notes_server"), "--era", "legacy"],
                trusted=True,
                timeouts=PATIENT,
            ),
        )

    def kill(self, pid: int) -> None:
        """End a process at once, as a crash would."""
        os.kill(pid, signal.SIGKILL)

    def freeze(self, name: str) -> None:
        """Let a server of ours hang: its connections stay open, and nothing answers."""
        self._processes[name].send_signal(signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        """Let it go on."""
        self._processes[name].send_signal(signal.SIGCONT)

    def revoke_token(self) -> None:
        """Make the token that the weather server was configured with worthless: it answers 401 from now on."""
        self._token_file.write_text(secrets.token_urlsafe(12), encoding="utf-8")

    def renew_token(self) -> None:
        """Make it valid again."""
        self._token_file.write_text(self._token, encoding="utf-8")


def _module(name: str) -> list[str]:
    # -P keeps files of the working directory from being imported instead of the libraries.
    return ["-P", "-m", f"recloser.demo.servers.{name}"]
