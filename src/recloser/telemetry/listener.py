"""Events as log lines: one name and one set of fields each, and in an outage no more of them than can be read."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, TypeAlias

from recloser.events import (
    AttemptFinished,
    CallFinished,
    CatalogChanged,
    CircuitChanged,
    ConnectionChanged,
    Event,
    FanOutFinished,
    RequestFinished,
    RetryScheduled,
    RetrySuppressed,
)

__all__ = ["EVENTS", "LogListener"]

BURST: Final = 5
"""Lines of the same kind, server and code that are written before the rest of a window is only counted."""
WINDOW: Final = 10.0
"""Seconds after which what was only counted is told in one line."""

_NAMES: Final = 10
_WINDOWS: Final = 1000

EVENTS: Final[Mapping[type[Event], str]] = {
    CallFinished: "call_finished",
    AttemptFinished: "attempt_finished",
    RequestFinished: "request_finished",
    RetryScheduled: "retry_scheduled",
    RetrySuppressed: "retry_suppressed",
    CircuitChanged: "circuit_changed",
    ConnectionChanged: "connection_changed",
    CatalogChanged: "catalog_changed",
    FanOutFinished: "fan_out_finished",
}
"""What each event is called in the log; `suppressed` tells how many lines were left out."""

# The caller stands in the audit alone; a key is a name once more.
_LEFT_OUT: Final = frozenset({"caller", "key", "where"})


Write: TypeAlias = Callable[..., object]
"""Writes a line of a level, by a name, with fields as keywords; such as the `log` of structlog's loggers."""


@dataclass
class _Window:
    """Lines of one kind in one stretch of time. Changed by its listener alone."""

    until: float
    level: int
    told: int = 0
    left_out: int = 0


class LogListener:
    """Writes events to the log; a listener of routers. All of them run on one loop at a time.

    Written by its own calls: the windows that have begun.
    """

    def __init__(self, write: Write, *, level: int = logging.INFO, clock: Callable[[], float] | None = None) -> None:
        self._write = write
        self._level = level
        self._clock = clock or _loop_time
        self._windows: dict[tuple[str, str, str], _Window] = {}
        self._due = float("inf")

    def __call__(self, event: Event) -> None:
        """Write an event's line, if it matters enough."""
        level = level_of(event)
        if level < self._level:
            return
        name = EVENTS[type(event)]
        if level > logging.DEBUG and not self._may_tell(name, event, level):
            return
        self._write(level, name, **_fields(event))

    def flush(self) -> None:
        """Tell now how many lines were left out."""
        self._end_windows(float("inf"))

    def _may_tell(self, name: str, event: Event, level: int) -> bool:
        now = self._clock()
        if now >= self._due or len(self._windows) >= _WINDOWS:
            self._end_windows(now if len(self._windows) < _WINDOWS else float("inf"))
        key = name, getattr(event, "server", None) or "", _what(event)
        window = self._windows.get(key)
        if window is None:
            window = self._windows[key] = _Window(until=now + WINDOW, level=level)
            self._due = min(self._due, window.until)
        if window.told >= BURST:
            window.left_out += 1
            return False
        window.told += 1
        return True

    def _end_windows(self, now: float) -> None:
        """Forget the windows that are over, and tell of each how many lines it left out."""
        over = [key for key, window in self._windows.items() if window.until <= now]
        for key in over:
            window = self._windows.pop(key)
            if window.left_out:
                told = {name: said for name, said in zip(("of", "server", "why"), key, strict=True) if said}
                self._write(window.level, "suppressed", **told, count=window.left_out)
        self._due = min((window.until for window in self._windows.values()), default=float("inf"))


def level_of(event: Event) -> int:
    """Return how much an event matters: what a person should see is a warning, what explains it is information."""
    match event:
        case CallFinished(outcome="error") | FanOutFinished(outcome="degraded" | "failed"):
            return logging.WARNING
        case CircuitChanged(state="open" | "isolated") | ConnectionChanged(state="failed"):
            return logging.WARNING
        case ConnectionChanged(state="connecting", code=str()):
            return logging.WARNING
        case CircuitChanged() | RetryScheduled() | CatalogChanged() | ConnectionChanged(state="ready"):
            return logging.INFO
        case RetrySuppressed(reason="budget" | "deadline" | "circuit_open" | "max_attempts"):
            return logging.INFO
        case _:
            return logging.DEBUG


def _what(event: Event) -> str:
    """Return what lines of the same kind and server have in common: the code, most often."""
    said = [getattr(event, name, None) for name in ("state", "code", "reason")]
    return " ".join(each for each in said if each) or getattr(event, "outcome", "")


def _fields(event: Event) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field in fields(event):
        value = getattr(event, field.name)
        if value is None or value == () or field.name in _LEFT_OUT:
            continue
        if isinstance(value, float):
            value = round(value, 6)
        elif isinstance(value, tuple):
            value = [*value[:_NAMES], f"and {len(value) - _NAMES} more"] if len(value) > _NAMES else list(value)
        found[field.name] = value
    if isinstance(event, CallFinished | AttemptFinished) and event.method == "tools/call":
        found["tool"] = found.pop("name")
    return found


def _loop_time() -> float:
    try:
        return asyncio.get_running_loop().time()
    except RuntimeError:  # told from outside of a loop: it counts as long ago
        return 0.0
