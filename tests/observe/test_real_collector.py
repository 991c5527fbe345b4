"""otel-collector.yaml in the real collector, before Jaeger, with spans made by hand: what is kept, what is hidden."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    format_trace_id,
    set_span_in_context,
)

from support.observatory import COLLECTOR, ROOT, Observatory, eventually, needs_collector, needs_programs, observatory

pytestmark = [pytest.mark.thorough, pytest.mark.processes]

CANARY: Final = "Canary-hunter2-0123456789"
SECOND: Final = 1_000_000_000


@contextmanager
def sending(place: Observatory, service: str) -> Iterator[TracerProvider]:
    """A provider whose spans have reached the collector when it is left."""
    resource = Resource.create({"service.name": service, "process.command_args": ["--token", f"token={CANARY}"]})
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{place.otlp}/v1/traces")))
    try:
        yield provider
    finally:
        provider.shutdown()


def span_of(provider: TracerProvider, name: str, *, scope: str = "recloser", **options: Any) -> str:
    """Record a span of its own trace; return that trace's id."""
    alter: Callable[[Span], None] | None = options.pop("alter", None)
    lasting = options.pop("lasting", 0.01)
    begun = time.time_ns()
    span = provider.get_tracer(scope).start_span(name, start_time=begun, **options)
    if alter is not None:
        alter(span)
    span.end(begun + int(lasting * SECOND))
    return format_trace_id(span.get_span_context().trace_id)


