"""One direction of one connection: what comes in, passes the toxics, and goes out."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from recloser.testing.proxy.proxy import Toxic
from recloser.testing.proxy.strikes import STRIKES, Chunk, Strike

__all__ = ["PIECE", "Lane"]

PIECE: Final = 64 * 1024
"""Bytes taken at once."""

BUFFER: Final = 1024 * 1024
"""Bytes on their way in one direction, beyond which the sender is not read any more: enough for a latency of 0.1 s at
10 MB/s, and a hundred connections still take no more than 0.2 GB."""


class Finish(Protocol):
    """Ends a connection."""

    def __call__(self, *, reset: bool = False) -> None: ...


class Lane:
    """One direction; one task reads, so that the moment at which data came is known, and one writes.

    Written by its two tasks, and by the proxy that adds, changes and removes toxics.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, finish: Finish, numbers: random.Random
    ) -> None:
        self.numbers = numbers
        self.finish: Finish = finish
        self._reader = reader
        self._writer = writer
        self._strikes: list[Strike] = []
        self._waiting: deque[Chunk] = deque()
        self._size = 0
        self._moved = asyncio.Event()

    # --- toxics

    def add(self, toxic: Toxic, serial: int) -> None:
        """Let a toxic strike, behind all others."""
        strike = STRIKES[toxic.kind](toxic, serial, self)
        self._strikes.append(strike)
        strike.begin()
        toxic.struck += strike.active

    def update(self, toxic: Toxic) -> None:
        """Let a toxic strike with its new numbers."""
        for strike in self._of(toxic):
            strike.renew()

    def remove(self, toxic: Toxic) -> None:
        """End a toxic."""
        for strike in self._of(toxic):
            self._strikes.remove(strike)
            strike.leave()

    def stop(self) -> None:
        """Let no toxic set off an alarm any more."""
        for strike in self._strikes:
            strike.stop()

    def _of(self, toxic: Toxic) -> list[Strike]:
        return [strike for strike in self._strikes if strike.toxic is toxic]

    def _next(self, after: int) -> Strike | None:
        # Looked up for each step, so that a toxic that comes or goes counts at once.
        return next((strike for strike in self._strikes if strike.serial > after and strike.active), None)

    # --- data

    async def read(self) -> None:
        """Take in data until its end, as far as there is room.

        Raises:
            OSError: the sender has broken the connection.
        """
        now = asyncio.get_running_loop().time
        while True:
            await self._until(lambda: self._size < BUFFER)
            data = await self._reader.read(PIECE)
            self._waiting.append(Chunk(data, now()))
            self._size += len(data)
            self._moved.set()
            if not data:
                return

    async def write(self) -> None:
        """Send data through the toxics and out, and its end when all has gone.

        Raises:
            OSError: the receiver has broken the connection.
        """
        while True:
            await self._until(lambda: self._waiting)
            chunk = self._waiting.popleft()
            if not chunk.data:
                break
            await self.through(chunk, after=0)
            self._size -= len(chunk.data)
            self._moved.set()
        await self.end(after=0)
        self._writer.write_eof()

    async def end(self, *, after: int) -> None:
        """Return when the toxics behind one have let the end of the data pass."""
        while (strike := self._next(after)) is not None:
            await strike.end()
            after = strike.serial

    async def through(self, chunk: Chunk, *, after: int) -> None:
        """Send data through the toxics behind one, and out."""
        strike = self._next(after)
        if strike is not None:
            await strike.carry(chunk)
            return
        self._writer.write(chunk.data)
        await self._writer.drain()

    async def _until(self, condition: Callable[[], object]) -> None:
        while not condition():
            self._moved.clear()
            await self._moved.wait()
