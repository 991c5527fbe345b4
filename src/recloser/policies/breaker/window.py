"""What is known about an endpoint's last calls, and whether that opens its circuit."""

from __future__ import annotations

from collections import deque

from recloser.options import Breaker

__all__ = ["Bucket", "Window"]


class Bucket:
    """The calls that were counted in one part of the window."""

    __slots__ = ("failures", "index", "samples")

    def __init__(self, index: int) -> None:
        self.index = index
        self.samples = 0
        self.failures = 0


class Window:
    """The calls of the last seconds, in buckets; changed by the breaker that owns it."""

    def __init__(self, breaker: Breaker) -> None:
        self._options = breaker
        self._width = breaker.window / breaker.buckets
        self._buckets: deque[Bucket] = deque()
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._buckets.clear()
        self._newest = Bucket(-1)
        self._samples = 0
        self._failures = 0
        self.consecutive = 0

    def add_success(self, now: float) -> None:
        """Count a call that succeeded at `now`."""
        bucket = self._roll(now)
        bucket.samples += 1
        self._samples += 1
        self.consecutive = 0

    def add_failure(self, now: float) -> Bucket:
        """Count a call that failed at `now`; return where it was counted."""
        bucket = self._roll(now)
        bucket.samples += 1
        bucket.failures += 1
        self._samples += 1
        self._failures += 1
        self.consecutive += 1
        return bucket

    def forgive(self, bucket: Bucket, now: float) -> None:
        """Turn a failure that was counted in `bucket` into a success."""
        if bucket.index > self._roll(now).index - self._options.buckets:
            bucket.failures -= 1
            self._failures -= 1
            self.consecutive = 0
        else:
            # It has left the window by now.
            self.add_success(now)

    def totals(self, now: float) -> tuple[int, int]:
        """Return how many calls count at `now`, and how many of them failed."""
        self._roll(now)
        return self._samples, self._failures

    @property
    def rate(self) -> float:
        """The share of failures as of the last call that was counted; 0 where there was none."""
        samples, failures = self._samples, self._failures
        return failures / samples if samples else 0.0

    def must_open(self) -> bool:
        """Return whether what is known opens the circuit; meant for the moment after a failure was counted."""
        if self.consecutive >= self._options.consecutive:
            return True
        # A quotient, not a product: 7 of 100 is exactly the rate 0.07.
        return self._samples >= self._options.volume and self._failures / self._samples >= self._options.rate

    def _roll(self, now: float) -> Bucket:
        index = int(now / self._width)
        newest = self._newest
        if newest.index == index:
            return newest
        while self._buckets and self._buckets[0].index <= index - self._options.buckets:
            old = self._buckets.popleft()
            self._samples -= old.samples
            self._failures -= old.failures
        self._newest = Bucket(index)
        self._buckets.append(self._newest)
        return self._newest