@needs_collector
def test_the_collector_accepts_our_file() -> None:
    checked = subprocess.run(
        [str(COLLECTOR), "validate", f"--config={ROOT / 'otel-collector.yaml'}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "deprecat" not in (checked.stdout + checked.stderr).lower()


@needs_programs
def test_the_traces_worth_a_look_are_kept_and_all_are_counted() -> None:
    state = "recloser.circuit_breaker.state"
    with observatory(RECLOSER_KEEP_PERCENT="0") as place:
        with sending(place, "kept") as provider:
            uneventful = [
                span_of(provider, "execute_tool a"),
                span_of(provider, "execute_tool b", attributes={state: "closed", "recloser.retry.count": 0}),
                span_of(provider, "recloser.fan_out", attributes={"recloser.degraded": False}, lasting=1.9),
            ]
        with sending(place, "kept") as provider:
            worth = {
                "failed": span_of(provider, "execute_tool c", alter=lambda span: span.set_status(StatusCode.ERROR)),
                "slow": span_of(provider, "execute_tool d", lasting=2.1),
                "degraded": span_of(provider, "recloser.fan_out", attributes={"recloser.degraded": True}),
                "retried": span_of(provider, "execute_tool e", attributes={"recloser.retry.count": 1}),
                "open": span_of(provider, "execute_tool f", attributes={state: "open"}),
                "probing": span_of(provider, "recloser.probe", attributes={state: "half_open"}),
                "isolated": span_of(provider, "execute_tool g", attributes={state: "isolated"}),
            }
        for trace_id in worth.values():
            place.trace(trace_id, 1)
        # Decided no later than those that are there.
        assert not [trace_id for trace_id in uneventful if place.spans(trace_id)]
        assert set(place.find("kept")) == set(worth.values())

        def all_counted() -> bool:
            lines = [
                line for line in place.metrics().splitlines() if line.startswith("traces_span_metrics_calls_total{")
            ]
            return (
                sum(float(line.rpartition("}")[2].split()[0]) for line in lines if 'service_name="kept"' in line) == 10
            )

        assert eventually(all_counted, "ten spans in the metrics")


def fail(span: Span) -> None:
    """What a careless instrumentation of a server says of a failure."""
    span.set_status(Status(StatusCode.ERROR, f"no such user {CANARY}"))


def tell_more(span: Span) -> None:
    """The same, with events."""
    fail(span)
    span.add_event(
        "exception",
        {
            "exception.type": "LoginError",
            "exception.message": f"no such user {CANARY}",
            "exception.stacktrace": f'File "login.py"\n  login("{CANARY}")',
        },
    )
    span.add_event("cache", {"http.request.header.authorization": f"Bearer {CANARY}"})


CARELESS: Final = {
    "gen_ai.tool.call.arguments": f'{{"password": "{CANARY}"}}',
    "gen_ai.tool.call.result": CANARY,
    "gen_ai.input.messages": CANARY,
    "gen_ai.output.messages": CANARY,
    "gen_ai.system_instructions": CANARY,
    "gen_ai.prompt.variable.name": CANARY,
    "mcp.session.id": CANARY,
    "enduser.id": CANARY,
    "http.request.header.authorization": f"Bearer {CANARY}",
    "http.request.header.x-api-key": (CANARY, CANARY),
    "db.password": CANARY,
    "url.full": f"https://user:{CANARY}@db.example/x?a=1",
    "url.query": f"a=1&token={CANARY}",
    "process.command_args": ("server", f"--api-key={CANARY}"),
    "gen_ai.tool.name": f"sk-{CANARY}",
    "log": f"-----BEGIN PRIVATE KEY-----\n{CANARY}",
    "recloser.server.name": "search",
    "recloser.attempt.number": 2,
}


@needs_programs
def test_no_secret_comes_through() -> None:
    with observatory() as place:
        with sending(place, "careless") as provider:
            foreign = [
                span_of(
                    provider,
                    f"tools/call sk-{CANARY}",
                    scope="mcp-python-sdk",
                    kind=SpanKind.SERVER,
                    attributes=CARELESS,
                    alter=alter,
                )
                for alter in (fail, tell_more)
            ]
            ours = span_of(
                provider,
                "tools/call weather__get_forecast",
                kind=SpanKind.CLIENT,
                alter=lambda span: span.set_status(Status(StatusCode.ERROR, "server_error")),
            )
        for trace_id in foreign:
            (seen,) = place.trace(trace_id, 1)
            assert CANARY not in place.raw(trace_id)
            # What tells where the fault was is still there.
            assert seen.failed
            assert seen.name.startswith("tools/call ")
            assert seen.tags["recloser.server.name"] == "search"
            assert seen.tags["recloser.attempt.number"] == 2
            assert "otel.status_description" not in seen.tags
            assert not [key for key in seen.tags if key.startswith("_")]
        assert "LoginError" in place.raw(foreign[1])
        (own,) = place.trace(ours, 1)
        assert own.name == "tools/call weather__get_forecast"
        assert own.tags["otel.status_description"] == "server_error"
        assert not [key for key in own.tags if key.startswith("_")]
        eventually(lambda: 'service_name="careless"' in place.metrics(), "metrics of the spans")
        assert CANARY not in place.metrics()


def names_of_events(raw: str) -> list[str]:
    """The names of all events of a trace's only span, as Jaeger tells them."""
    ((span,),) = [trace["spans"] for trace in json.loads(raw)["data"]]
    fields = [field for event in span["logs"] for field in event["fields"]]
    return [field["value"] for field in fields if field["key"] == "event"]


def tell_by_names(span: Span) -> None:
    """What nobody should be told, where names stand."""
    span.add_event(f"signed in with sk-{CANARY}")
    span.add_event("cache", {"hit": True})


@needs_programs
def test_an_event_that_is_named_after_a_secret_and_what_came_in_tracestate_are_hidden_too() -> None:
    state = TraceState([("vendor", f"sk-{CANARY}")])
    caller = SpanContext(0xABC, 0xDEF, is_remote=True, trace_flags=TraceFlags(1), trace_state=state)
    with observatory() as place:
        with sending(place, "careless") as provider:
            trace_id = span_of(
                provider,
                "tools/call a",
                scope="mcp-python-sdk",
                context=set_span_in_context(NonRecordingSpan(caller)),
                alter=tell_by_names,
            )
        (seen,) = place.trace(trace_id, 1)
        raw = place.raw(trace_id)
        assert CANARY not in raw
        assert names_of_events(raw) == ["signed in with ****", "cache"]
        assert not [key for key in seen.tags if key.startswith("_")]
        assert '"_name"' not in raw


@needs_programs
def test_what_others_say_of_their_metrics_is_left_out_and_what_we_say_is_kept() -> None:
    with observatory() as place:
        reader = PeriodicExportingMetricReader(OTLPMetricExporter(endpoint=f"{place.otlp}/v1/metrics"))
        provider = MeterProvider([reader])
        try:
            provider.get_meter("server").create_counter("theirs", description=f"of sk-{CANARY}").add(1)
            provider.get_meter("recloser").create_counter("ours", description="What we count.").add(1)
        finally:
            provider.shutdown()
        told = eventually(lambda: (text := place.metrics()) and "ours_total{" in text and text, "metrics")
        assert "theirs_total{" in told
        assert CANARY not in told
        assert "# HELP ours_total What we count." in told
