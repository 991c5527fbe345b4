"""What is still there when something was closed; what ends by itself in time was not left."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Final

from recloser.testing.leaks import Snapshot, snapshot

__all__ = ["STEP", "leftovers", "processes_beyond"]

STEP: Final = 0.02
"""Seconds between two looks at what is left."""
LOOKS: Final = 10
"""Looks at the least: a machine that stands still for the whole grace has given nothing the time to go."""


async def leftovers(look: Callable[[], Sequence[str]], grace: float) -> Sequence[str]:
    """Look until nothing is left, or for so many seconds; return what there was in the end."""
    loop = asyncio.get_running_loop()
    until, looks = loop.time() + grace, 1
    while (left := look()) and (loop.time() < until or looks < LOOKS):
        await asyncio.sleep(STEP)
        looks += 1
    return sorted(left)


def processes_beyond(before: Snapshot, own: Collection[int]) -> Sequence[str]:
    """Return a line for each process that was not there before, but for `own` and the sessions they lead."""
    now = snapshot()
    others = frozenset(child for child in now.children if not {child.pid, child.session} & set(own))
    return replace(now, children=others, tasks=before.tasks, fds=before.fds, threads=before.threads).beyond(before)
