"""What recloser tells about its own doing: frozen records, and who hears them.

Policies and connections emit these and know nothing of logs, spans or metrics; listeners turn them into such. An event
holds no arguments, no results and no text of a server.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, TypeVar

from recloser.apart import apart
from recloser.errors import Delivered, ErrorType

__all__ = [
    "AttemptFinished",
    "AttemptKind",
    "CallFinished",
    "CallOutcome",
    "CatalogChanged",
    "CircuitChanged",
    "CircuitState",
    "ConnectionChanged",
    "ConnectionState",
    "Emitter",
    "Event",
    "FanOutFinished",
    "Listener",
    "RequestFinished",
    "RetryScheduled",
    "RetrySuppressed",
    "made",
]

CircuitState = Literal["closed", "open", "half_open", "isolated"]
ConnectionState = Literal["idle", "connecting", "ready", "failed", "closed"]
AttemptKind = Literal["primary", "retry", "hedge"]
CallOutcome = Literal["success", "error", "cancelled"]
SuppressReason = Literal["not_retryable", "not_safe", "budget", "deadline", "circuit_open", "max_attempts"]
Where: TypeAlias = tuple[tuple[str, str | int], ...]
"""How a server was reached, in the attributes of the conventions: after a reload, its name may mean another address."""

_log = logging.getLogger("recloser")


@dataclass(frozen=True, kw_only=True)
class AttemptFinished:
    """One attempt has ended, in a result (`code` is None) or in an error."""

    call_id: str
    server: str
    endpoint: str
    method: str
    """The MCP method, such as `tools/call`."""
    name: str
    known: bool
    """Whether the name stands in the server's list; a name that does not is a caller's text."""
    attempt: int
    """Its number, from 1."""
    kind: AttemptKind
    duration: float
    code: str | None
    """A code of the error table, or `cancelled` by the caller."""
    jsonrpc_code: int | None = None
    """The code of the JSON-RPC error that the server answered with."""
    is_error: bool = False
    """Whether the tool itself answered with an error: a result like any other to us."""
    delivered: Delivered | None = None
    """Whether the server may have run it all the same, where it failed."""
    retry_after: float | None = None
    """Seconds after which trying again makes sense, where somebody said so."""
    protocol_version: str | None = None
    where: Where = field(default=(), repr=False)


@dataclass(frozen=True, kw_only=True)
class RequestFinished:
    """A request of our own has ended, that no caller asked for: negotiation, a page of a list, a sign of life."""

    server: str
    method: str
    duration: float
    code: str | None
    jsonrpc_code: int | None = None
    protocol_version: str | None = None
    where: Where = field(default=(), repr=False)


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
    """Counts up, also where a server is changed by `reload`: what has a lower one is of a session on its way out."""
    code: str | None = None
    """Why it failed, as a code of the error table."""
    protocol_version: str | None = None
    """The version agreed on, of a connection that is or was ready."""
    lasted: float | None = None
    """Seconds that the session was ready, told when it has ended."""
    where: Where = field(default=(), repr=False)


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
    """The name that the caller used, qualified where it could be resolved."""
    server: str | None
    """None where there is no such thing, so that no server was asked."""
    name: str
    """What the server itself calls the thing."""
    known: bool
    """Whether the name stands in the server's list; a name that does not is a caller's text."""
    caller: str | None
    outcome: CallOutcome
    code: str | None
    type: ErrorType | None = None
    """The class of the error."""
    attempts: int
    retries: int = 0
    """How many of them followed a failure."""
    delay: float = 0.0
    """Seconds spent in back-off."""
    duration: float
    is_error: bool = False
    """Whether the tool itself answered with an error: a result like any other to us."""
    circuit_before: CircuitState | None = None
    """The circuit when the call came; None where no server was asked."""
    circuit_after: CircuitState | None = None
    trace_id: str | None = None
    """32 hexadecimal digits, where there is a trace."""
    span_id: str | None = None
    """16 hexadecimal digits: the call's own span."""


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
    | RequestFinished
    | RetryScheduled
    | RetrySuppressed
    | CircuitChanged
    | ConnectionChanged
    | CatalogChanged
    | CallFinished
    | FanOutFinished
)
Listener: TypeAlias = Callable[[Event], None]


Made = TypeVar("Made", AttemptFinished, CallFinished)


def made(record: type[Made], /, **fields: Any) -> Made:
    """Return a record of which every field is given.

    Those of every call are made so: their own `__init__`, which sets 20 frozen fields one by one, takes four times as
    long.
    """
    event = object.__new__(record)
    object.__setattr__(event, "__dict__", fields)
    return event


class Emitter:
    """One listener that tells all of several; one that raises is logged and does not disturb the call.

    False where nobody listens, so that an event of every call need not be made for nobody. Written by `add` and
    `remove`.
    """

    __slots__ = ("_listeners",)

    def __init__(self, listeners: Iterable[Listener]) -> None:
        self._listeners = tuple(listeners)

    def __bool__(self) -> bool:
        return bool(self._listeners)

    def add(self, listener: Listener) -> None:
        """Tell this listener too, from now on."""
        self._listeners = (*self._listeners, listener)

    def remove(self, listener: Listener) -> None:
        """Tell this listener no more."""
        self._listeners = tuple(one for one in self._listeners if one is not listener)

    def __call__(self, event: Event) -> None:
        """Tell every listener."""
        under_way = sys.exception()
        for listener in self._listeners:
            try:
                listener(event)
            # A plain function is never cancelled itself: it has looked at something that was.
            except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - boundary: foreign code must fail no call
                _log.error("a listener failed on %s", type(event).__name__, exc_info=apart(error, under_way))
