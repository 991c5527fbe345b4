"""What is around a router and can fail too: the wall clock, the telemetry collector, the disk of the audit log."""

from __future__ import annotations

import asyncio
import gzip
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from recloser.testing.scenario.records import Scenario, Strike

if TYPE_CHECKING:
    from recloser.testing.scenario.witness import Witness

__all__ = ["Clock", "Collector", "Disk", "Surroundings"]

OFTEN: Final = 0.2
"""Seconds between two exports of metrics, so that much is sent while the collector is down."""
ROOM: Final = 4 * 1024 * 1024
"""Bytes of the audit log's own small disk."""
BLOCK: Final = 16 * 1024
"""Bytes that are written at once to fill it."""
FULL: Final = Path("/dev/full")
"""The device that is always full, where there is one."""
FLUSHED: Final = 2.0
"""Seconds that telemetry and audit get to write what is left."""


class Clock:
    """The wall clock of this process: moved by letting `time.time` and `time.time_ns` tell another time.

    The system's own clock is left alone.
    """

    def __init__(self) -> None:
        self._true = (time.time, time.time_ns)  # noqa: TID251 - it is what is moved here

    def step(self, seconds: float) -> str:
        """Move the clock by so many seconds, backwards if negative; return what a reader must know."""
        now, now_ns = self._true
        moved = int(seconds * 1e9)
        setattr(time, "time", lambda: now() + seconds)  # noqa: B010 - a function of the standard library is replaced
        setattr(time, "time_ns", lambda: now_ns() + moved)  # noqa: B010 - as above
        return "of this process; the system's clock was left alone"

    def restore(self) -> None:
        """Let it tell the true time again."""
        setattr(time, "time", self._true[0])  # noqa: B010 - as above
        setattr(time, "time_ns", self._true[1])  # noqa: B010 - as above


