"""Work that a call leaves behind and nobody waits for: it is done together, some milliseconds later.

Between a request and its answer the loop mostly waits, and many small jobs in a row cost half of what each costs alone
in the middle of something else. Nothing may be put here that has to survive the end of the process.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from recloser.apart import apart

__all__ = ["Later", "at_once"]

LINGER: Final = 0.005
"""Seconds that a job waits for others."""
SLICE: Final = 32
"""Jobs that are done in one go: about a quarter of a millisecond in which the loop does nothing else."""

_log = logging.getLogger("recloser")


def at_once(job: Callable[..., None], *given: Any) -> None:
    """Do a job now; one that fails is logged."""
    under_way = sys.exception()
    try:
        job(*given)
    except Exception as error:  # noqa: BLE001 - boundary: nobody waits for it, so it may fail nobody
        _log.error("%s failed", getattr(job, "__qualname__", job), exc_info=apart(error, under_way))


class Later:
    """Jobs that wait, and the timer that they wait for. Written by its own methods, on one loop but for `drain`."""

    def __init__(self) -> None:
        self._jobs: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def __call__(self, job: Callable[..., None], *given: Any) -> None:
        """Do a job within some milliseconds."""
        self._jobs.append((job, given))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LINGER, self._some)

    def drain(self) -> None:
        """Do all that waits, now; any thread may ask for that, such as one that is about to export."""
        while self._one():
            pass

    def close(self) -> None:
        """Do all that waits, and forget the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.drain()

    def _one(self) -> bool:
        try:
            job, given = self._jobs.popleft()
        except IndexError:
            return False
        at_once(job, *given)
        return True

    def _some(self) -> None:
        for _ in range(SLICE):
            if not self._one():
                self._timer = None
                return
        self._timer = asyncio.get_running_loop().call_later(0, self._some)
