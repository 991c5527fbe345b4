"""The spans of one router's calls and attempts."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, Literal

from opentelemetry import baggage, trace
from opentelemetry import context as otel
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Status, StatusCode, Tracer

from recloser.call import Call
from recloser.errors import RouterError
from recloser.events import AttemptFinished, CallFinished
from recloser.options import Server
from recloser.redact import Redactor
from recloser.spans.around import Background, Spread, end, fail, start
from recloser.spans.attributes import CALLS, SCOPE, Targets, error_type, reached
from recloser.version import __version__

__all__ = ["SpanKindChoice", "Spans"]

CONTENT: Final = 8192
"""Characters of arguments or of a result that a span holds where content is switched on."""

SpanKindChoice = Literal["auto", "client", "internal"]

_SDK: Final = "mcp-python-sdk"

_log = logging.getLogger("recloser")


class Spans:
    """Makes the spans of one router; `active` says whether anybody records them.

    Args:
        provider: where the tracer comes from; None means the global one, looked up by `begin`.
        kind: the kind of attempts. `auto` makes them CLIENT unless the SDK records a CLIENT span of its own in each,
            with the same provider.
        content: whether arguments and results stand in spans, redacted.
        redactor: returns what redacts them; asked each time, since a reload brings new secrets.
    """

    def __init__(
        self,
        provider: trace.TracerProvider | None = None,
        *,
        kind: SpanKindChoice = "auto",
        content: bool = False,
        redactor: Callable[[], Redactor] = Redactor,
    ) -> None:
        if kind not in ("auto", "client", "internal"):
            raise ValueError(f"attempt_span_kind must be 'auto', 'client' or 'internal', got {kind!r}")
        self._provider = provider
        self._choice = kind
        self._content = content
        self._redactor = redactor
        self._targets = Targets(redactor)
        self._tracer: Tracer = trace.NoOpTracer()
        self._nested = False
        self.active = False
        """Written by `begin` and `end`."""

    def begin(self) -> None:
        """Look up the provider; where there is none of an SDK, or it fails, nothing will be recorded."""
        try:
            provider = self._provider or trace.get_tracer_provider()
            self._tracer = provider.get_tracer(SCOPE, __version__)
            self._nested = self._choice == "internal" or (self._choice == "auto" and _sdk_records(provider))
            self.active = not isinstance(provider, trace.ProxyTracerProvider | trace.NoOpTracerProvider)
        except Exception:  # noqa: BLE001 - boundary: a provider is foreign code and must not keep a router from opening
            self.active = False
            _log.exception("no spans are recorded, since their provider failed")

    def end(self) -> None:
        """Record nothing any more."""
        self.active = False

    def _kind(self, server: Server) -> SpanKind:
        # The SDK reaches a server of the same process without its dispatcher, and so without a span.
        own = self._nested and (self._choice == "internal" or server.kind != "in_process" or server.era == "legacy")
        return SpanKind.INTERNAL if own else SpanKind.CLIENT

    # --- a call

    def call(self, call: Call[Any], circuit: str | None, timeout: float | None) -> Span:
        """Begin the span of a logical call that has been resolved, or could not be; `end_call` ends it."""
        title, attributes = self._targets.of_call(call, None if circuit is None else call.server)
        attributes["recloser.call.id"] = call.call_id
        if circuit is not None:
            attributes["recloser.circuit_breaker.state"] = circuit
        if timeout is not None:
            attributes["recloser.timeout"] = float(timeout)  # callers and options may say 20
        span = start(self._tracer, title, kind=SpanKind.INTERNAL, attributes=attributes)
        if self._content and span.is_recording():
            if call.method == "tools/call":
                self._capture(span, "gen_ai.tool.call.arguments", call.params.get("arguments"))
            if call.method == "resources/read" and call.known:
                span.set_attribute("mcp.resource.uri", self._redactor().text(call.name))
        return span

    def end_call(self, span: Span, done: CallFinished, call: Call[Any], error: RouterError | None, result: Any) -> None:
        """Say how a call ended."""
        self.settle(call)
        if not span.is_recording():
            end(span)
            return
        if done.known and not call.known:
            self._rename(span, CALLS[call.method], call, done.name)
        attributes: dict[str, Any] = {
            "recloser.outcome": done.outcome,
            "recloser.attempt.count": done.attempts,
            "recloser.retry.count": done.retries,
        }
        if done.delay:
            attributes["recloser.retry.delay"] = done.delay
        if call.method == "tools/call" and result is not None:
            attributes["recloser.result.is_error"] = done.is_error
        if error is not None:
            attributes["error.type"] = error.payload.code
            attributes["recloser.error.class"] = error.payload.type
            attributes["recloser.delivered"] = error.payload.delivered
            span.set_status(Status(StatusCode.ERROR, error.payload.code))
        span.set_attributes(attributes)
        if self._content and call.method == "tools/call" and result is not None:
            self._capture(span, "gen_ai.tool.call.result", result)
        end(span)

    def _capture(self, span: Span, key: str, value: Any) -> None:
        if value:
            told = json.dumps(self._redactor().value(value, characters=CONTENT), ensure_ascii=False, default=repr)
            span.set_attribute(key, told[:CONTENT])

    # --- an attempt

    def attempt(
        self, call: Call[Any], server: Server, endpoint: str, *, circuit: str, version: str | None
    ) -> tuple[Span, object]:
        """Begin the span of an attempt and make it the current one, without the caller's baggage; see `end_attempt`."""
        self.settle(call)
        title, attributes = self._targets.of_attempt(call, server, endpoint, version)
        attributes["recloser.attempt.number"] = call.attempt
        attributes["recloser.attempt.kind"] = "retry" if call.attempt > 1 else "primary"
        attributes["recloser.circuit_breaker.state"] = circuit
        if call.attempt > 1:
            attributes["recloser.retry.delay"] = call.trail.last_delay
        span = start(self._tracer, title, kind=self._kind(server), attributes=attributes)
        context = otel.get_current()
        if server.propagate != "trace+baggage":
            context = baggage.clear(context)
        return span, otel.attach(trace.set_span_in_context(span, context))

    def end_attempt(self, begun: tuple[Span, Any], done: AttemptFinished, call: Call[Any], at: int) -> None:
        """Say how an attempt ended, at a moment in nanoseconds; after a failure the retry decision is still to come."""
        span, token = begun
        otel.detach(token)
        if done.known and not call.known:
            self._rename(span, call.method, call, done.name)
        wrong = error_type(done.code, done.jsonrpc_code, is_error=done.is_error)
        if wrong is not None and span.is_recording():
            span.set_attribute("error.type", wrong)
            if done.jsonrpc_code is not None:
                span.set_attribute("rpc.response.status_code", str(done.jsonrpc_code))
            span.set_status(Status(StatusCode.ERROR, wrong))
        if done.code is None or done.code == "cancelled":
            end(span, at)
        else:
            # What is decided about it belongs to it, and is decided right away; it ends when it ended all the same.
            call.trail.undecided = span, at

    def _rename(self, span: Span, what: str, call: Call[Any], name: str) -> None:
        """Give a span the name that was listed only after it had begun."""
        title, target = self._targets.of_listed(what, call.replace(name=name, known=True))
        span.update_name(title)
        span.set_attributes(target)

    def settle(self, call: Call[Any]) -> None:
        """End the span of a failed attempt, with what was decided about it."""
        if call.trail.undecided is not None:
            span, at = call.trail.undecided
            call.trail.undecided = None
            span.set_attribute("recloser.retry.decision", call.trail.decision or "not_retryable")
            end(span, at)

    # --- the rest

    def spread(self, size: int) -> Spread:
        """Begin the span of many calls made at once."""
        span = None
        if self.active:
            span = start(self._tracer, "recloser.fan_out", attributes={"recloser.fan_out.size": size})
        return Spread(span)

    def background(self, name: str, server: Server, cause: SpanContext | None, **facts: int) -> Background:
        """Begin the span of work behind the scenes: a root of its own, linked to the span that caused it."""
        if not self.active:
            return Background(None)
        attributes = reached(server, None) | {f"recloser.{key}": value for key, value in facts.items()}
        links = [] if cause is None else [Link(cause)]
        return Background(start(self._tracer, name, otel.Context(), attributes=attributes, links=links))

    @contextmanager
    def request(self, method: str, server: Server, version: str | None) -> Iterator[Callable[[str | None], None]]:
        """Record one request of ours that no caller asked for; the function yielded hears the error type, or None."""
        if not self.active:
            yield lambda _: None
            return
        attributes = {"mcp.method.name": method} | reached(server, version)
        span = start(self._tracer, method, kind=self._kind(server), attributes=attributes)
        token = otel.attach(trace.set_span_in_context(span, baggage.clear()))
        try:
            yield partial(fail, span)
        finally:
            otel.detach(token)
            end(span)


def _sdk_records(provider: trace.TracerProvider) -> bool:
    """Return whether each request has a CLIENT span of the SDK's own tracer among the spans of this provider.

    No span is begun to see that: an application's sampler and processors would hear of it.
    """
    # The SDK's go to the global one, whatever ours is.
    if provider is not trace.get_tracer_provider() or isinstance(provider, trace.ProxyTracerProvider):
        return False
    tracer = provider.get_tracer(_SDK)
    # Not public. A tracer without it cannot be switched off; one that does nothing is another one.
    is_on = getattr(tracer, "_is_enabled", lambda: True)
    return not isinstance(tracer, trace.NoOpTracer) and bool(is_on())
