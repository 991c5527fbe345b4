"""What each kind of toxic does to the data of one direction of one connection."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Protocol

from recloser.testing.proxy.kinds import Kind
from recloser.testing.proxy.proxy import Toxic

__all__ = ["STRIKES", "Chunk", "Strike", "Way"]

BURST: Final = 0.1
"""Seconds of data that a bandwidth lets pass in one piece: toxiproxy's own."""


@dataclass(slots=True)
class Chunk:
    """A piece of data, and when it came; a latency moves that moment on."""

    data: bytes
    at: float


class Way(Protocol):
    """The direction that a toxic strikes, as far as the toxic is concerned."""

    numbers: random.Random

    async def through(self, chunk: Chunk, *, after: int) -> None:
        """Send data through the toxics behind the given one, and out."""
        ...

    async def end(self, *, after: int) -> None:
        """Return when the toxics behind the given one have let the end of the data pass."""
        ...

    def finish(self, *, reset: bool = False) -> None:
        """End the connection."""
        ...


class Strike:
    """One toxic on one direction of one connection; it does nothing unless a subclass says so.

    Written by the lane alone: `begin` when it starts to strike, `renew` when its numbers have changed, `leave` when it
    was removed, `stop` when the connection ends.
    """

    def __init__(self, toxic: Toxic, serial: int, way: Way) -> None:
        self.toxic = toxic
        self.serial = serial
        """Its place in the order of the toxics."""
        self._way = way
        self._struck = False
        self._gone = False
        self._waiting: asyncio.Future[None] | None = None

    @property
    def active(self) -> bool:
        """Whether this connection is among those that it strikes."""
        return self._struck and not self._gone

    def begin(self) -> None:
        """Decide whether this connection is struck, and start to."""
        self._struck = self._way.numbers.random() < self.toxic.toxicity

    def renew(self) -> None:
        """Strike with new numbers; waits under the old ones end."""
        self.stop()
        self.begin()
        self._wake()

    def leave(self) -> None:
        """Strike no more; waits end."""
        self.stop()
        self._gone = True
        self._wake()

    def stop(self) -> None:
        """Set no alarm off any more."""

    async def carry(self, chunk: Chunk) -> None:
        """Send data on."""
        await self._on(chunk)

    async def end(self) -> None:
        """Return when the end of the data may be told."""

    def _number(self, name: str) -> float:
        return self.toxic.attributes[name]

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def _pause(self, seconds: float | None) -> None:
        """Wait (None: for ever), at most until the toxic is changed or removed."""
        if seconds is not None and seconds <= 0:
            return
        # A lane does one thing after the other, so that a toxic of it never waits twice at once.
        loop = asyncio.get_running_loop()
        self._waiting = loop.create_future()
        alarm = None if seconds is None else loop.call_later(seconds, self._wake)
        try:
            await self._waiting
        finally:
            if alarm is not None:
                alarm.cancel()

    async def _on(self, chunk: Chunk) -> None:
        await self._way.through(chunk, after=self.serial)


class Latency(Strike):
    """Data is late, counted from when it came, so that a stream is as quick as without it."""

    async def carry(self, chunk: Chunk) -> None:
        loop = asyncio.get_running_loop()
        lean = self._way.numbers.uniform(-1, 1)
        due = chunk.at
        while self.active:
            due = chunk.at + max(0.0, self._number("latency") + lean * self._number("jitter"))
            if loop.time() >= due:
                break
            await self._pause(due - loop.time())
        chunk.at = due
        await self._on(chunk)


class Bandwidth(Strike):
    """Data passes at a rate, counted from when it came: a callback that comes late makes the stream no slower."""

    _free = 0.0
    """When the data that has passed so far has had its time."""

    async def carry(self, chunk: Chunk) -> None:
        loop = asyncio.get_running_loop()
        data = chunk.data
        while data and self.active:
            rate = self._number("rate") * 1000
            if rate == 0:
                await self._pause(None)
                continue  # with other numbers, or none
            size = max(1, int(rate * BURST))
            piece, data = data[:size], data[size:]
            # What a receiver that does not read has held up is not made good, but for one piece.
            self._free = max(self._free, chunk.at, loop.time() - BURST) + len(piece) / rate
            await self._pause(self._free - loop.time())
            await self._on(Chunk(piece, chunk.at))
        if data:
            await self._on(Chunk(data, chunk.at))


class Slicer(Strike):
    """Data comes in small pieces."""

    async def carry(self, chunk: Chunk) -> None:
        data = chunk.data
        while data and self.active:
            average, variation = int(self._number("average_size")), int(self._number("size_variation"))
            size = self._way.numbers.randint(average - variation, average + variation)
            piece, data = data[:size], data[size:]
            await self._on(Chunk(piece, chunk.at))
            await self._pause(self._number("delay"))
        if data:
            await self._on(Chunk(data, chunk.at))


class SlowClose(Strike):
    """The end comes late."""

    async def end(self) -> None:
        await self._pause(self._number("delay"))


class Timeout(Strike):
    """No data passes, nor its end; some time later, or when the toxic goes, the connection is closed."""

    _alarm: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        super().begin()
        if self.active and (seconds := self._number("timeout")):
            self._alarm = asyncio.get_running_loop().call_later(seconds, self._way.finish)

    def stop(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def leave(self) -> None:
        if self.active:
            self._way.finish()
        super().leave()

    async def carry(self, chunk: Chunk) -> None:
        """Drop the data."""

    async def end(self) -> None:
        while self.active:
            await self._pause(None)


class ResetPeer(Strike):
    """Data is answered with a reset."""

    async def carry(self, chunk: Chunk) -> None:
        await self.end()
        if not self.active:
            await self._on(chunk)

    async def end(self) -> None:
        await self._pause(self._number("timeout"))
        if self.active:
            await self._way.end(after=self.serial)
            self._way.finish(reset=True)


class LimitData(Strike):
    """So much data passes, and no more."""

    _passed = 0

    async def carry(self, chunk: Chunk) -> None:
        left = int(self._number("bytes")) - self._passed
        if left > 0:
            piece = Chunk(chunk.data[:left], chunk.at)
            self._passed += len(piece.data)
            await self._on(piece)
        if left <= len(chunk.data) and self.active:
            await self._way.end(after=self.serial)
            self._way.finish()


STRIKES: Final[Mapping[Kind, type[Strike]]] = MappingProxyType(
    {
        "latency": Latency,
        "bandwidth": Bandwidth,
        "slow_close": SlowClose,
        "timeout": Timeout,
        "reset_peer": ResetPeer,
        "slicer": Slicer,
        "limit_data": LimitData,
    }
)
"""What strikes, by the kind of toxic."""
