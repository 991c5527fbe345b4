"""One attempt returns in time, whatever the server and the SDK do.

The SDK's own timeout does not bound a call: a peer that stops reading holds up the write, and a cancelled call waits
for its courtesy notice. So an attempt runs in a task of its own that is cancelled but never awaited.
"""

from __future__ import annotations

import asyncio
from typing import Any

from recloser.call import Call, CallNext, Deadline, R
from recloser.errors import Cause, RouterError, error_for
from recloser.facts import type_name
from recloser.messages import message_for
from recloser.options import Timeouts

__all__ = ["AttemptTimeout"]


class AttemptTimeout:
    """Ends an attempt at its own limit or at the call's deadline, whichever comes first."""

    def __init__(self, timeouts: Timeouts) -> None:
        self._seconds = timeouts.attempt
        # The loop holds tasks weakly. Filled by _abandon, emptied by each task as it ends; one that does not heed its
        # cancellation ends with the connection that it waits for.
        self._abandoned: set[asyncio.Task[None]] = set()

    @property
    def abandoned(self) -> int:
        """How many given-up attempts have not ended yet."""
        return len(self._abandoned)

    async def __call__(self, call: Call[R], call_next: CallNext[R]) -> R:
        """Send the call on with `limit` set and the trail's `sent` reset.

        Raises:
            TransientError: `timeout` when the request was sent, `unreachable` when it never left, and `timeout`, not
                delivered, when no time was left to begin with.
        """
        loop = asyncio.get_running_loop()
        now = loop.time()
        total = call.deadline
        seconds = self._seconds if total is None else min(self._seconds, total.remaining(now))
        if seconds <= 0:
            raise _nothing_left(call)
        call.trail.sent = False
        limit = _Limit(now + seconds, total, loop)
        if total is not None:
            total.watch(limit.moved)
        task = loop.create_task(_run(call.replace(limit=limit), call_next, limit.outcome), name="recloser attempt")
        try:
            result: R = await limit.outcome
        except _OutOfTime:
            # Raised below, so that this signal is not shown as the error's context.
            pass
        else:
            return result
        finally:
            limit.stop()
            if total is not None:
                total.unwatch(limit.moved)
            if not task.done():
                self._abandon(task)
        raise _expired(call, seconds)

    def _abandon(self, task: asyncio.Task[None]) -> None:
        task.cancel()
        self._abandoned.add(task)
        task.add_done_callback(self._abandoned.discard)


class _OutOfTime(Exception):  # noqa: N818 - a signal between a limit and its policy, never seen outside
    """The limit has passed."""


class _Limit(Deadline):
    """The moment by which an attempt returns, and the alarm that goes off at it.

    The alarm is changed by its own timer and by whoever pauses, resumes or moves one of the two clocks; the outcome is
    set once, by the attempt or by the alarm.
    """

    __slots__ = ("_loop", "_timer", "_total", "outcome")

    def __init__(self, at: float, total: Deadline | None, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(at)
        self._loop = loop
        self._total = total
        self.outcome: asyncio.Future[Any] = loop.create_future()
        self._timer: asyncio.TimerHandle | None = loop.call_at(at, self._ring)

    def stop(self) -> None:
        """Silence the alarm."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def moved(self) -> None:
        """Set the alarm anew after one of the two clocks was resumed or moved."""
        self.stop()
        if not self.outcome.done():
            self._ring()

    def _notify(self) -> None:
        super()._notify()
        self.moved()

    def _ring(self) -> None:
        self._timer = None
        running = [clock.at for clock in (self, self._total) if clock is not None and not clock.paused]
        if not running:
            return  # A clock that stands still sets no alarm: its resuming tells us.
        if min(running) > self._loop.time():
            self._timer = self._loop.call_at(min(running), self._ring)
        elif not self.outcome.done():
            self.outcome.set_exception(_OutOfTime())


async def _run(call: Call[Any], call_next: CallNext[Any], outcome: asyncio.Future[Any]) -> None:
    """Put what becomes of the attempt into `outcome`, unless nobody waits for it any more."""
    try:
        result = await call_next(call)
    except (KeyboardInterrupt, SystemExit):
        raise
    except Exception as error:  # noqa: BLE001 - handed to the waiting caller as it is
        if not outcome.done():
            outcome.set_exception(error)
    except BaseException as error:  # noqa: BLE001 - whoever cancels this task has settled the outcome before
        if not outcome.done():
            outcome.set_exception(_unasked(call, error))
    else:
        if not outcome.done():
            outcome.set_result(result)


def _unasked(call: Call[Any], error: BaseException) -> RouterError:
    """Return the error for an attempt that nobody here has cancelled: its server, in this process, has done it."""
    exception = type_name(error)
    failed = error_for(
        "internal",
        message_for("internal", call.server or "", exception=exception),
        server=call.server,
        tool=call.name or None,
        delivered="maybe" if call.trail.sent else "no",
        cause=Cause(exception=exception),
    )
    failed.__cause__ = error
    return failed


def _who(call: Call[Any]) -> str:
    return f"server {call.server!r}" if call.server else "the server"


def _nothing_left(call: Call[Any]) -> RouterError:
    return error_for(
        "timeout",
        f"no time was left for another attempt at {_who(call)}; nothing was sent",
        evidence=False,
        server=call.server,
        tool=call.name or None,
        delivered="no",
    )


def _expired(call: Call[Any], seconds: float) -> RouterError:
    facts: dict[str, Any] = {"server": call.server, "tool": call.name or None}
    within = f"within {round(seconds, 3):g} s; try again later"
    if call.trail.sent:
        return error_for("timeout", f"{_who(call)} did not answer {within}", **facts)
    return error_for("unreachable", f"no connection to {_who(call)} came about {within}", **facts)
