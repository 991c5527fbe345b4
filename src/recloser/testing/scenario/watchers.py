"""Those who look on while a scenario runs: at the loop's lag, and at the list of tools."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import mcp_types as types

from recloser.catalog.names import qualify
from recloser.testing.scenario.observed import Lag, Listing
from recloser.testing.scenario.recorder import Recorder
from recloser.testing.scenario.targets import Target

__all__ = ["known_tools", "look_at_health", "watch_health", "watch_lag", "watch_listing"]

STEP: Final = 0.01
"""Seconds between two looks at the clock."""
NOTABLE: Final = 0.002
"""Seconds of lag below which a look is not kept: a verdict allows for twenty times as much."""
LOOK: Final = 0.1
"""Seconds between two looks at the list of tools."""
GLANCE: Final = 0.25
"""Seconds between two looks at the health of the servers, which has to be redacted each time."""
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


async def known_tools(target: Target) -> dict[str, frozenset[str]]:
    """Return the qualified names of each server's tools; those that cannot be had are not known."""
    try:
        async with asyncio.timeout(LISTED):
            return _names(await target.offered())
    except Exception:  # noqa: BLE001 - a raw client may fail in any way
        return {}


def _names(offered: Mapping[str, Sequence[types.Tool]]) -> dict[str, frozenset[str]]:
    return {server: frozenset(qualify(server, tool.name) for tool in tools) for server, tools in offered.items()}


async def watch_listing(recorder: Recorder, target: Target, known: dict[str, frozenset[str]]) -> None:
    """Look, until cancelled, at the list of tools, and write down which known ones are missing.

    The tools of a server that had none to show yet are known, and kept in `known`, from when they are first listed.
    """
    while True:
        await asyncio.sleep(LOOK)
        at = recorder.now
        try:
            async with asyncio.timeout(LISTED):
                names = _names(await target.offered())
        except Exception as error:  # noqa: BLE001 - a raw client may fail in any way
            recorder.listings.append(Listing(at=at, error=type(error).__name__))
        else:
            missing = sorted(
                tool for server, tools in known.items() for tool in tools if tool not in names.get(server, ())
            )
            recorder.listings.append(Listing(at=at, missing=tuple(missing)))
            known |= {server: tools for server, tools in names.items() if not known.get(server)}


async def watch_health(target: Target, look: Callable[[str, str], None]) -> None:
    """Show, until cancelled, what is told of the servers' health to whoever looks for secrets in it."""
    while True:
        await asyncio.sleep(GLANCE)
        look_at_health(target, look)


def look_at_health(target: Target, look: Callable[[str, str], None]) -> None:
    """Show it once."""
    for server, told in target.health().items():
        look(f"the health of {server}", told)
