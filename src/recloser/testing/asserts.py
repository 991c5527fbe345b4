"""What a test of a host or a server wants to be sure of: once at most, in time, and nothing left behind."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Final, Protocol, TypeAlias

from recloser.testing.clock import VirtualLoop
from recloser.testing.leaks import no_leaks

__all__ = ["GRACE", "Executed", "Timing", "at_most_once", "by_deadline", "no_leaks"]

GRACE: Final = 0.05
"""Seconds that a call may take beyond its deadline."""

TICK: Final = 0.005
"""Seconds between two looks at how late the loop is, once a deadline has passed."""


class Executed(Protocol):
    """Something that counts executions: `FakeServer`, `FaultyHttp`, `FaultyStdio`."""

    def executed(self, tool: str | None = None, /) -> list[str]:
        """Return the label of each execution of a tool (None: any)."""
        ...


Executions: TypeAlias = Executed | Mapping[str, int] | Iterable[str]
"""Executions by what tells one call from another: as a server counts them, as a counter, or as a list of labels."""


def at_most_once(source: Executions, tool: str | None = None) -> None:
    """Check that no call was executed twice.

    Calls are told apart by their labels: give each call an argument `text` of its own (or, for `FakeServer`, any
    argument).

    Args:
        source: A server of this kit, a counter of executions by label, or the labels of all executions.
        tool: The one tool of a server that counts; None: all.

    Raises:
        AssertionError: some calls were executed more than once; the message names each and how often.
        TypeError: a tool was named, and the source is no server.
        ValueError: the server, one of this kit, never had that tool.
    """
    if isinstance(source, Mapping):
        counts = Counter(dict(source))
    elif isinstance(source, Iterable):
        counts = Counter(source)
    else:
        counts = Counter(source.executed(tool))
        tool = None
    if tool is not None:
        raise TypeError("a tool can be named only where a server tells the executions of each")
    twice = [f"\n- {label!r}: {count} times" for label, count in sorted(counts.items()) if count > 1]
    if twice:
        raise AssertionError(f"executed more than once:{''.join(twice)}")


class Timing:
    """How long something took; written by `by_deadline` alone."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        """How long it may take."""
        self.elapsed = 0.0
        """Seconds that it took."""
        self.lag = 0.0
        """Seconds by which the loop itself was late, from the deadline on."""

    @property
    def overrun(self) -> float:
        """Seconds beyond the deadline that are not the loop's own lag; zero or less when it was in time."""
        return self.elapsed - self.seconds - self.lag


@asynccontextmanager
async def by_deadline(seconds: float, *, grace: float = GRACE) -> AsyncIterator[Timing]:
    """Check that the body ends within `seconds` of the event loop, plus `grace`, plus the loop's own lag.

    The lag is measured from the deadline on: as long as a callback comes late, so must the body. A body that raises
    goes first; that it was late as well stands in a note.

    Raises:
        AssertionError: it took longer.
    """
    timing = Timing(seconds)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    watch = _Watch(loop, begun + seconds, timing)
    try:
        yield timing
    except BaseException as error:
        if complaint := watch.stop(begun, grace):
            error.add_note(complaint)
        raise
    if complaint := watch.stop(begun, grace):
        raise AssertionError(complaint)


class _Watch:
    """Measures how late the loop calls back, again and again; written by its own callbacks."""

    def __init__(self, loop: asyncio.AbstractEventLoop, at: float, timing: Timing) -> None:
        self._loop = loop
        self._timing = timing
        self._due = at
        self._advanced: float | None = None
        """On virtual time: how far the loop had been advanced at the deadline; None before it, and on real time."""
        self._handle = loop.call_at(at, self._look)

    def _look(self) -> None:
        now = self._loop.time()
        self._timing.lag += max(0.0, now - self._due)
        if isinstance(self._loop, VirtualLoop):
            # One look is enough, as the loop itself tells how late it is made; and timers without end would let time
            # jump for ever where everything else waits for something that never comes.
            self._advanced = self._loop.advanced
            return
        self._due = now + TICK
        self._handle = self._loop.call_at(self._due, self._look)

    def _late(self, now: float) -> float:
        """Return by how much the loop has been late since the last look, until now."""
        if self._advanced is not None and isinstance(self._loop, VirtualLoop):
            return self._loop.advanced - self._advanced
        # A look that is due has not been taken where the body held up the loop until now.
        return max(0.0, now - self._due)

    def stop(self, begun: float, grace: float) -> str | None:
        """Return what is to be said of a body that has ended now; None if it was in time."""
        self._handle.cancel()
        timing, now = self._timing, self._loop.time()
        timing.elapsed = now - begun
        timing.lag += self._late(now)
        if timing.overrun <= grace:
            return None
        return (
            f"took {timing.elapsed:.3f} s instead of {timing.seconds:g} s: {timing.overrun:.3f} s too long, beside "
            f"{timing.lag:.3f} s by which the loop was late; at most {grace:g} s are allowed"
        )
