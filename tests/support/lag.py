"""How far the event loop is behind, so that a deadline can be judged on a machine that others load too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

BEAT = 0.02


class Lag:
    """Counts the seconds in which the loop could not run what was due."""

    def __init__(self) -> None:
        self._lost = 0.0
        self._due = asyncio.get_running_loop().time()

    @property
    def lost(self) -> float:
        """Seconds lost so far, those of a beat that is late right now included."""
        return self._lost + max(0.0, asyncio.get_running_loop().time() - self._due)

    async def beat(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._due = loop.time() + BEAT
            await asyncio.sleep(BEAT)
            self._lost += max(0.0, loop.time() - self._due)


@asynccontextmanager
async def measured_lag() -> AsyncIterator[Lag]:
    """Measure from here on."""
    lag = Lag()
    beating = asyncio.create_task(lag.beat())
    try:
        yield lag
    finally:
        beating.cancel()
        await asyncio.wait([beating])
