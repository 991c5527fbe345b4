"""A peer's host as the runner sees it: a process that is told what to do, and that may die or hang."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import recloser.testing.leaks

from .peers import Peer

__all__ = ["Gone", "Hosted", "hosted"]

HERE = Path(__file__).parent
STARTING = 60.0
"""Seconds in which a peer must be imported."""
EXITING = 2.0
"""Seconds in which a host's process must end when it is told to."""
LINE = 64 * 1024 * 1024
"""Bytes of the longest line."""


class Gone(Exception):  # noqa: N818 - an outcome, no error of the runner
    """The peer has ended its host."""


class Hosted:
    """One running driver."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process = process
        self._log = log
        self._events: list[dict[str, Any]] = []
        self._news = asyncio.Event()
        self.gone: str | None = None
        """Why the peer's context is left; None while it is there."""
        self.talks = True
        """Whether the process still answers."""
        self.versions: dict[str, str] = {}
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            event = json.loads(line)
            if event["event"] in ("died", "failed", "closed"):
                self.gone = event["error"] or "it ended by itself"
            self._events.append(event)
            self._news.set()
        self.talks = False
        self.gone = self.gone or "its process ended"
        self._news.set()

    async def send(self, do: str, **order: Any) -> None:
        """Give a command; without effect where nobody reads it."""
        assert self._process.stdin is not None
        with suppress(ConnectionError):
            self._process.stdin.write(json.dumps({"do": do, **order}).encode() + b"\n")
            await self._process.stdin.drain()

    async def wait(self, *names: str, within: float, living: bool = True, **fields: Any) -> dict[str, Any]:
        """Return the next event of that name, with these fields.

        Raises:
            Gone: the peer left its host before, where `living` asks for that.
            TimeoutError: it did not come.
        """
        async with asyncio.timeout(within):
            while True:
                for index, event in enumerate(self._events):
                    if event["event"] in names and all(event.get(key) == value for key, value in fields.items()):
                        return self._events.pop(index)
                if (living and self.gone is not None) or not self.talks:
                    raise Gone(self.gone)
                self._news.clear()
                await self._news.wait()

    async def pause(self, seconds: float) -> None:
        """Let time pass.

        Raises:
            Gone: the peer left its host meanwhile.
        """
        with suppress(TimeoutError):
            await self.wait(within=seconds)

    async def end(self, *, within: float) -> dict[str, Any]:
        """Close the peer, ask what is left, and let the process end; return what was seen of that."""
        seen: dict[str, Any] = {"closed": None, "error": None, "left": [], "lag": None, "exited": False}
        with suppress(TimeoutError, Gone):
            if self.gone is None:
                await self.send("close")
                event = await self.wait("closed", within=within, living=False)
                seen |= {"closed": event["seconds"], "error": event["error"]}
        with suppress(TimeoutError, Gone):
            await self.send("leftovers")
            event = await self.wait("leftovers", within=within, living=False)
            seen |= {"left": event["left"], "lag": event["lag"]}
        return seen

    async def leave(self) -> None:
        """End the process, by force where it does not by itself, and whatever is in its session."""
        await self.send("exit")
        try:
            async with asyncio.timeout(EXITING):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()
        await self._reading

    def stderr(self) -> str:
        """Return the end of what the peer has printed."""
        return self._log.read_text(errors="replace")[-400:]


@asynccontextmanager
async def hosted(peer: Peer, python: str) -> AsyncIterator[Hosted]:
    """Run a peer's driver in its environment."""
    with tempfile.TemporaryDirectory(prefix="scoreboard-host-") as home:
        log = Path(home) / "stderr"
        with log.open("wb") as stderr:
            process = await asyncio.create_subprocess_exec(
                python,
                str(HERE / "driver.py"),
                str(peer.adapter),
                str(recloser.testing.leaks.__file__),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                limit=LINE,
                cwd=home,
                env=_environment(home),
                start_new_session=True,
            )
        host = Hosted(process, log)
        try:
            host.versions = (await host.wait("ready", within=STARTING))["versions"]
            yield host
        except Gone as gone:
            raise RuntimeError(f"{peer.name} does not start: {host.stderr()}") from gone
        finally:
            await host.leave()


def _environment(home: str) -> dict[str, str]:
    """Return the environment of every peer: a home of its own, and nothing told to anybody."""
    return {
        "PATH": os.environ.get("PATH", ""),
        "HOME": home,
        "TMPDIR": home,
        "LANG": "C.UTF-8",
        "DO_NOT_TRACK": "1",
        "MCP_USE_ANONYMIZED_TELEMETRY": "false",
        "OTEL_SDK_DISABLED": "true",
        "NO_PROXY": "127.0.0.1,localhost",
    }
