"""A router that is watched, all the way: its spans and metrics through the real collector, to Jaeger and Prometheus."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

import pytest

from recloser.telemetry.schema import schema
from support.observatory import Observatory, Spot, eventually, get, needs_programs, observatory

pytestmark = [pytest.mark.thorough, pytest.mark.processes, needs_programs]

# No shape of a known credential, and in no attribute with a telling name: only who knows it by value can hide it.
CANARY: Final = "correct-horse-battery-staple"


def told(place: Observatory) -> tuple[dict[str, str], str]:
    """Run the story; return which trace is which, and what was logged."""
    run = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("told_story.py")), place.otlp],
        # So often that what is observed while it runs, such as circuits, comes through as well.
        env={**os.environ, "CANARY": CANARY, "OTEL_METRIC_EXPORT_INTERVAL": "500"},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout), run.stderr


def one(spans: Sequence[Spot], name: str, service: str = "told-story") -> Spot:
    """The only span of a service with this name."""
    (found,) = [span for span in spans if span.name == name and span.service == service]
    return found


def test_a_trace_is_found_in_jaeger_from_the_router_to_the_server() -> None:
    with observatory() as place:
        traces, logged = told(place)
        a_success(place.trace(traces["success"], 2))
        a_retry(place.trace(traces["retry"], 5))
        a_failure(place.trace(traces["failure"], 3))
        degraded = place.trace(traces["degraded"], 6)
        a_degraded_fan_out(degraded)
        name = one(place.trace(traces["unknown"], 1), "execute_tool _OTHER")
        assert name.tags["error.type"] == "unknown_tool"

        # What docs/observability.md tells people to search for.
        searches = {
            ("failure", "degraded"): {"recloser.server.name": "told", "recloser.outcome": "error"},
            ("degraded",): {"recloser.degraded": "true"},
            ("retry",): {"recloser.retry.decision": "retry"},
        }
        for titles, tags in searches.items():
            found = place.find("told-story", tags=json.dumps(tags))
            assert set(found) == {traces[title] for title in titles}, tags

        rates(place)
        if shutil.which("prometheus"):
            scraped(place)
        everything = [place.raw(trace_id) for trace_id in place.find("told-story") + place.find("told-server")]
        assert len(everything) >= 5
        for text in (*everything, place.metrics(), logged):
            assert CANARY not in text, text[max(0, text.index(CANARY) - 400) : text.index(CANARY) + 200]


def a_success(spans: Sequence[Spot]) -> None:
    call, attempt = one(spans, "execute_tool fine"), one(spans, "tools/call fine")
    assert (call.parent, attempt.parent) == (None, call.id)
    assert (call.kind, attempt.kind) == ("internal", "client")
    assert not [span for span in spans if span.failed]
    assert call.tags["recloser.outcome"] == "success"
    assert call.tags["recloser.attempt.count"] == attempt.tags["recloser.attempt.number"] == 1
    assert call.tags["recloser.server.name"] == "home"


def a_retry(spans: Sequence[Spot]) -> None:
    call = one(spans, "execute_tool flaky")
    first, second = [span for span in spans if span.name == "tools/call flaky" and span.service == "told-story"]
    assert (first.parent, second.parent) == (call.id, call.id)
    assert (first.kind, second.kind) == ("client", "client")
    assert [span.failed for span in (call, first, second)] == [False, True, False]
    assert first.tags["recloser.retry.decision"] == "retry"
    assert [span.tags["recloser.attempt.kind"] for span in (first, second)] == ["primary", "retry"]
    assert call.tags["recloser.retry.count"] == 1
    assert "error.type" not in call.tags
    served = [span for span in spans if span.service == "told-server"]
    assert [(span.parent, span.kind) for span in served] == [(first.id, "server"), (second.id, "server")]


def a_failure(spans: Sequence[Spot]) -> None:
    call, attempt = one(spans, "execute_tool refuse"), one(spans, "tools/call refuse")
    served = one(spans, "tools/call refuse", "told-server")
    assert (attempt.parent, served.parent) == (call.id, attempt.id)
    assert all(span.failed for span in (call, attempt, served))
    assert attempt.tags["error.type"] == attempt.tags["rpc.response.status_code"] == "-32050"
    assert call.tags["error.type"] == "server_fault"
    assert call.tags["recloser.error.class"] == "critical"
    assert call.tags["recloser.server.name"] == "told"
    assert attempt.tags["network.transport"] == "pipe"


def a_degraded_fan_out(spans: Sequence[Spot]) -> None:
    root = one(spans, "recloser.fan_out")
    calls = [one(spans, "execute_tool fine"), one(spans, "execute_tool refuse")]
    assert root.parent is None
    assert [call.parent for call in calls] == [root.id, root.id]
    assert root.tags["recloser.degraded"] is True
    assert not root.failed
    assert (root.tags["recloser.fan_out.size"], root.tags["recloser.fan_out.answered"]) == (2, 1)


def rates(place: Observatory) -> None:
    """The spans are counted by server and error, and the router's own metrics come through."""

    def counted() -> bool:
        lines = place.metrics().splitlines()
        calls = [line for line in lines if line.startswith("traces_span_metrics_calls_total{")]
        failed = [line for line in calls if 'recloser_server_name="told"' in line and 'error_type="-32050"' in line]
        durations = [line for line in lines if line.startswith("traces_span_metrics_duration_seconds_bucket{")]
        ours = [line for line in lines if line.startswith("recloser_call_duration_seconds_count{")]
        return bool(failed and durations and ours)

    eventually(counted, "rates, errors and durations")
    ours = {metric["prometheus"] for metric in schema()["metrics"]}
    # The only gauge of unit 1: a collector calls it a ratio.
    ours.add("recloser_circuit_breaker_failure_rate_ratio")
    theirs = {"traces_span_metrics_calls_total", "traces_span_metrics_duration_seconds", "target_info"}
    shown = {line.split()[2] for line in place.metrics().splitlines() if line.startswith("# TYPE ")}
    assert shown <= ours | theirs, "the schema says other names"


def scraped(place: Observatory) -> None:
    """Prometheus reaches both of the collector's pages, takes our alerts, and can be asked who fails."""

    def up() -> bool:
        body = get(f"{place.prometheus}/api/v1/targets")
        targets = json.loads(body)["data"]["activeTargets"] if body else []
        return [target["health"] for target in targets] == ["up", "up"]

    eventually(up, "targets of Prometheus")
    groups = json.loads(get(f"{place.prometheus}/api/v1/rules"))["data"]["groups"]
    assert groups
    assert {rule["health"] for group in groups for rule in group["rules"]} <= {"ok", "unknown"}
    asked = 'sum by (recloser_server_name) (traces_span_metrics_calls_total{status_code="STATUS_CODE_ERROR"})'

    def blamed() -> bool:
        body = get(f"{place.prometheus}/api/v1/query?{urlencode({'query': asked})}")
        rows = json.loads(body)["data"]["result"] if body else []
        return "told" in {row["metric"].get("recloser_server_name") for row in rows}

    eventually(blamed, "the server at fault, in Prometheus")
