"""What events become as measurements: names, units and attributes."""

from __future__ import annotations

from typing import Any

import pytest
from metrics_kit import CALL, OPERATION, told

from recloser.events import (
    CatalogChanged,
    CircuitChanged,
    ConnectionChanged,
    FanOutFinished,
    RequestFinished,
    RetryScheduled,
    RetrySuppressed,
)
from recloser.metrics import METRICS
from support.metering import HTTP, Metered, attempted, called, metering, reading

# --- attempts


def test_an_attempt_is_an_operation_in_the_words_of_the_conventions() -> None:
    point = told(attempted()).one(OPERATION)
    assert point.attributes == {
        "mcp.method.name": "tools/call",
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "web",
        "mcp.protocol.version": "2025-11-25",
        "recloser.server.name": "search",
        **HTTP,
    }
    assert (point.count, point.value, point.unit) == (1, 0.25, "s")
    assert point.bounds == (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300)


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        ({"code": "timeout"}, "timeout"),
        ({"code": "server_fault", "jsonrpc_code": -32603}, "-32603"),
        ({"is_error": True}, "tool_error"),
        ({"code": "cancelled"}, None),
        ({}, None),
    ],
)
def test_an_attempt_s_error_type_is_the_tool_s_or_the_protocol_s_or_ours(
    failure: dict[str, Any], expected: str | None
) -> None:
    point = told(attempted(**failure)).one(OPERATION)
    assert point.attributes.get("error.type") == expected
    code = failure.get("jsonrpc_code")
    assert point.attributes.get("rpc.response.status_code") == (None if code is None else str(code))


def test_a_prompt_has_its_own_attribute_and_a_resource_none() -> None:
    metered = told(
        attempted(method="prompts/get", name="summary"), attempted(method="resources/read", name="file:///home/alice")
    )
    prompt = metered.one(OPERATION, mcp__method__name="prompts/get").attributes
    assert prompt["gen_ai.prompt.name"] == "summary"
    assert "gen_ai.operation.name" not in prompt
    resource = metered.one(OPERATION, mcp__method__name="resources/read").attributes
    assert not [value for value in resource.values() if "alice" in str(value)]


def test_attempts_of_the_same_kind_are_one_series_and_others_are_not() -> None:
    metered = told(attempted(), attempted(attempt=2, kind="retry"), attempted(protocol_version=None))
    assert sorted(point.count for point in metered.points(OPERATION)) == [1, 2]


def test_requests_of_our_own_are_operations_too() -> None:
    request = RequestFinished(
        server="search",
        method="tools/list",
        duration=0.1,
        code=None,
        protocol_version="2025-11-25",
        where=tuple(HTTP.items()),
    )
    failed = RequestFinished(server="search", method="ping", duration=5.0, code="timeout")
    refused = RequestFinished(server="search", method="initialize", duration=0.2, code="internal", jsonrpc_code=-32022)
    metered = told(request, request, failed, refused)
    listed = metered.one(OPERATION, mcp__method__name="tools/list")
    assert listed.count == 2
    assert listed.attributes == {
        "mcp.method.name": "tools/list",
        "mcp.protocol.version": "2025-11-25",
        "recloser.server.name": "search",
        **HTTP,
    }
    assert metered.one(OPERATION, mcp__method__name="ping").attributes["error.type"] == "timeout"
    assert metered.one(OPERATION, mcp__method__name="initialize").attributes["error.type"] == "-32022"


# --- calls


def test_a_call_that_succeeded_has_no_error_and_no_retry() -> None:
    metered = told(called(), called(is_error=True))
    point = metered.one(CALL)
    assert point.attributes == {
        "mcp.method.name": "tools/call",
        "gen_ai.tool.name": "web",
        "recloser.server.name": "search",
        "recloser.outcome": "success",
    }
    assert (point.count, point.value) == (2, 1.0)
    assert not metered.points("recloser.call.retries")
    assert not metered.points("recloser.call.retry_delay")
    assert not metered.points("recloser.circuit_breaker.rejections")


def test_a_failed_call_tells_its_code_and_class() -> None:
    failed = {"outcome": "error", "code": "timeout", "type": "transient"}
    point = told(called(**failed), called(**failed)).one(CALL)
    assert point.count == 2
    assert point.attributes["recloser.outcome"] == "error"
    assert point.attributes["error.type"] == "timeout"
    assert point.attributes["recloser.error.class"] == "transient"


def test_a_cancelled_call_is_no_error() -> None:
    point = told(called(outcome="cancelled")).one(CALL)
    assert point.attributes["recloser.outcome"] == "cancelled"
    assert "error.type" not in point.attributes


def test_a_call_that_was_tried_again_tells_how_often_and_how_long_it_waited() -> None:
    metered = told(called(attempts=3, retries=2, delay=0.75))
    retries = metered.one("recloser.call.retries")
    assert (retries.count, retries.value, retries.unit) == (1, 2, "{retry}")
    assert retries.bounds == (1, 2, 3, 4, 5, 10)
    assert retries.attributes == {
        "mcp.method.name": "tools/call",
        "gen_ai.tool.name": "web",
        "recloser.server.name": "search",
    }
    delay = metered.one("recloser.call.retry_delay")
    assert (delay.value, delay.unit, delay.attributes) == (0.75, "s", {"recloser.server.name": "search"})


