"""Those who look on while a scenario runs: at the loop's lag, and at the list of tools."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Mapping
from typing import Final

from recloser.catalog.names import qualify
from recloser.testing.scenario.observed import Lag, Listing
from recloser.testing.scenario.recorder import Recorder
from recloser.testing.scenario.targets import Target

__all__ = ["known_tools", "watch_lag", "watch_listing"]

STEP: Final = 0.01
"""Seconds between two looks at the clock."""
NOTABLE: Final = 0.002
"""Seconds of lag below which a look is not kept: a verdict allows for twenty times as much."""
LOOK: Final = 0.1
"""Seconds between two looks at the list of tools."""
LISTED: Final = 1.0
"""Seconds that one look may take."""


async def watch_lag(recorder: Recorder) -> None:
    """Write down, until cancelled, by how much the loop is late."""
    clock = asyncio.get_running_loop().time
    while True:
        due, used = clock() + STEP, _used()
        await asyncio.sleep(STEP)
        late = clock() - due
        if late > NOTABLE:
            recorder.lags.append(Lag(at=recorder.now, late=late, busy=min(late, max(0.0, _used() - used))))


def _used() -> float:
    told = resource.getrusage(resource.RUSAGE_SELF)
    return told.ru_utime + told.ru_stime


async def known_tools(target: Target) -> frozenset[str]:
    """Return the qualified names of all tools; those that cannot be had are not known."""
    try:
        async with asyncio.timeout(LISTED):
            return frozenset(_names(await target.offered()))
    except Exception:  # noqa: BLE001 - a raw client may fail in any way
        return frozenset()


def _names(offered: Mapping[str, object]) -> set[str]:
    found = set()
    for server, tools in offered.items():
        for tool in tools:  # type: ignore[attr-defined]  # a mapping of sequences; see Target
            found.add(tool.name if tool.name.startswith(f"{server}__") else qualify(server, tool.name))
    return found


async def watch_listing(recorder: Recorder, target: Target, known: frozenset[str]) -> None:
    """Look, until cancelled, at the list of tools, and write down which known ones are missing."""
    while True:
        await asyncio.sleep(LOOK)
        at = recorder.now
        try:
            async with asyncio.timeout(LISTED):
                names = _names(await target.offered())
        except Exception as error:  # noqa: BLE001 - a raw client may fail in any way
            recorder.listings.append(Listing(at=at, error=type(error).__name__))
        else:
            recorder.listings.append(Listing(at=at, missing=tuple(sorted(known - names))))
