"""What recloser tells about its own doing: frozen records, and who hears them.

Policies and connections emit these and know nothing of logs, spans or metrics; listeners turn them into such. An event
holds no arguments, no results and no text of a server.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = [
    "AttemptFinished",
    "CallFinished",
    "CatalogChanged",
    "CircuitChanged",
    "CircuitState",
    "ConnectionChanged",
    "ConnectionState",
    "Emitter",
    "Event",
    "FanOutFinished",
    "Listener",
    "RetryScheduled",
    "RetrySuppressed",
]

CircuitState = Literal["closed", "open", "half_open", "isolated"]
ConnectionState = Literal["idle", "connecting", "ready", "failed", "closed"]
SuppressReason = Literal["not_retryable", "not_safe", "budget", "deadline", "circuit_open", "max_attempts"]

_log = logging.getLogger("recloser")


@dataclass(frozen=True, kw_only=True)
class AttemptFinished:
    """One attempt has ended, in a result (`code` is None) or in an error."""

    call_id: str
    server: str
    endpoint: str
    name: str
    attempt: int
    duration: float
    code: str | None


@dataclass(frozen=True, kw_only=True)
class RetryScheduled:
    """A failed attempt will be followed by another one, after `delay` seconds."""

    call_id: str
    server: str
    name: str
    attempt: int
    """The number of the attempt that failed."""
    code: str
    delay: float


@dataclass(frozen=True, kw_only=True)
class RetrySuppressed:
    """A failed attempt is the last one, for a reason other than success."""

    call_id: str
    server: str
    name: str
    attempt: int
    code: str
    reason: SuppressReason


@dataclass(frozen=True, kw_only=True)
class CircuitChanged:
    """An endpoint's circuit went from one state to another."""

    server: str
    endpoint: str
    previous: CircuitState
    state: CircuitState
    reason: str
    """`failures`, `probe_failed`, `probe_succeeded`, `break_over`, `reconnected`, `operator`."""
    retry_after: float | None = None
    """Seconds until an open circuit lets a probe through."""


@dataclass(frozen=True, kw_only=True)
class ConnectionChanged:
    """A connection went from one state to another."""

    server: str
    endpoint: str
    state: ConnectionState
    generation: int
    code: str | None = None
    """Why it failed, as a code of the error table."""


@dataclass(frozen=True, kw_only=True)
class CatalogChanged:
    """What a server offers has changed, or has become unavailable or available again."""

    server: str
    available: bool
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    shadowed: tuple[str, ...] = ()
    """Bare names that the server's tools could not have because another server holds them."""


@dataclass(frozen=True, kw_only=True)
class CallFinished:
    """One logical call has ended, in a result (`code` is None), an error, or the caller's cancellation."""

    call_id: str
    method: str
    key: str
    server: str | None
    name: str
    caller: str | None
    outcome: Literal["success", "error", "cancelled"]
    code: str | None
    attempts: int
    duration: float


@dataclass(frozen=True, kw_only=True)
class FanOutFinished:
    """Many calls made at once have one verdict."""

    size: int
    answered: int
    quorum: int
    outcome: Literal["complete", "degraded", "failed"]
    duration: float


Event: TypeAlias = (
    AttemptFinished
    | RetryScheduled
    | RetrySuppressed
    | CircuitChanged
    | ConnectionChanged
    | CatalogChanged
    | CallFinished
    | FanOutFinished
)
Listener: TypeAlias = Callable[[Event], None]


class Emitter:
    """One listener that tells all of several; one that raises is logged and does not disturb the call.

    False where nobody listens, so that an event of every call need not be made for nobody.
    """

    __slots__ = ("_listeners",)

    def __init__(self, listeners: Iterable[Listener]) -> None:
        self._listeners = tuple(listeners)

    def __bool__(self) -> bool:
        return bool(self._listeners)

    def __call__(self, event: Event) -> None:
        """Tell every listener."""
        for listener in self._listeners:
            try:
                listener(event)
            except Exception:  # noqa: BLE001 - boundary: a listener is foreign code and must not fail a call
                _log.exception("a listener failed on %s", type(event).__name__)