def test_a_rejected_call_counts_as_a_call_and_as_a_rejection_and_as_no_attempt() -> None:
    metered = told(called(outcome="error", code="circuit_open", type="transient", attempts=0))
    assert metered.one("recloser.circuit_breaker.rejections").value == 1
    assert metered.one(CALL).attributes["error.type"] == "circuit_open"
    assert not metered.points(OPERATION)


def test_a_call_to_no_server_is_counted_without_the_caller_s_text() -> None:
    unknown = {"server": None, "outcome": "error", "code": "unknown_tool", "type": "critical", "attempts": 0}
    metered = told(
        *(called(key=f"x{number}", name=f"x{number}", known=False, **unknown) for number in range(50)),
        called(server=None, outcome="error", code="circuit_open", type="transient", attempts=0, known=False),
    )
    point = metered.one(CALL, error__type="unknown_tool")
    assert point.count == 50
    assert point.attributes["recloser.server.name"] == "_OTHER"
    assert point.attributes["gen_ai.tool.name"] == "_OTHER"
    assert metered.one("recloser.circuit_breaker.rejections").attributes == {"recloser.server.name": "_OTHER"}


# --- the other events


def test_a_circuit_s_change_is_a_transition() -> None:
    change = CircuitChanged(
        server="search", endpoint="search/0", previous="closed", state="open", reason="failures", retry_after=5.0
    )
    point = told(change, change).one("recloser.circuit_breaker.transitions")
    assert (point.value, point.unit) == (2, "{transition}")
    assert point.attributes == {
        "recloser.server.name": "search",
        "recloser.endpoint.name": "search/0",
        "recloser.circuit_breaker.state": "open",
        "recloser.circuit_breaker.previous_state": "closed",
        "recloser.circuit_breaker.reason": "failures",
    }


def test_a_retry_that_was_not_made_is_counted_by_its_reason() -> None:
    refused = RetrySuppressed(call_id="c-1", server="search", name="web", attempt=1, code="timeout", reason="budget")
    point = told(refused).one("recloser.retry.suppressed")
    assert point.attributes == {"recloser.server.name": "search", "recloser.retry.suppress_reason": "budget"}


def test_a_session_is_measured_when_it_has_ended() -> None:
    begun = ConnectionChanged(server="search", endpoint="search/0", state="ready", generation=1)
    lost = ConnectionChanged(
        server="search",
        endpoint="search/0",
        state="connecting",
        generation=1,
        code="connection_lost",
        protocol_version="2025-11-25",
        lasted=61.5,
        where=tuple(HTTP.items()),
    )
    closed = ConnectionChanged(server="search", endpoint="search/0", state="closed", generation=2, lasted=3.0)
    metered = told(begun, lost, closed)
    point = metered.one("mcp.client.session.duration", error__type="connection_lost")
    assert point.attributes == {
        "error.type": "connection_lost",
        "mcp.protocol.version": "2025-11-25",
        "recloser.server.name": "search",
        **HTTP,
    }
    assert sorted(each.value for each in metered.points("mcp.client.session.duration")) == [3.0, 61.5]


def test_a_fan_out_has_a_size_and_a_duration() -> None:
    metered = told(FanOutFinished(size=3, answered=2, quorum=1, outcome="degraded", duration=0.5))
    assert metered.one("recloser.fan_out.duration", recloser__fan_out__result="degraded").value == 0.5
    size = metered.one("recloser.fan_out.size", recloser__fan_out__result="degraded")
    assert (size.value, size.bounds) == (3, (1, 2, 3, 5, 8, 13, 21))


def test_tools_that_come_and_go_are_counted() -> None:
    metered = told(
        CatalogChanged(server="search", available=True, added=("a", "b"), removed=("c",)),
        CatalogChanged(server="search", available=False),
    )
    changes = {
        point.attributes["recloser.catalog.change"]: point.value for point in metered.points("recloser.catalog.changes")
    }
    assert changes == {"added": 2, "removed": 1}


def test_an_event_that_says_nothing_new_is_passed_over() -> None:
    scheduled = RetryScheduled(call_id="c-1", server="search", name="web", attempt=1, code="timeout", delay=0.1)
    assert not told(scheduled).points()


# --- the table


def test_every_metric_of_the_table_is_told_as_the_table_says() -> None:
    metered = Metered()
    metrics = metering(metered, reading())
    for event in (
        attempted(),
        called(attempts=2, retries=1, delay=0.1),
        called(outcome="error", code="circuit_open", type="transient", attempts=0),
        RetrySuppressed(call_id="c-1", server="search", name="web", attempt=1, code="timeout", reason="budget"),
        CircuitChanged(server="search", endpoint="search/0", previous="closed", state="open", reason="failures"),
        ConnectionChanged(server="search", endpoint="search/0", state="closed", generation=1, lasted=1.0),
        FanOutFinished(size=1, answered=1, quorum=1, outcome="complete", duration=0.1),
        CatalogChanged(server="search", available=True, added=("a",)),
    ):
        metrics(event)
    points = {point.metric: point for point in metered.points()}
    assert list(points) != []
    assert set(points) == {metric.name for metric in METRICS}
    kinds = {"histogram": "Histogram", "observable_gauge": "Gauge"}
    for metric in METRICS:
        point = points[metric.name]
        assert point.kind == kinds.get(metric.instrument, "Sum"), metric.name
        assert (point.unit, point.bounds) == (metric.unit, metric.buckets), metric.name
        assert set(metric.attributes) <= set(point.attributes), metric.name
        assert set(point.attributes) <= {*metric.attributes, *metric.sometimes}, metric.name
    metrics.end()