class Collector:
    """A telemetry collector on a loopback port: it takes what comes, never answers, or is gone.

    `look`, if there is one, is shown all that comes.
    """

    def __init__(self, look: Callable[[str, str], None] | None = None) -> None:
        self._look = look
        self.port = 0
        self.received = 0
        """Requests that were answered."""
        self._hangs = False
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        """Where telemetry is sent."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listen."""
        self._hangs = False
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def hang(self) -> None:
        """Take connections and answer nothing from now on."""
        self._hangs = True

    async def stop(self) -> None:
        """Refuse connections, and drop those that are open."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
            for writer in tuple(self._open):
                writer.transport.abort()
            # One turn: the transports close their sockets in it.
            await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
                self._hear(head, await reader.readexactly(length))
                if self._hangs:
                    await reader.read()
                    return
                self.received += 1
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n")
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            self._open.discard(writer)
            writer.close()

    def _hear(self, head: bytes, body: bytes) -> None:
        if self._look is not None:
            plain = gzip.decompress(body) if b"content-encoding: gzip" in head.lower() else body
            # Texts stand in it as they are, between bytes that are none.
            self._look(
                "a metric" if b"/metrics" in head.split(b"\r\n")[0] else "a span", plain.decode(errors="replace")
            )


class Disk:
    """A small disk for the audit log, that can be filled: a file system of its own, or the device that is always full.

    `note` says which.
    """

    def __init__(self) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="chaos-audit-"))
        self._mounted = False
        self.can_fill = False
        """Whether filling it does anything."""
        self.path = self._directory / "audit.jsonl"
        self.note = ""

    async def start(self, *, full: bool) -> None:
        """Make it; `full`: it will have to be full."""
        if not full:
            return
        if shutil.which("mount") and hasattr(os, "geteuid") and os.geteuid() == 0:
            words = ("mount", "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", str(self._directory))
            self._mounted = await _ran(*words)
        self.can_fill = self._mounted or FULL.exists()
        if self._mounted:
            self.note = "a file system of its own that was filled"
        elif self.can_fill:
            self.path.symlink_to(FULL)
            self.note = "the device /dev/full, from the start to the end: no file system could be made here"
        else:
            self.note = "not done: this system has neither file systems of one's own nor /dev/full"

    def fill(self) -> None:
        """Use up all its room."""
        if self._mounted:
            with suppress(OSError), (self._directory / "filler").open("ab", buffering=0) as filler:
                while True:
                    filler.write(b"x" * BLOCK)

    def free(self) -> None:
        """Give the room back."""
        (self._directory / "filler").unlink(missing_ok=True)

    def lines(self) -> int | None:
        """Return how many lines the log has; None where it is no file."""
        return None if self.path.is_symlink() else self.text().count("\n")

    def text(self) -> str:
        """Return the whole log."""
        return self.path.read_text(encoding="ascii")

    async def close(self) -> None:
        """Remove it."""
        if self._mounted:
            await _ran("umount", "-l", str(self._directory))
        shutil.rmtree(self._directory, ignore_errors=True)


async def _ran(*words: str) -> bool:
    quiet = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(*words, stdin=quiet, stdout=quiet, stderr=quiet)
    return await process.wait() == 0


class Surroundings:
    """All that is around the router in one run; written by its own methods."""

    def __init__(self, scenario: Scenario, look: Callable[[str, str], None] | None = None) -> None:
        """Prepare it; `look` is shown all spans and metrics, where somebody looks for secrets in them."""
        self._scenario = scenario
        self._look = look
        self._witness: Witness | None = None
        self._clock = Clock()
        self.collector = Collector(look)
        self.disk: Disk | None = None
        self._telemetry: Any = None
        self._log: Any = None
        self.lost = 0
        """Records of the audit that could not be written in the end."""

    async def start(self) -> Mapping[str, Any]:
        """Make what the scenario asks for; return what of it a router takes as arguments."""
        options: dict[str, Any] = {}
        if self._scenario.telemetry:
            await self.collector.start()
            options |= self._configured()
        elif self._look is not None:
            options |= self._witnessed(self._look)
        if self._scenario.audit:
            from recloser.audit import AuditLog

            self.disk = Disk()
            await self.disk.start(full=any(each.name == "audit_disk_full" for each in self._scenario.timeline))
            self._log = AuditLog(self.disk.path)
            options["audit"] = self._log
        return MappingProxyType(options)

    def _witnessed(self, look: Callable[[str, str], None]) -> dict[str, Any]:
        from recloser.testing.scenario.witness import Witness

        self._witness = Witness(look)
        return {
            "tracer_provider": self._witness.tracer_provider,
            "meter_provider": self._witness.meter_provider,
        }

    @property
    def looked_at(self) -> int:
        """How much telemetry was looked at: spans and metrics, or what was sent to the collector."""
        return self.collector.received if self._witness is None else self._witness.seen

    def _configured(self) -> dict[str, Any]:
        from recloser.telemetry import configure

        self._telemetry = configure(
            otlp_endpoint=self.collector.url,
            logs="off",
            set_global=False,
            metrics_every=OFTEN,
        )
        return {
            "tracer_provider": self._telemetry.tracer_provider,
            "meter_provider": self._telemetry.meter_provider,
        }

    async def strike(self, strike: Strike) -> str:
        """Let a fault begin; return what a reader must know."""
        match strike.name:
            case "clock_step":
                return self._clock.step(float(strike.arguments.get("seconds", 3600.0)))
            case "collector_down":
                way: Callable[[], Any] = (
                    self.collector.stop if strike.arguments.get("refuse", False) else self.collector.hang
                )
                await way()
                return ""
            case _:
                if self.disk is None:
                    return "not done: the scenario writes no audit log; set audit = true"
                self.disk.fill()
                return self.disk.note

    def struck(self, strike: Strike) -> int:
        """Return how often a fault that has begun has struck: once, if what it strikes is there."""
        match strike.name:
            case "clock_step":
                return 1
            case "collector_down":
                return int(self._scenario.telemetry)
            case _:
                return int(self.disk is not None and self.disk.can_fill)

    async def heal(self, strike: Strike) -> None:
        """Let it end."""
        match strike.name:
            case "clock_step":
                self._clock.restore()
            case "collector_down":
                await self.collector.start()
            case _:
                if self.disk is not None:
                    self.disk.free()

    async def close(self) -> None:
        """End it all, within seconds, whatever is down."""
        self._clock.restore()
        if self._telemetry is not None:
            await asyncio.to_thread(self._telemetry.shutdown, FLUSHED)
        if self._witness is not None:
            self._witness.close()
        await self.collector.stop()
        if self._log is not None:
            self.lost = await asyncio.to_thread(self._log.close, FLUSHED)

    async def remove(self) -> None:
        """Remove what is left on disk, once it has been looked at."""
        if self.disk is not None:
            await self.disk.close()
