"""Spans around more than one call, and work that belongs to none."""

from __future__ import annotations

import contextvars
import logging
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, TypeVar

from opentelemetry import context as otel
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, Status, StatusCode, Tracer

from recloser.apart import apart
from recloser.call import CURRENT, Call

__all__ = ["Background", "Spread", "current", "detached", "end", "fail", "names_current", "start", "trace_ids"]

R = TypeVar("R")

_log = logging.getLogger("recloser")


def start(tracer: Tracer, name: str, context: otel.Context | None = None, **options: Any) -> Span:
    """Return a new span; where the tracer fails, one that stands for its parent and records nothing."""
    under_way = sys.exception()
    try:
        return tracer.start_span(name, context, **options)
    except Exception as error:  # noqa: BLE001 - boundary: samplers and processors are foreign and must not fail a call
        _log.error("a span could not be started", exc_info=apart(error, under_way))
        return NonRecordingSpan(trace.get_current_span(context).get_span_context())


def end(span: Span, at: int | None = None) -> None:
    """End a span, at a moment in nanoseconds or now; never raises."""
    under_way = sys.exception()
    try:
        span.end(at)
    except Exception as error:  # noqa: BLE001 - boundary: as above
        _log.error("a span could not be ended", exc_info=apart(error, under_way))


def detached() -> contextvars.Context:
    """Return a copy of the current context without its span, baggage and call, for work that outlives who began it.

    Of the call it would do the errands under a false name, and keep its arguments for as long as it lasts.
    """
    context = contextvars.copy_context()
    context.run(otel.attach, otel.Context())
    context.run(CURRENT.set, None)
    return context


def current() -> SpanContext | None:
    """Return the current span, as what is begun for its sake may be linked to it; None where there is none."""
    context = trace.get_current_span().get_span_context()
    return context if context.is_valid else None


def names_current(traceparent: object) -> bool:
    """Return whether a `traceparent` names the current span, and this has no `tracestate` of its own."""
    context = trace.get_current_span().get_span_context()
    ids = f"00-{trace.format_trace_id(context.trace_id)}-{trace.format_span_id(context.span_id)}-"
    return not context.trace_state and str(traceparent).startswith(ids)


def trace_ids(span: Span) -> tuple[str | None, str | None]:
    """Return the hexadecimal trace and span ids of a span; None where it has none."""
    context = span.get_span_context()
    if not context.is_valid:
        return None, None
    return trace.format_trace_id(context.trace_id), trace.format_span_id(context.span_id)


def fail(span: Span, wrong: str | None) -> None:
    """Mark a span as failed, unless `wrong` is None."""
    if wrong is not None:
        span.set_attribute("error.type", wrong)
        span.set_status(Status(StatusCode.ERROR, wrong))


class Background:
    """The span of work behind the scenes, if there is one."""

    def __init__(self, span: Span | None) -> None:
        self._span = span

    @contextmanager
    def within(self) -> Iterator[None]:
        """Make it the current span, without anybody's baggage."""
        if self._span is None:
            yield
            return
        token = otel.attach(trace.set_span_in_context(self._span, otel.Context()))
        try:
            yield
        finally:
            otel.detach(token)

    def end(self, code: str | None) -> None:
        """Say how it ended: a code of the error table, or None."""
        if self._span is not None:
            fail(self._span, code)
            end(self._span)


class Spread:
    """The span of many calls made at once, if there is one."""

    def __init__(self, span: Span | None) -> None:
        self._span = span

    def inside(self, send: Callable[[Call[Any]], Awaitable[R]]) -> Callable[[Call[Any]], Awaitable[R]]:
        """Return `send` with the span around each call.

        Each in its own task: between two replies the span must not be current where the caller's own code runs.
        """
        span = self._span
        if span is None:
            return send

        async def sent(call: Call[Any]) -> R:
            token = otel.attach(trace.set_span_in_context(span))
            try:
                return await send(call)
            finally:
                otel.detach(token)

        return sent

    def end(self, *, answered: int, quorum: int, outcome: Literal["complete", "degraded", "failed"]) -> None:
        """Say what the verdict is."""
        span, self._span = self._span, None
        if span is None:
            return
        span.set_attribute("recloser.fan_out.answered", answered)
        span.set_attribute("recloser.fan_out.quorum", quorum)
        span.set_attribute("recloser.fan_out.result", outcome)
        span.set_attribute("recloser.degraded", outcome == "degraded")
        fail(span, "quorum_missed" if outcome == "failed" else None)
        end(span)

    def drop(self) -> None:
        """End the span without a verdict: the caller went away, or made a mistake."""
        if self._span is not None:
            end(self._span)
            self._span = None
