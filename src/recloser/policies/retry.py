"""Trying again: only what may work, only what is safe, never past the deadline, and only within a budget.

The first attempt runs outside tenacity, which costs more than everything else together; only its failure is replayed
there as the first of several attempts.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol

from recloser.call import Call, CallNext, R
from recloser.errors import CriticalError, ErrorPayload, RouterError, TransientError
from recloser.events import Listener, RetryScheduled, RetrySuppressed, SuppressReason
from recloser.options import Retry

if TYPE_CHECKING:
    from tenacity import RetryCallState

__all__ = ["Budget", "Retrying", "backoff"]

_OURS = frozenset({"circuit_open", "bulkhead_full", "throttled"})
# Beyond this exponent every base has long reached every cap, and a float would overflow.
_LARGEST_EXPONENT = 64


class Budget(Protocol):
    """What retries are paid from."""

    def take(self, *, throttled: bool) -> int | None:
        """Take what one retry costs and return it, or return None if there is not enough."""
        ...

    def give_back(self, cost: int, /) -> None:
        """Return what the last retry of a call cost: the call has succeeded, or that retry was never let through."""
        ...

    def reward(self) -> None:
        """Note a call that succeeded at once."""
        ...


def backoff(retry: Retry, index: int, payload: ErrorPayload, share: float) -> float:
    """Return the seconds to wait before retry `index` (from 0) after a failure.

    Args:
        retry: the bases, the cap, and how far a server's wish may exceed them.
        index: how many retries came before.
        payload: the failure; its `retry_after` is the server's wish.
        share: a random number from 0 to 1 (full jitter; equal jitter where the server could not be reached).
    """
    base = retry.backoff
    if payload.code == "overloaded":
        base = retry.throttled_backoff
    elif payload.code == "unreachable":
        base, share = retry.reconnect_backoff, 0.5 + share / 2
    own = share * min(retry.backoff_cap, base * 2.0 ** min(index, _LARGEST_EXPONENT))
    if payload.retry_after is None:
        return own
    return max(own, min(float(payload.retry_after), own + retry.retry_after_slack))


class Retrying:
    """Makes a call again that failed for a reason that may pass."""

    def __init__(
        self,
        retry: Retry,
        budget: Budget,
        *,
        rng: Callable[[], float] = random.random,
        emit: Listener,
        server: str,
    ) -> None:
        self._budget = budget
        self._rules = _Rules(retry, budget, rng, emit, server)

    async def __call__(self, call: Call[R], call_next: CallNext[R]) -> R:
        """Send the call on, once or more.

        Raises:
            RouterError: the last real failure; `delivered` tells the most that any of the attempts may have done.
        """
        try:
            result = await call_next(call)
        except RouterError as error:
            reason = self._rules.refusal(call, error, 1)
            if reason is not None:
                # A call that an open circuit rejects at once has made no attempt that could be repeated.
                if reason != "circuit_open":
                    self._rules.suppressed(call, error, 1, reason)
                raise
            first = error
        else:
            self._budget.reward()
            return result
        return await _Tries(self._rules, call, call_next, first).run()


@dataclass(frozen=True)
class _Rules:
    """What is tried again, when, and who is told; the same for all calls to a server."""

    retry: Retry
    budget: Budget
    rng: Callable[[], float]
    emit: Listener
    server: str

    def refusal(self, call: Call[Any], error: RouterError, attempt: int) -> SuppressReason | None:
        """Return why the failure of `attempt` is not tried again, whatever time and budget are left."""
        code = error.payload.code
        if code == "circuit_open":
            return "circuit_open"
        if code in _OURS or not self._may_pass(error):
            return "not_retryable"
        if not call.safe and error.payload.delivered != "no":
            return "not_safe"
        return "max_attempts" if attempt >= self.retry.attempts else None

    def pay(self, call: Call[Any], error: RouterError, delay: float) -> SuppressReason | int:
        """Pay for a retry after `delay` seconds and return what it cost, or return why there is none."""
        if call.deadline is not None and delay >= call.deadline.remaining(asyncio.get_running_loop().time()):
            return "deadline"
        cost = self.budget.take(throttled=error.payload.code == "overloaded")
        return "budget" if cost is None else cost

    def delay(self, error: RouterError, attempt: int) -> float:
        """Return the seconds to wait after `attempt`."""
        return backoff(self.retry, attempt - 1, error.payload, self.rng())

    def scheduled(self, call: Call[Any], error: RouterError, attempt: int, delay: float) -> None:
        """Tell that another attempt will follow."""
        trail = call.trail
        trail.decision, trail.last_delay = "retry", delay
        trail.delay += delay
        self.emit(
            RetryScheduled(
                call_id=call.call_id,
                server=self.server,
                name=call.name,
                attempt=attempt,
                code=error.payload.code,
                delay=delay,
            )
        )

    def suppressed(self, call: Call[Any], error: RouterError, attempt: int, reason: SuppressReason) -> None:
        """Tell that no attempt will follow a failure that may pass."""
        call.trail.decision = reason
        if self._may_pass(error):
            self.emit(
                RetrySuppressed(
                    call_id=call.call_id,
                    server=self.server,
                    name=call.name,
                    attempt=attempt,
                    code=error.payload.code,
                    reason=reason,
                )
            )

    def _may_pass(self, error: RouterError) -> bool:
        if isinstance(error, TransientError):
            return True
        return self.retry.server_faults and isinstance(error, CriticalError) and error.payload.code == "server_fault"


class _Tries(Generic[R]):
    """The attempts of one call whose first one has failed; changed by tenacity's steps alone, one after the other.

    All callbacks are plain functions: with an awaiting one, tenacity loses results.
    """

    def __init__(self, rules: _Rules, call: Call[R], call_next: CallNext[R], first: RouterError) -> None:
        self._rules = rules
        self._call = call
        self._call_next = call_next
        self._replay: RouterError | None = first
        self._real = first
        self._maybe_ran = False  # pragma: no mutate - None would do as well
        self._attempt = 1
        # What the last retry was paid with, and how many attempts had been let through by then; set by _stop, and the
        # first is spent by _give_back.
        self._cost = 0
        self._let_through = 0

    async def run(self) -> R:
        from tenacity import AsyncRetrying

        # One object a call: a shared one mixes up concurrent calls.
        retrying = AsyncRetrying(
            retry=self._again,
            wait=self._delay,
            stop=self._stop,
            before_sleep=self._scheduled,
            sleep=asyncio.sleep,  # pragma: no mutate - tenacity's own comes to the same, after looking for trio
            reraise=True,
        )
        try:
            result: R = await retrying(self._try)
        except RouterError as error:
            final = self._final(error)
            if final is error:
                raise
        except asyncio.CancelledError:
            # A caller who leaves while a retry waits, for its moment or in the bulkhead, has cost the server nothing.
            if self._call.trail.attempts == self._let_through:
                self._give_back()
            raise
        else:
            self._give_back()
            return result
        # Outside the except block: a refusal of our own is not the context of the failure that came before it.
        raise final

    async def _try(self) -> R:
        if self._replay is not None:
            first, self._replay = self._replay, None
            raise first
        self._attempt += 1
        return await self._call_next(self._call.replace(attempt=self._attempt))

    def _again(self, state: RetryCallState) -> bool:
        error = _failure(state)
        if error is None:
            return False
        if _refused_by_us(error.payload):
            self._give_back()
        else:
            self._real = error
            self._maybe_ran = self._maybe_ran or error.payload.delivered != "no"
        reason = self._rules.refusal(self._call, error, self._attempt)
        if reason is not None:
            self._rules.suppressed(self._call, error, self._attempt, reason)
        return reason is None

    def _delay(self, state: RetryCallState) -> float:
        error = _failure(state)
        # For tenacity's own TryAgain there is no next attempt, so that the number is nobody's.
        return 0.0 if error is None else self._rules.delay(error, self._attempt)  # pragma: no mutate - see above

    def _stop(self, state: RetryCallState) -> bool:
        error = _failure(state)
        if error is None:
            return True
        paid = self._rules.pay(self._call, error, state.upcoming_sleep)
        if isinstance(paid, int):
            self._cost, self._let_through = paid, self._call.trail.attempts
            return False
        self._rules.suppressed(self._call, error, self._attempt, paid)
        return True

    def _scheduled(self, state: RetryCallState) -> None:
        self._rules.scheduled(self._call, self._real, self._attempt, state.upcoming_sleep)

    def _give_back(self) -> None:
        cost, self._cost = self._cost, 0
        self._rules.budget.give_back(cost)

    def _final(self, error: RouterError) -> RouterError:
        """Return the failure to raise: the last one that was more than a refusal of our own."""
        final = self._real
        if final.payload.retry_after is None and error.payload.retry_after is not None:
            final.annotate(retry_after=error.payload.retry_after)
        if self._maybe_ran and final.payload.delivered == "no":
            # `no` is a proof for the whole call, and an earlier attempt has none.
            final.annotate(delivered="maybe")
        return final


def _failure(state: RetryCallState) -> RouterError | None:
    # Never None where tenacity calls us, except for its own TryAgain: that bypasses the predicate.
    error = state.outcome and state.outcome.exception()
    return error if isinstance(error, RouterError) else None


def _refused_by_us(payload: ErrorPayload) -> bool:
    """Return whether nothing was started: an open circuit, a full bulkhead, no time left."""
    return payload.code in _OURS or (payload.code == "timeout" and payload.delivered == "no")
