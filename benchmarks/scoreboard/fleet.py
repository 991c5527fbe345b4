"""Three servers for one run: two stay well, one over stdio and one over HTTP, and the third gets sick on order."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import tempfile
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from recloser.testing.faulty import FaultyStdio, script
from recloser.testing.faulty.work import read_ledger

__all__ = ["Fleet", "Piped", "Served", "fleet"]

PATIENCE = 10.0
"""Seconds that a server may take to listen."""


class Piped:
    """A server over stdio: a command, which the peer starts as often as it likes."""

    def __init__(self, name: str, era: str) -> None:
        self._faulty = FaultyStdio(era=era)  # type: ignore[arg-type]  # one of its eras, by the command line
        self.address = {"name": name, "command": self._faulty.command, "args": self._faulty.args}

    async def behave(self, order: dict[str, Any] | None) -> None:
        """Get sick as ordered, or well."""
        if order is None:
            self._faulty.heal()
        else:
            fields = {key: order[key] for key in ("times", "on")}
            self._faulty.fault(order["fault"], **fields, **order["arguments"])

    def executed(self) -> list[str]:
        """Return the label of each execution of the unsafe tool."""
        return self._faulty.executed("write")

    def alive(self) -> list[int]:
        """Return the processes that were started and are still there, zombies too."""
        return [pid for pid in {*self._faulty.pids(), *self._faulty.sleepers()} if Path(f"/proc/{pid}").exists()]

    async def close(self) -> None:
        """End whatever the peer has left behind."""
        for pid in self.alive():
            try:
                # Its first argument is its interpreter's; a number that is used again is another's.
                if b"faulty" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.kill(pid, 9)
            except OSError:
                continue
        self._faulty.close()


class Served:
    """A server over HTTP: a process that lives as long as the run."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, url: str, ledger: Path) -> None:
        self._process = process
        self._control = f"{url.removesuffix('/mcp')}/control"
        self._ledger = ledger
        self.address = {"name": name, "url": url}

    @classmethod
    async def start(cls, name: str, era: str, directory: Path) -> Served:
        """Start it and wait until it listens."""
        ledger = directory / f"{name}.counts"
        process = await asyncio.create_subprocess_exec(
            *script("--transport", "http", "--era", era, "--count-file", str(ledger)),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            url = (await process.stdout.readline()).decode().strip()
        return cls(name, process, url, ledger)

    async def behave(self, order: dict[str, Any] | None) -> None:
        """Get sick as ordered, or well."""
        body = json.dumps({"fault": None} if order is None else order).encode()

        def post() -> None:
            request = urllib.request.Request(self._control, data=body, method="POST")
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                answer.read()

        # A server that restarts is away for a moment.
        for _ in range(20):
            try:
                await asyncio.to_thread(post)
            except OSError:
                await asyncio.sleep(0.1)
            else:
                return
        await asyncio.to_thread(post)

    def executed(self) -> list[str]:
        """Return the label of each execution of the unsafe tool."""
        return [entry.label for entry in read_ledger(str(self._ledger)) if entry.tool == "write"]

    def alive(self) -> list[int]:
        """Return nothing: its process is the run's, not the peer's."""
        return []

    async def close(self) -> None:
        """End the process."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()


class Fleet:
    """The servers of one run."""

    def __init__(self, *servers: Piped | Served) -> None:
        self.well_stdio, self.well_http, self.sick = servers

    @property
    def all(self) -> tuple[Piped | Served, ...]:
        """All three; the sick one in the middle, so that nothing depends on its being first or last."""
        return self.well_stdio, self.sick, self.well_http

    def addresses(self) -> list[dict[str, Any]]:
        """Return what a peer is told of them."""
        return [dict(server.address) for server in self.all]

    def duplicates(self) -> int:
        """Return how often a call of the unsafe tool was executed beyond its first time."""
        return sum(count - 1 for server in self.all for count in Counter(server.executed()).values())

    def alive(self) -> list[int]:
        """Return the servers' processes that are still there and should not be."""
        return [pid for server in self.all for pid in server.alive()]


@asynccontextmanager
async def fleet(transport: str, era: str, *, well: str = "http") -> AsyncIterator[Fleet]:
    """Prepare the servers of one run: the sick one has the first transport, the second well one the last."""
    with tempfile.TemporaryDirectory(prefix="scoreboard-") as place:
        servers: list[Piped | Served] = []
        try:
            servers.append(Piped("alpha", era))
            for name, over in (("gamma", well), ("sick", transport)):
                servers.append(Piped(name, era) if over == "stdio" else await Served.start(name, era, Path(place)))
            yield Fleet(*servers)
        finally:
            for server in servers:
                await server.close()
