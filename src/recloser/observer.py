"""What a router tells of its calls, and to whom: listeners, spans, and the audit."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from contextvars import Token
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import context as otel
from opentelemetry import trace

from recloser.call import Call
from recloser.errors import ErrorPayload, RouterError
from recloser.events import CallFinished, CircuitState, Emitter, made
from recloser.redact import Redactor
from recloser.redact.causes import seal
from recloser.spans import Spans, trace_ids

if TYPE_CHECKING:
    from recloser.audit import Auditor

__all__ = ["Observer", "Watched", "answered_code", "as_told"]


@dataclass(frozen=True, kw_only=True)
class Observer:
    """Who hears of calls."""

    emit: Emitter
    spans: Spans = field(default_factory=Spans)
    audit: Auditor | None = None
    redactor: Callable[[], Redactor] = Redactor
    """What redacts names and texts; asked each time, since a reload brings new secrets."""
    content: bool = False
    """Whether the texts of foreign exceptions may be shown below ours, redacted."""

    def shown(self, name: str) -> str:
        """Return a name, a server's or a caller's, as it may be shown."""
        return self.redactor().name(name)

    def hide(self, error: RouterError) -> None:
        """Take out of an error what led to it and may hold a secret."""
        seal(error, RouterError, self.redactor() if self.content else None)

    @property
    def watching(self) -> bool:
        """Whether anybody does; where nobody does, nothing is made for them."""
        return bool(self.emit) or self.spans.active or self.audit is not None


class Watched:
    """One logical call as it is observed, from the moment that it is resolved. Written by its own methods."""

    __slots__ = ("_before", "_began", "_call", "_observer", "_span", "_span_id", "_token", "trace_id")

    def __init__(
        self, call: Call[Any], observer: Observer, *, circuit: CircuitState | None, timeout: float | None
    ) -> None:
        self._call = call
        self._observer = observer
        self._before: CircuitState | None = circuit
        self._began = None if observer.audit is None else _now()
        self._span: trace.Span | None = None
        self._token: Token[otel.Context] | None = None
        self._span_id: str | None = None
        self.trace_id: str | None = None
        """The trace that the call is part of, in hexadecimal digits."""
        if observer.spans.active:
            self._span = observer.spans.call(call, circuit, timeout)
            self._token = otel.attach(trace.set_span_in_context(self._span))
            self.trace_id, self._span_id = trace_ids(self._span)

    def end(
        self,
        result: Any,
        error: RouterError | None,
        *,
        cancelled: bool,
        duration: float,
        circuit: CircuitState | None,
    ) -> None:
        """Tell everybody how it ended."""
        call, trail = self._call, self._call.trail
        told = as_told(call)
        done = made(
            CallFinished,
            call_id=call.call_id,
            method=call.method,
            key=told.key,
            server=call.server if self._before is not None else None,
            name=told.name,
            known=told.known,
            caller=call.caller,
            outcome="cancelled" if cancelled else "success" if error is None else "error",
            code=None if error is None else error.payload.code,
            type=None if error is None else error.payload.type,
            attempts=trail.attempts,
            retries=max(0, trail.attempts - 1),
            delay=trail.delay,
            duration=duration,
            is_error=bool(getattr(result, "is_error", False)),
            circuit_before=self._before,
            circuit_after=circuit,
            trace_id=self.trace_id,
            span_id=self._span_id,
        )
        if self._span is not None and self._token is not None:
            self._observer.spans.end_call(self._span, done, call, error, result)
        if self._observer.emit:
            self._observer.emit(done)
        if self._observer.audit is not None and self._began is not None:
            self._observer.audit(done, call, result, self._began, trail.tries)
        if self._token is not None:
            # Last, so that what the others write still stands in the call's own trace.
            otel.detach(self._token)


def as_told(call: Call[Any]) -> Call[Any]:
    """Return a call as it is told of when it or an attempt ends: under the name in its server's list.

    That may have been listed only while the call ran. One whose name was no guess is returned as it is.
    """
    if call.settle is None:
        return call
    if call.trail.listed is None:
        # It was not sent, or was let through while the lists were long in coming; or there is no such thing.
        with suppress(RouterError):
            call.settle(call)
    if call.trail.listed is None:
        return call
    key, name = call.trail.listed
    return call.replace(key=key, name=name, known=True)


_UNANSWERED: Final = frozenset({"connection_lost", "timeout", "unreachable"})


def answered_code(payload: ErrorPayload | None) -> int | None:
    """Return the code of the JSON-RPC error that a server answered with.

    Where there was no answer, the SDK makes up an error of its own, whose code says nothing of the server.
    """
    if payload is None or payload.cause is None or payload.code in _UNANSWERED:
        return None
    return payload.cause.jsonrpc_code


def _now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 - an audit says when by the clock on the wall
