"""What events become as measurements: names, units, attributes, and how many series there can be."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import weakref
from typing import Any

import pytest
from opentelemetry import metrics as otel
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.metrics._internal import _ProxyMeterProvider
from opentelemetry.sdk.metrics import MeterProvider

from recloser.events import (
    CatalogChanged,
    CircuitChanged,
    ConnectionChanged,
    Event,
    FanOutFinished,
    RequestFinished,
    RetryScheduled,
    RetrySuppressed,
)
from recloser.later import Later
from recloser.metrics import METRICS, Metrics
from recloser.metrics import recorder as recorder_module
from recloser.metrics import shared as shared_module
from recloser.redact import MASK, Redactor
from support.metering import HTTP, Metered, attempted, called, metering, reading

OPERATION = "mcp.client.operation.duration"
CALL = "recloser.call.duration"


def told(*events: Event, **options: Any) -> Metered:
    """What these events come to."""
    metered = Metered()
    metrics = metering(metered, **options)
    for event in events:
        metrics(event)
    return metered


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
        server="search", method="tools/list", duration=0.1, code=None, protocol_version="2025-11-25"
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


# --- how many series there can be


def test_a_name_that_is_in_no_list_is_other() -> None:
    metered = told(*(attempted(name=f"guess{number}", known=False) for number in range(100)))
    point = metered.one(OPERATION)
    assert point.count == 100
    assert point.attributes["gen_ai.tool.name"] == "_OTHER"


def test_a_server_that_lists_names_without_end_has_so_many_series_and_no_more() -> None:
    metered = Metered()
    metrics = metering(metered)
    for number in range(shared_module.NAMES + 50):
        metrics(attempted(name=f"tool{number}"))
        metrics(called(name=f"tool{number}"))
    metrics(attempted(server="files", name="late"))
    metrics(attempted(name="tool0"))
    points = metered.points(OPERATION)
    assert len(points) == shared_module.NAMES + 2
    assert metered.one(OPERATION, gen_ai__tool__name="_OTHER").count == 50
    assert metered.one(OPERATION, gen_ai__tool__name="late").count == 1
    assert metered.one(OPERATION, gen_ai__tool__name="tool0").count == 2
    assert metered.one(CALL, gen_ai__tool__name="_OTHER").count == 50


def test_a_second_router_has_no_names_of_its_own() -> None:
    metered = Metered()
    for router in range(2):
        metrics = metering(metered)
        for number in range(shared_module.NAMES):
            metrics(attempted(name=f"tool{router}-{number}"))
    assert metered.one(OPERATION, gen_ai__tool__name="_OTHER").count == shared_module.NAMES


def test_a_server_that_makes_up_error_codes_has_so_many_series_and_no_more() -> None:
    codes = range(-40000, -40000 + shared_module.CODES + 20)
    metered = told(*(attempted(code="server_fault", jsonrpc_code=code) for code in codes))
    assert len(metered.points(OPERATION)) == shared_module.CODES + 1
    other = metered.one(OPERATION, rpc__response__status_code="_OTHER")
    assert other.count == 20
    assert other.attributes["error.type"] == "_OTHER"


def test_a_name_longer_than_the_protocol_allows_is_other() -> None:
    longest = recorder_module.LONGEST
    metered = told(attempted(name="x" * longest), attempted(name="x" * (longest + 1)))
    assert {point.attributes["gen_ai.tool.name"] for point in metered.points(OPERATION)} == {"x" * longest, "_OTHER"}


def test_a_listed_name_holds_no_secret_and_can_be_written() -> None:
    secret = "hunter2-hunter2"
    metered = told(
        attempted(name=f"t-{secret}"),
        called(name=f"t-{secret}"),
        attempted(name="a\ud800b\x1b[31m"),
        redactor=lambda: Redactor([secret]),
    )
    names = [point.attributes["gen_ai.tool.name"] for point in metered.points()]
    assert f"t-{MASK}" in names
    assert not [name for name in names if secret in name or "\x1b" in name]
    for name in names:
        name.encode()


def test_what_is_kept_ready_does_not_grow_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_module, "REMEMBERED", 4)
    metered = Metered()
    metrics = metering(metered)
    for number in range(11):
        metrics(attempted(name=f"tool{number}"))
    assert len(metrics._ready) <= 4
    assert len(metered.points(OPERATION)) == 11


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


# --- what is read off


def test_a_circuit_is_one_in_its_state_and_zero_in_the_others() -> None:
    metered = Metered()
    metrics = metering(metered, reading(circuit="half_open", failure_rate=0.5, active=3, retry_tokens=42))
    states = {
        point.attributes["recloser.circuit_breaker.state"]: point.value
        for point in metered.points("recloser.circuit_breaker.status")
    }
    assert states == {"closed": 0, "open": 0, "half_open": 1, "isolated": 0}
    assert metered.one("recloser.circuit_breaker.failure_rate").value == 0.5
    assert metered.one("recloser.call.active").value == 3
    assert metered.one("recloser.retry.tokens").value == 42
    metrics.end()


def test_the_routers_of_a_process_make_one_number() -> None:
    metered = Metered()
    one = metering(metered, reading(active=1, retry_tokens=500, failure_rate=0.1), reading(server="files"))
    two = metering(metered, reading(active=2, retry_tokens=30, failure_rate=0.4, circuit="open"))
    assert metered.one("recloser.call.active", recloser__server__name="search").value == 3
    assert metered.one("recloser.retry.tokens", recloser__server__name="search").value == 30
    assert metered.one("recloser.circuit_breaker.failure_rate", recloser__server__name="search").value == 0.4
    assert metered.one("recloser.call.active", recloser__server__name="files").value == 0
    states = {
        point.attributes["recloser.circuit_breaker.state"]: point.value
        for point in metered.points("recloser.circuit_breaker.status")
        if point.attributes["recloser.server.name"] == "search"
    }
    assert states == {"closed": 1, "open": 1, "half_open": 0, "isolated": 0}
    for metrics in (one, two):
        metrics.end()


def test_the_instruments_of_a_provider_are_made_once(caplog: pytest.LogCaptureFixture) -> None:
    metered = Metered()
    one, two = metering(metered, reading(active=1)), metering(metered)
    one(attempted())
    two(attempted())
    assert metered.one(OPERATION).count == 2
    assert not caplog.records  # the SDK warns when an instrument is made twice


def test_a_closed_router_tells_nothing_more() -> None:
    metered = Metered()
    metrics = metering(metered, reading(active=7))
    metrics(attempted())
    metrics.end()
    assert not metrics.active
    metrics(attempted())
    assert metered.one(OPERATION).count == 1
    assert not metered.points("recloser.call.active")
    metrics.end()
    metrics.begin()
    assert metered.one("recloser.call.active").value == 7
    metrics.begin()
    assert metered.one("recloser.call.active").value == 7


def test_a_router_that_was_forgotten_is_forgotten_here_too() -> None:
    metered = Metered()
    metrics = metering(metered, reading(active=7))
    gone = weakref.ref(metrics)
    del metrics
    gc.collect()
    assert gone() is None
    assert not metered.points("recloser.call.active")


def test_a_provider_that_was_forgotten_is_forgotten_here_too() -> None:
    metered = Metered()
    metering(metered).end()
    gone = weakref.ref(metered.provider)
    known = len(shared_module._known)
    metered.provider.shutdown()
    del metered
    gc.collect()
    assert gone() is None
    assert len(shared_module._known) < known


def test_a_router_that_changes_while_it_is_read_is_read_again() -> None:
    metered = Metered()
    faults = [RuntimeError("dictionary changed size during iteration")]

    def readings() -> Any:
        if faults:
            raise faults.pop()
        return [reading(active=2)]

    metrics = Metrics(metered.provider, readings=readings)
    metrics.begin()
    assert metered.one("recloser.call.active").value == 2


def test_a_router_that_never_holds_still_is_left_out() -> None:
    metered = Metered()
    asked = 0

    def readings() -> Any:
        nonlocal asked
        asked += 1
        raise RuntimeError("dictionary changed size during iteration")

    metrics = Metrics(metered.provider, readings=readings)
    metrics.begin()
    other = metering(metered, reading(active=2))
    assert metered.one("recloser.call.active").value == 2
    assert asked == 4 * shared_module.TRIES
    other.end()


def test_a_router_that_cannot_be_read_does_not_hide_the_others(caplog: pytest.LogCaptureFixture) -> None:
    metered = Metered()

    def readings() -> Any:
        raise KeyError("search")

    metrics = Metrics(metered.provider, readings=readings)
    metrics.begin()
    other = metering(metered, reading(active=2))
    assert metered.one("recloser.call.active").value == 2
    assert "could not be read" in caplog.text
    other.end()


def test_a_router_that_ends_while_the_others_are_read_is_left_out() -> None:
    metered = Metered()
    routers: list[Metrics] = []

    def readings_of(other: int) -> Any:
        def readings() -> Any:
            routers[other].end()
            return [reading(active=2)]

        return readings

    for other in (1, 0):
        routers.append(Metrics(metered.provider, readings=readings_of(other)))
        routers[-1].begin()
    assert metered.one("recloser.call.active").value == 2
    assert sum(router.active for router in routers) == 1


def test_routers_come_and_go_while_another_thread_exports() -> None:
    metered = Metered()
    done = threading.Event()
    failed: list[BaseException] = []

    def export() -> None:
        try:
            while not done.is_set():
                metered.points()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=export)
    thread.start()
    try:
        for number in range(300):
            metrics = metering(metered, reading(server=f"s{number % 7}", active=1))
            metrics(attempted(name=f"tool{number}"))
            metrics.end()
    finally:
        done.set()
        thread.join()
    assert not failed
    assert sum(point.count for point in metered.points(OPERATION)) == 300


# --- where nobody records


@pytest.mark.parametrize("provider", [_ProxyMeterProvider(), NoOpMeterProvider()], ids=["no provider", "an empty one"])
def test_without_an_sdk_nothing_is_recorded(provider: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_module, "get_meter_provider", lambda: provider)
    metrics = Metrics(readings=lambda: [reading()])
    metrics.begin()
    assert not metrics.active
    metrics(attempted())
    metrics.end()
    assert not metrics.active


def test_an_sdk_that_is_switched_off_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    metrics = Metrics(MeterProvider(shutdown_on_exit=False), readings=list)
    metrics.begin()
    assert not metrics.active


def test_the_global_provider_is_looked_up_when_the_router_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    metered = Metered()
    metrics = Metrics(readings=list)
    monkeypatch.setattr(recorder_module, "get_meter_provider", lambda: metered.provider)
    metrics.begin()
    assert metrics.active
    metrics(attempted())
    assert metered.one(OPERATION).count == 1
    assert recorder_module.get_meter_provider is not otel.get_meter_provider


def test_what_is_measured_later_is_measured_before_anybody_collects_and_not_after_the_end() -> None:
    async def main() -> None:
        later, metered = Later(), Metered()
        metrics = metering(metered, later=later)
        metrics(called())
        assert metered.one(CALL).count == 1
        metrics(called())
        metrics.end()
        later.close()
        assert metered.one(CALL).count == 1

    asyncio.run(main())


def test_a_measurement_that_fails_fails_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    def broken(_: str) -> Any:
        raise LookupError("where is it?")

    metered = Metered()
    metrics = metering(metered, targets=broken)
    metrics(attempted())
    assert "AttemptFinished could not be measured" in caplog.text
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    metrics(called())
    assert metered.one(CALL).count == 1


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
