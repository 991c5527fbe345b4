"""The circuit of one endpoint: admits calls, awaits them outside the state machine, and replays what became of them.

Two numbers keep late results out: the generation, which every change of state raises, and the lease of a probe.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from recloser.call import Call, CallNext, Deadline, R
from recloser.errors import CircuitOpen, ErrorPayload, RouterError
from recloser.events import CircuitChanged, CircuitState, Listener
from recloser.options import Breaker
from recloser.policies.breaker.machine import Machine
from recloser.policies.breaker.window import Bucket, Window

__all__ = ["CircuitBreaker", "CircuitSnapshot"]

# Seconds for which rejections share a payload.
_SHARED_FOR: Final = 0.1
# Seconds after its call's deadline for which a probe keeps its place, or that could be given away in the moment that it
# times out.
_GRACE: Final = 1.0
# Beyond this exponent every break has long reached its cap, and a float would overflow.
_LARGEST_EXPONENT: Final = 64

_REASONS: Final[dict[tuple[CircuitState, CircuitState], str]] = {
    ("closed", "open"): "failures",
    ("open", "half_open"): "break_over",
    ("half_open", "open"): "probe_failed",
    ("half_open", "closed"): "probe_succeeded",
}


@dataclass(frozen=True, kw_only=True)
class CircuitSnapshot:
    """What a circuit looks like at one moment; times are seconds of `loop.time()`."""

    state: CircuitState
    since: float | None
    """When it came into this state; None if it has never changed."""
    failures: int
    samples: int
    """Calls that count at this moment, failures included."""
    consecutive: int
    """Failures in a row."""
    retry_after: float | None
    """Seconds until it lets a call through; None while only an operator can end its isolation."""
    open_count: int
    """How often it has opened."""


@dataclass(frozen=True)
class _Failure:
    """How one call was counted, so that its last attempt can correct it."""

    generation: int
    bucket: Bucket


@dataclass(frozen=True)
class _Lease:
    """The place of one probe."""

    until: float
    deadline: Deadline | None
    """Its call's: progress and a question to our side let a probe run as long as that allows, but no longer."""

    def left(self, now: float) -> float:
        """Return the seconds that are left at `now`; constant while the deadline stands still."""
        seconds = self.until - now
        return seconds if self.deadline is None else max(seconds, self.deadline.remaining(now) + _GRACE)


