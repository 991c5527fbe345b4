"""What a router has done in the last minute: counted exactly."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from typing import Any

import pytest
from stats_kit import ONE, nothing, of_one, told

from recloser import Bulkhead, Retry, Server
from recloser.events import (
    CatalogChanged,
    CircuitChanged,
    ConnectionChanged,
    FanOutFinished,
    RetryScheduled,
    RetrySuppressed,
)
from recloser.telemetry import document, stats
from recloser.telemetry.stats import Stats
from recloser.testing.clock import run_virtual
from support.status import attempt, call, circuit, endpoint, health, request

# --- calls


def test_calls_are_counted_by_how_they_ended() -> None:
    async def tell(heard: Stats) -> None:
        heard(call())
        heard(call(is_error=True))
        heard(call(code="timeout", type="transient"))
        heard(call(code="timeout", type="transient"))
        heard(call(code="forbidden", type="auth"))
        heard(call(code="internal", type=None))
        heard(call(outcome="cancelled"))

    traffic = of_one(tell)["traffic"]
    assert traffic["calls"] == 7
    assert (traffic["success"], traffic["tool_errors"], traffic["cancelled"]) == (2, 1, 1)
    assert traffic["errors"] == {"transient": {"timeout": 2}, "auth": {"forbidden": 1}, "critical": {"internal": 1}}
    errors = sum(sum(codes.values()) for codes in traffic["errors"].values())
    assert traffic["calls"] == traffic["success"] + traffic["cancelled"] + errors


def test_an_error_counts_in_its_own_class_and_not_in_the_usual_one_of_its_code() -> None:
    async def tell(heard: Stats) -> None:
        heard(call(code="server_fault", type="transient"))

    assert of_one(tell)["traffic"]["errors"] == {"transient": {"server_fault": 1}}


def test_a_call_that_nothing_was_sent_for_is_rejected_and_tells_nothing_about_durations() -> None:
    async def tell(heard: Stats) -> None:
        heard(call(duration=2.0))
        for _ in range(99):
            heard(call(code="circuit_open", type="transient", attempts=0, duration=0.00001))

    traffic = of_one(tell)["traffic"]
    assert traffic["rejected"] == 99
    assert traffic["p50"] == pytest.approx(2.0, rel=0.025)


def test_what_a_caller_gave_up_on_tells_nothing_about_durations() -> None:
    async def tell(heard: Stats) -> None:
        heard(call(outcome="cancelled", duration=500.0))

    traffic = of_one(tell)["traffic"]
    assert (traffic["p50"], traffic["p95"], traffic["longest"]) == (None, None, None)


def test_failed_calls_count_in_the_durations_since_their_callers_waited() -> None:
    async def tell(heard: Stats) -> None:
        heard(call(duration=0.01))
        heard(call(code="timeout", type="transient", duration=30.0))

    traffic = of_one(tell)["traffic"]
    assert traffic["p50"] == pytest.approx(0.01, rel=0.025)
    assert traffic["p95"] == pytest.approx(30.0, rel=0.025)
    assert traffic["longest"] == 30.0


def test_a_call_to_no_server_is_told_apart() -> None:
    async def tell(heard: Stats) -> None:
        heard(call())
        heard(call(None, code="unknown_tool", type="critical", attempts=0))

    found = told(tell)
    assert found["traffic"]["calls"] == 1
    assert found["unrouted"]["calls"] == 1
    assert found["unrouted"]["errors"] == {"critical": {"unknown_tool": 1}}


def test_the_whole_is_the_sum_of_the_servers() -> None:
    async def tell(heard: Stats) -> None:
        heard(call("a", duration=1.0))
        heard(call("b", duration=2.0))
        heard(call("b", code="timeout", type="transient", duration=3.0))

    given = {"a": health("a", [endpoint(in_flight=2), endpoint(in_flight=1, waiting=4)]), "b": health("b")}
    found = told(tell, given)
    assert [server["traffic"]["calls"] for server in found["servers"]] == [1, 2]
    assert found["traffic"]["calls"] == 3
    assert found["traffic"]["longest"] == 3.0
    assert found["traffic"]["p50"] == pytest.approx(2.0, rel=0.025)
    assert (found["in_flight"], found["waiting"]) == (3, 4)


# --- attempts, retries, requests of our own


def test_attempts_are_counted_by_kind_and_their_failures_by_code_even_where_a_retry_mends_them() -> None:
    async def tell(heard: Stats) -> None:
        heard(attempt(code="connection_lost"))
        heard(RetryScheduled(call_id="1", server="search", name="web", attempt=1, code="connection_lost", delay=0.1))
        heard(attempt(kind="retry", attempt=2))
        heard(attempt(kind="hedge", attempt=2, code="cancelled"))
        heard(call(attempts=2, retries=1))

    traffic = of_one(tell)["traffic"]
    assert (traffic["attempts"], traffic["retries"], traffic["hedges"]) == (3, 1, 1)
    assert traffic["attempt_errors"] == {"connection_lost": 1}
    assert (traffic["success"], traffic["errors"]) == (1, {})


def test_suppressed_retries_are_counted_by_reason() -> None:
    async def tell(heard: Stats) -> None:
        common: dict[str, Any] = {"call_id": "1", "server": "search", "name": "web", "attempt": 1, "code": "timeout"}
        heard(RetrySuppressed(reason="budget", **common))
        heard(RetrySuppressed(reason="budget", **common))
        heard(RetrySuppressed(reason="not_safe", **common))

    assert of_one(tell)["traffic"]["suppressed"] == {"budget": 2, "not_safe": 1}


def test_requests_of_our_own_are_counted_apart_and_the_last_one_is_told() -> None:
    async def tell(heard: Stats) -> None:
        heard(request(method="tools/list"))
        heard(request(code="timeout", duration=5.0))
        await asyncio.sleep(2)

    server = of_one(tell)
    assert (server["traffic"]["requests"], server["traffic"]["calls"]) == (2, 0)
    assert server["traffic"]["request_errors"] == {"timeout": 1}
    assert server["last_request"] == {"ago": 2.0, "method": "ping", "duration": 5.0, "code": "timeout"}


@pytest.mark.parametrize(
    ("event", "answers"),
    [
        (attempt(), True),
        (attempt(is_error=True), True),
        (attempt(code="invalid_request"), True),
        (attempt(code="overloaded"), True),
        (attempt(code="timeout"), False),
        (attempt(code="unreachable"), False),
        (attempt(code="server_error"), False),
        (attempt(code="cancelled"), False),
        (request(), True),
        (request(code="connection_lost"), False),
        (call(), False),
    ],
    ids=lambda one: f"{type(one).__name__}-{getattr(one, 'code', one)}",
)
def test_a_sign_of_life_is_an_answer_of_whatever_kind(event: Any, answers: bool) -> None:
    async def tell(heard: Stats) -> None:
        heard(event)
        await asyncio.sleep(3)

    assert of_one(tell)["answered_ago"] == (3.0 if answers else None)


# --- circuits, connections, fan-outs


def test_changes_are_counted_by_state_and_told_the_newest_first() -> None:
    async def tell(heard: Stats) -> None:
        common: dict[str, Any] = {"server": "search", "endpoint": "search/0"}
        heard(ConnectionChanged(state="connecting", generation=1, **common))
        heard(ConnectionChanged(state="ready", generation=1, **common))
        heard(CircuitChanged(previous="closed", state="open", reason="failures", **common))
        await asyncio.sleep(1)
        heard(ConnectionChanged(state="connecting", generation=2, code="connection_lost", **common))
        heard(CircuitChanged(previous="open", state="half_open", reason="break_over", **common))

    found = told(tell)
    (server,) = found["servers"]
    assert server["traffic"]["circuit"] == {"open": 1, "half_open": 1}
    assert server["traffic"]["connection"] == {"connecting": 2, "ready": 1}
    changes = found["changes"]
    assert [(change["what"], change["state"], change["ago"]) for change in changes] == [
        ("circuit", "half_open", 0.0),
        ("connection", "connecting", 0.0),
        ("circuit", "open", 1.0),
        ("connection", "ready", 1.0),
    ]
    assert (changes[0]["previous"], changes[0]["reason"], changes[0]["code"]) == ("open", "break_over", None)
    assert (changes[1]["previous"], changes[1]["reason"], changes[1]["code"]) == (None, None, "connection_lost")


def test_only_the_last_changes_are_kept() -> None:
    async def tell(heard: Stats) -> None:
        for number in range(10 * stats.CHANGES):
            heard(ConnectionChanged(server="search", endpoint="search/0", state="ready", generation=number))

    found = told(tell)
    assert len(found["changes"]) == stats.CHANGES
    assert found["servers"][0]["traffic"]["connection"] == {"ready": 10 * stats.CHANGES}


def test_fan_outs_are_counted_by_verdict() -> None:
    async def tell(heard: Stats) -> None:
        heard(FanOutFinished(size=3, answered=2, quorum=1, outcome="degraded", duration=0.1))
        heard(CatalogChanged(server="search", available=True))

    assert told(tell)["fan_outs"] == {"complete": 0, "degraded": 1, "failed": 0}


def test_a_server_s_own_state_is_told_as_it_is_now() -> None:
    async def tell(heard: Stats) -> None:
        heard(call())
        await asyncio.sleep(8)

    opened = circuit("open", since=5.0, retry_after=2.5, failures=4, samples=6, consecutive=3, open_count=2)
    given = {
        "search": health(
            "search", [endpoint("search/0", circuit=opened, in_flight=7, waiting=1, generation=3, pid=77)], tools=9
        )
    }
    (server,) = told(tell, given)["servers"]
    assert (server["tools"], server["in_flight"], server["waiting"]) == (9, 7, 1)
    assert server["retry_budget"] == {"tokens": 500, "size": None}
    (one,) = server["endpoints"]
    assert one == {
        "name": "search/0",
        "state": "ready",
        "circuit": "open",
        "circuit_for": 3.0,
        "retry_after": 2.5,
        "opened": 2,
        "failures": 4,
        "samples": 6,
        "consecutive": 3,
        "in_flight": 7,
        "limit": None,
        "waiting": 1,
        "generation": 3,
        "pid": 77,
    }


def test_sizes_come_from_the_configuration_where_it_is_given() -> None:
    async def main() -> Any:
        servers = {
            "search": Server("search", "https://search.example/mcp", retry=Retry(budget=70), bulkhead=Bulkhead(limit=4))
        }
        return Stats().snapshot(ONE | {"other": health("other")}, servers)

    search, other = run_virtual(main())["servers"]
    assert search["retry_budget"]["size"] == 70
    assert search["endpoints"][0]["limit"] == 4
    assert (other["retry_budget"]["size"], other["endpoints"][0]["limit"]) == (None, None)


# --- the face


def test_every_field_of_the_document_is_explained() -> None:
    async def tell(heard: Stats) -> None:
        heard(ConnectionChanged(server="search", endpoint="search/0", state="ready", generation=1))
        heard(attempt(code="timeout"))
        heard(request())

    def names(value: Any) -> set[str]:
        if isinstance(value, list):
            return set().union(*map(names, value))
        return set(value).union(*map(names, value.values())) if isinstance(value, dict) else set()

    explained = set(re.findall(r"`(\w+)`", document.__doc__ or "")) | {"transient", "auth", "critical"}
    codes = {"timeout", "primary", "ready"}
    assert names(told(tell)) - codes <= explained
    assert told(nothing)["schema"] == "recloser.top/1"


def test_it_needs_neither_an_sdk_nor_a_logger() -> None:
    code = (
        "import sys, recloser.telemetry.status;"
        "print(sorted({name.split('.')[0] for name in sys.modules} & {'structlog', 'rich', 'uvicorn'}),"
        " [name for name in sys.modules if name.startswith('opentelemetry.sdk')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[] []"
