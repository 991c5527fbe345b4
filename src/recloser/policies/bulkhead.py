"""How many attempts may be in flight at one endpoint; the others wait, in order, inside their deadlines."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from typing import Any, Protocol

from recloser.call import Call, CallNext, Deadline, R
from recloser.errors import RouterError, error_for
from recloser.options import Bulkhead

__all__ = ["BulkheadLimit", "Circuit"]


class Circuit(Protocol):
    """What the bulkhead wants to know of the circuit behind it."""

    def would_admit(self, now: float, /) -> bool:
        """Return whether a call would be let through at `now`."""
        ...

    def rejection(self) -> RouterError:
        """Return the error for a call that is not let through."""
        ...

    def watch(self, watcher: Callable[[], None], /) -> Callable[[], None]:
        """Call `watcher` after every change of state; return what ends that."""
        ...


class _Turn(Enum):
    """Why a waiter was woken."""

    GRANTED = 1
    """A permit was handed over to it."""
    EXPIRED = 2
    REJECTED = 3
    """The circuit has opened."""


class BulkheadLimit:
    """Lets at most `limit` attempts through at a time, first come, first served."""

    def __init__(self, bulkhead: Bulkhead, *, server: str, endpoint: str, circuit: Circuit | None = None) -> None:
        self._limit = bulkhead.limit
        self._server = server
        self._endpoint = endpoint
        self._circuit = circuit
        # Permits that are out. While somebody waits, all are: a permit is handed on, never put back. Changed by
        # __call__ and _release.
        self._in_flight = 0
        # Those who wait, in order. Appended by _wait, removed by _leave, taken by _release, emptied by
        # _circuit_changed.
        self._waiters: deque[asyncio.Future[_Turn]] = deque()
        if circuit is not None:
            circuit.watch(self._circuit_changed)

    def __repr__(self) -> str:
        return f"BulkheadLimit({self._endpoint!r}, {self._in_flight} of {self._limit}, waiting={self.waiting})"

    @property
    def in_flight(self) -> int:
        """How many attempts are under way."""
        return self._in_flight

    @property
    def waiting(self) -> int:
        """How many attempts wait for their turn."""
        return len(self._waiters)

    async def __call__(self, call: Call[R], call_next: CallNext[R]) -> R:
        """Send the call on, at once or when it is its turn.

        Raises:
            TransientError: `bulkhead_full`: its turn did not come before the call's deadline.
            CircuitOpen: the circuit is open, or opened while the call waited.
        """
        if self._in_flight < self._limit:
            self._in_flight += 1
        else:
            await self._wait(call)
        try:
            return await call_next(call)
        finally:
            self._release()

    async def _wait(self, call: Call[Any]) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        if self._circuit is not None and not self._circuit.would_admit(now):
            raise self._circuit.rejection()
        deadline = call.deadline
        if deadline is not None and deadline.remaining(now) <= 0:
            raise self._full(call)
        turn: asyncio.Future[_Turn] = loop.create_future()
        alarm = None if deadline is None else _Alarm(deadline, turn, loop)
        self._waiters.append(turn)
        try:
            outcome = await turn
        except BaseException:
            # The permit may have been handed over in the very moment of the cancellation.
            if turn.done() and not turn.cancelled() and turn.result() is _Turn.GRANTED:
                self._release()
            self._leave(turn)
            raise
        finally:
            if alarm is not None:
                alarm.stop()
        if outcome is _Turn.REJECTED and self._circuit is not None:
            raise self._circuit.rejection()
        if outcome is _Turn.EXPIRED:
            self._leave(turn)
            raise self._full(call)

    def _leave(self, turn: asyncio.Future[_Turn]) -> None:
        # Not needed after a turn was granted or rejected: it has been taken out then.
        with suppress(ValueError):
            self._waiters.remove(turn)

    def _release(self) -> None:
        while self._waiters:
            turn = self._waiters.popleft()
            if not turn.done():
                turn.set_result(_Turn.GRANTED)
                return
        self._in_flight -= 1

    def _circuit_changed(self) -> None:
        if self._circuit is None or self._circuit.would_admit(asyncio.get_running_loop().time()):
            return
        waiters, self._waiters = self._waiters, deque()
        for turn in waiters:
            if not turn.done():
                turn.set_result(_Turn.REJECTED)

    def _full(self, call: Call[Any]) -> RouterError:
        return error_for(
            "bulkhead_full",
            f"server {self._server!r} already has {self._limit} calls in flight, and none ended in time for this one; "
            "try again later",
            server=self._server,
            tool=call.name or None,
        )


class _Alarm:
    """Tells a waiter that its deadline has passed; changed by its own timer and by whoever moves the deadline."""

    __slots__ = ("_deadline", "_loop", "_timer", "_turn")

    def __init__(self, deadline: Deadline, turn: asyncio.Future[_Turn], loop: asyncio.AbstractEventLoop) -> None:
        self._deadline = deadline
        self._turn = turn
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        deadline.watch(self._set)
        self._set()

    def stop(self) -> None:
        self._deadline.unwatch(self._set)
        if self._timer is not None:
            self._timer.cancel()

    def _set(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        # While the deadline stands still no timer is needed: its resuming brings us here again.
        if not self._deadline.paused:
            self._timer = self._loop.call_at(self._deadline.at, self._ring)

    def _ring(self) -> None:
        if not self._deadline.paused and not self._turn.done():
            self._turn.set_result(_Turn.EXPIRED)
