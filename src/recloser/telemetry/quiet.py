"""Keeping the SDK's exporters from filling the log: a collector that is down would be told of with every batch."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final

__all__ = ["Quiet", "quieten"]

PERIOD: Final = 60.0
"""Seconds in which the same kind of warning is told once."""

_KINDS: Final = 100


class Quiet(logging.Filter):
    """Lets each kind of message of a logger through once a period, with the number of those left out before it.

    Written by `filter`, which may run in several threads: the worst that can come of that is a line too many.
    """

    def __init__(self) -> None:
        super().__init__()
        self._told: dict[str, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record is told."""
        kind = str(record.msg)[:200]
        since, left_out = self._told.get(kind, (float("-inf"), 0))
        if record.created - since < PERIOD:
            self._told[kind] = (since, left_out + 1)
            return False
        if left_out:
            record.msg, record.args = f"{record.getMessage()} (and {left_out} more like this since the last)", ()
        if len(self._told) >= _KINDS:
            self._told.clear()
        self._told[kind] = (record.created, 0)
        return True


def quieten(loggers: Iterable[str]) -> None:
    """Put a filter on each logger, unless it has one already; they stay, since exporters outlive who made them."""
    for name in loggers:
        logger = logging.getLogger(name)
        if not any(isinstance(each, Quiet) for each in logger.filters):
            logger.addFilter(Quiet())
