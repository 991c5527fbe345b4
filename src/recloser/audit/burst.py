"""Says once that something keeps failing, instead of once for each failure."""

from __future__ import annotations

from typing import Final

__all__ = ["Burst"]

OVER: Final = 100
"""Successes in a row after which failures are no longer taken for those of the same burst."""


class Burst:
    """Failures that belong together; changed by its own methods, all called by one thread at a time."""

    def __init__(self) -> None:
        self._failures = 0
        self._successes = 0

    def failed(self) -> bool:
        """Count a failure and return whether it is the first of a burst, so that it should be told."""
        self._failures += 1
        self._successes = 0
        return self._failures == 1

    def worked(self) -> int:
        """Count a success and return how many failures the burst had that it has ended, or 0."""
        if not self._failures:
            return 0
        self._successes += 1
        if self._successes < OVER:
            return 0
        failures, self._failures = self._failures, 0
        return failures
