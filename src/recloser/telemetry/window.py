"""Counts and durations of the last seconds, in bounded memory however much happens.

Durations are counted in classes, each 5 % wider than the one before, so that a quantile is right to 2.5 % of itself; a
hundred thousand calls need no more room than four hundred numbers.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Hashable
from typing import Any, Final

__all__ = ["GROWTH", "LONGEST", "SHORTEST", "Numbers", "Window"]

GROWTH: Final = 1.05
"""How much wider each class of durations is than the one before: an error of at most 2.5 %, half of it to each side."""
SHORTEST: Final = 1e-5
"""Seconds; what took less counts as this long: nothing that crosses a process is quicker."""
LONGEST: Final = 3600.0
"""Seconds; what took more counts as this long in quantiles, and as itself in `longest`."""

_PER_CLASS: Final = 1 / math.log(GROWTH)
_LAST: Final = int(math.log(LONGEST / SHORTEST) * _PER_CLASS)


class Numbers:
    """What happened in one stretch of time. Written by its own methods alone."""

    __slots__ = ("counts", "durations", "longest")

    def __init__(self) -> None:
        self.counts: dict[Hashable, int] = {}
        self.durations: dict[int, int] = {}
        """How many durations fell into each class."""
        self.longest = 0.0
        """Seconds, exactly."""

    def count(self, key: Hashable) -> None:
        """Add one to a count; the keys come from a fixed vocabulary, never from a caller or a server."""
        counts = self.counts
        try:
            counts[key] += 1
        except KeyError:
            counts[key] = 1

    def took(self, seconds: float) -> None:
        """Add one duration."""
        group = 0
        if seconds > SHORTEST:
            group = int(math.log(seconds / SHORTEST) * _PER_CLASS) if seconds < LONGEST else _LAST
        durations = self.durations
        try:
            durations[group] += 1
        except KeyError:
            durations[group] = 1
        self.longest = max(self.longest, seconds)

    def add(self, other: Numbers) -> None:
        """Add all of another stretch."""
        _merge(self.counts, other.counts, 1)
        _merge(self.durations, other.durations, 1)
        self.longest = max(self.longest, other.longest)

    def quantiles(self, *shares: float) -> list[float | None]:
        """Return for each share the seconds within which that part of the durations lies; None if there are none."""
        groups = sorted(self.durations.items())
        total = sum(count for _, count in groups)
        return [self._quantile(groups, math.ceil(share * total)) for share in shares]

    def _quantile(self, groups: list[tuple[int, int]], rank: int) -> float | None:
        for group, count in groups:
            rank -= count
            if rank <= 0:
                return min(SHORTEST * math.pow(GROWTH, group + 0.5), self.longest)
        return None

    def within(self, first: str) -> dict[str, int]:
        """Return the counts of all keys `(first, what)`, by what."""
        return {key[1]: count for key, count in self.counts.items() if isinstance(key, tuple) and key[0] == first}


def _merge(into: dict[Any, int], other: dict[Any, int], sign: int) -> None:
    get = into.get
    for key, count in other.items():
        left = get(key, 0) + sign * count
        if left:
            into[key] = left
        else:
            del into[key]


class Window:
    """The numbers of the last `parts` stretches of `width` seconds each, the running one included.

    Written by its own methods, and by who counts in what `at` returns. What is past is kept as a sum too: to look at
    many servers at once must not hold up their loop.
    """

    __slots__ = ("_index", "_newest", "_parts", "_past", "_sum", "_width")

    def __init__(self, width: float, parts: int) -> None:
        self._width = width
        self._parts = parts
        self._index: int | None = None
        self._newest = Numbers()
        self._past: deque[tuple[int, Numbers]] = deque()
        self._sum = Numbers()

    def at(self, now: float) -> Numbers:
        """Return the numbers of the running stretch, to be counted in; `now` is the loop's time."""
        index = int(now // self._width)
        if index != self._index:
            self._step(index)
        return self._newest

    def total(self, now: float) -> Numbers:
        """Return the sum of what has not left the window yet."""
        self.at(now)
        found = Numbers()
        found.counts, found.durations = self._sum.counts.copy(), self._sum.durations.copy()
        found.add(self._newest)
        found.longest = max([self._newest.longest, *(numbers.longest for _, numbers in self._past)])
        return found

    def _step(self, index: int) -> None:
        if self._index is not None and (self._newest.counts or self._newest.durations):
            self._past.append((self._index, self._newest))
            self._sum.add(self._newest)
            self._newest = Numbers()
        self._index = index
        while self._past and self._past[0][0] <= index - self._parts:
            _, gone = self._past.popleft()
            _merge(self._sum.counts, gone.counts, -1)
            _merge(self._sum.durations, gone.durations, -1)
