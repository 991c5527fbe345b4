"""One deadline for the whole call: attempts, back-off, queueing and fallbacks all live inside it."""

from __future__ import annotations

import asyncio

from recloser.call import Call, CallNext, Deadline, R
from recloser.errors import error_for
from recloser.options import Timeouts

__all__ = ["TotalDeadline"]


class TotalDeadline:
    """Sets the call's deadline; the policies inside keep it."""

    def __init__(self, timeouts: Timeouts) -> None:
        self._timeouts = timeouts
        self._usual = timeouts.budget(None)

    async def __call__(self, call: Call[R], call_next: CallNext[R]) -> R:
        """Send the call on with a deadline; one that is already set and earlier stays.

        Raises:
            TransientError: `timeout`, not delivered: no time is left, and nothing was started.
        """
        now = asyncio.get_running_loop().time()
        given = call.deadline
        if call.timeout is None and given is None:  # as almost always
            return await call_next(call.replace(deadline=Deadline(now + self._usual)))
        budget = self._timeouts.budget(call.timeout)
        if given is not None:
            budget = min(budget, given.remaining(now))
        # Written so that a caller's `nan` is refused too.
        if not budget > 0:
            raise error_for(
                "timeout",
                f"there was no time left to call {call.key!r}; nothing was sent",
                evidence=False,
                server=call.server,
                tool=call.name or None,
                delivered="no",
            )
        if given is not None and given.remaining(now) <= budget:
            return await call_next(call)
        return await call_next(call.replace(deadline=Deadline(now + budget)))