class CircuitBreaker:
    """The circuit of one endpoint: admits calls or rejects them at once, and hears what became of them.

    Args:
        breaker: when it opens, for how long, and how it closes.
        server: the server's name, for errors and events.
        endpoint: the endpoint's name, for events and to count a call once.
        rng: random numbers from 0 to 1, for the jitter of the break.
        emit: is told every change of state, once and in order.
        lease: seconds after which a probe that is not heard of makes room for another one, but never before its call's
            deadline has passed; more than an attempt may take, or a probe that times out does not count.
    """

    def __init__(
        self,
        breaker: Breaker,
        *,
        server: str,
        endpoint: str,
        rng: Callable[[], float] = random.random,
        emit: Listener,
        lease: float,
    ) -> None:
        self._options = breaker
        self._server = server
        self._endpoint = endpoint
        self._rng = rng
        self._emit = emit
        self._lease = lease
        self._window = Window(breaker)
        self._machine = Machine(breaker, self._window, endpoint, self._became)
        # All down to the leases is changed by _change alone; leases are also handed out by _admit_probe and taken
        # back by _probe.
        self._state: CircuitState = "closed"
        self._generation = 0
        self._since: float | None = None
        self._broken_since = 0.0
        self._open_until = 0.0
        self._breaks = 0
        self._open_count = 0
        self._leases: dict[int, _Lease] = {}
        self._last_lease = 0
        # The payload of the last rejection, and until when others share it; changed by rejection and _change.
        self._refusal: ErrorPayload | None = None
        self._refusal_until = 0.0
        # Why the next change of state comes about, where that does not follow from the two states.
        self._reason: str | None = None
        # Changes that nobody has been told of yet; filled by _change, emptied by _tell.
        self._untold: deque[CircuitChanged] = deque()
        self._telling = False
        self._watchers: list[Callable[[], None]] = []

    def __repr__(self) -> str:
        return f"CircuitBreaker({self._endpoint!r}, {self._state})"

    # -- the way of a call ---------------------------------------------------------------------------------------

    async def __call__(self, call: Call[R], call_next: CallNext[R]) -> R:
        """Send the call on if the circuit lets it through, and count what becomes of it.

        Raises:
            CircuitOpen: it does not; nothing was sent.
        """
        if self._state != "closed":
            return await self._probe(call, call_next)
        if not self._options.enabled:
            return await call_next(call)
        generation = self._generation
        # Cancellation and errors that are not a RouterError are nobody's evidence and pass by.
        try:
            result = await call_next(call)
        except RouterError as error:
            if error.evidence and generation == self._generation:
                self._failed(call)
            raise
        if generation == self._generation:
            self._succeeded(call)
        return result

    async def _probe(self, call: Call[R], call_next: CallNext[R]) -> R:
        lease = self._admit_probe(call)
        succeeded: bool | None = None
        try:
            result = await call_next(call)
            succeeded = True
        except RouterError as error:
            if error.evidence:
                succeeded = False
            raise
        finally:
            # A lease is gone when the state has changed or another probe took its place: then the result is late.
            if self._leases.pop(lease, None) is not None and succeeded is not None:
                self._machine.replay(succeeded=succeeded)
                self._tell()
        return result

    def _admit_probe(self, call: Call[Any]) -> int:
        now = _now()
        if not self.would_admit(now):
            raise self.rejection()
        if self._state == "open":
            self._machine.half_open()
        for number in [number for number, held in self._leases.items() if held.left(now) <= 0]:
            del self._leases[number]
        self._last_lease += 1
        self._leases[self._last_lease] = _Lease(now + self._lease, call.deadline)
        lease = self._last_lease
        self._tell()
        return lease

    def _succeeded(self, call: Call[Any]) -> None:
        counted = call.trail.counted
        sample = counted.get(self._endpoint)
        if isinstance(sample, _Failure) and sample.generation == self._generation:
            # The last attempt has the last word about a call that was counted as a failure.
            self._window.forgive(sample.bucket, _now())
        elif sample != self._generation:
            self._window.add_success(_now())
        # pybreaker would do no more than this for a success in a closed circuit.
        counted[self._endpoint] = self._generation

    def _failed(self, call: Call[Any]) -> None:
        counted = call.trail.counted
        sample = counted.get(self._endpoint)
        generation = sample.generation if isinstance(sample, _Failure) else sample
        if generation == self._generation:
            return
        counted[self._endpoint] = _Failure(self._generation, self._window.add_failure(_now()))
        self._machine.replay(succeeded=False)
        self._tell()

    # -- what others ask -----------------------------------------------------------------------------------------

    @property
    def state(self) -> CircuitState:
        """Closed, open, half-open (a few probes pass) or isolated (by an operator)."""
        return self._state

    def would_admit(self, now: float, /) -> bool:
        """Return whether a call would be let through at `now`; changes nothing."""
        if self._state == "closed":
            return True
        return self.retry_after(now) == 0

    def retry_after(self, now: float, /) -> float | None:
        """Return the seconds until a call is let through, 0 if one is at `now`, None while isolated."""
        if self._state == "closed":
            return 0.0
        if self._state == "isolated":
            return None
        if self._state == "open":
            return max(0.0, self._open_until - now)
        held = sorted(left for lease in self._leases.values() if (left := lease.left(now)) > 0)
        if len(held) < self._options.probes:
            return 0.0
        # A probe is mostly heard of long before its lease ends.
        return min(held[0], self._options.open_for)

    def rejection(self) -> RouterError:
        """Return the `CircuitOpen` for a call that is not let through: which server, since when, and until when.

        Its numbers may be a tenth of a second old.
        """
        now = _now()
        # An outage means many rejections, and the payload is what costs: those of a tenth of a second share one.
        if self._refusal is None or now >= self._refusal_until:
            self._refusal = self._refuse(now)
            self._refusal_until = now + _SHARED_FOR
        return CircuitOpen(self._refusal)

    def _refuse(self, now: float) -> ErrorPayload:
        wait = self.retry_after(now)
        since = max(0.0, now - self._broken_since)
        if wait is None:
            what = f"was isolated by an operator {since:.0f} s ago; use another tool, or ask them"
        else:
            what = f"keeps failing: its circuit opened {since:.0f} s ago; try again in {wait:.1f} s"
        return ErrorPayload(
            type="transient",
            code="circuit_open",
            message=f"server {self._server!r} {what}",
            server=self._server,
            retryable=True,
            retry_after=wait,
            delivered="no",
            next_action="ask_operator" if wait is None else "retry_later",
        )

    @property
    def failure_rate(self) -> float:
        """The share of failures among the calls that counted when the last one did; safe to read from any thread."""
        return self._window.rate

    def snapshot(self, now: float | None = None) -> CircuitSnapshot:
        """Return what the circuit looks like at `now`; outside the event loop, `now` must be given."""
        now = _now() if now is None else now
        samples, failures = self._window.totals(now)
        return CircuitSnapshot(
            state=self._state,
            since=self._since,
            failures=failures,
            samples=samples,
            consecutive=self._window.consecutive,
            retry_after=self.retry_after(now),
            open_count=self._open_count,
        )

    def watch(self, watcher: Callable[[], None], /) -> Callable[[], None]:
        """Call `watcher` after every change of state; return what ends that."""
        self._watchers.append(watcher)

        def unwatch() -> None:
            if watcher in self._watchers:
                self._watchers.remove(watcher)

        return unwatch

    # -- what others do to it ------------------------------------------------------------------------------------

    def isolate(self) -> None:
        """Let nothing through until `close()`; an operator's decision, which holds with `enabled=False` too."""
        if self._state != "isolated":
            self._change("isolated", "operator")
            self._tell()

    def close(self) -> None:
        """Let everything through again and forget what was counted; an operator's decision."""
        if self._state != "closed":
            self._reason = "operator"
            self._machine.close()
            self._tell()

    def half_open(self, reason: str = "reconnected") -> None:
        """Let probes through at once where the circuit is open: somebody has seen the server answer."""
        if self._state == "open":
            self._reason = reason
            self._machine.half_open()
            self._tell()

    # -- changes of state ----------------------------------------------------------------------------------------

    def _became(self, state: CircuitState) -> None:
        """Follow pybreaker into another state."""
        reason, self._reason = self._reason, None
        self._change(state, reason or _REASONS[self._state, state])

    def _change(self, state: CircuitState, reason: str) -> None:
        now = _now()
        previous, self._state = self._state, state
        self._generation += 1
        self._leases.clear()
        self._window.clear()
        self._refusal = None
        self._since = now
        if previous == "closed" or state == "isolated":
            self._broken_since = now
        if state == "closed":
            self._breaks = 0
        retry_after = None
        if state == "open":
            full = self._options.open_for * 2.0 ** min(self._breaks, _LARGEST_EXPONENT)
            half = min(full, self._options.open_cap) / 2
            retry_after = half + half * self._rng()
            self._open_until = now + retry_after
            self._breaks += 1
            self._open_count += 1
        self._untold.append(
            CircuitChanged(
                server=self._server,
                endpoint=self._endpoint,
                previous=previous,
                state=state,
                reason=reason,
                retry_after=retry_after,
            )
        )

    def _tell(self) -> None:
        # Only after pybreaker has returned, and never nested: whoever is told may ask for the next change.
        if self._telling:
            return
        self._telling = True
        try:
            while self._untold:
                self._emit(self._untold.popleft())
                for watcher in tuple(self._watchers):
                    watcher()
        finally:
            self._telling = False


def _now() -> float:
    return asyncio.get_running_loop().time()
