"""Events as log lines, and how many of them."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, get_args

import pytest

from recloser.events import (
    CallFinished,
    CatalogChanged,
    CircuitChanged,
    ConnectionChanged,
    Event,
    FanOutFinished,
    RequestFinished,
    RetryScheduled,
    RetrySuppressed,
)
from recloser.telemetry.listener import BURST, EVENTS, WINDOW, LogListener
from support.metering import attempted, called


class Log:
    """A writer that keeps what it is given, and a clock that stands until it is set."""

    def __init__(self, level: int = logging.DEBUG) -> None:
        self.lines: list[tuple[str, str, dict[str, Any]]] = []
        self.now = 100.0
        self.hear = LogListener(self._write, level=level, clock=lambda: self.now)

    def _write(self, level: int, event: str, **fields: Any) -> None:
        self.lines.append((logging.getLevelName(level).lower(), event, fields))

    @property
    def names(self) -> list[str]:
        return [name for _, name, _ in self.lines]


def finished(**changes: Any) -> CallFinished:
    return called(**{"key": "s__t", "server": "s", "name": "t", "duration": 0.123456789} | changes)


def failed(**changes: Any) -> CallFinished:
    return finished(**{"outcome": "error", "code": "timeout", "type": "transient"} | changes)


CIRCUIT: dict[str, Any] = {"server": "s", "endpoint": "s/0", "previous": "closed", "reason": "failures"}
CONNECTION: dict[str, Any] = {"server": "s", "endpoint": "s/0", "generation": 1}
RETRY: dict[str, Any] = {"call_id": "c-1", "server": "s", "name": "t", "attempt": 1, "code": "timeout"}
SPREAD: dict[str, Any] = {"size": 2, "answered": 1, "quorum": 1, "duration": 0.5}


def test_every_event_has_a_name_of_its_own() -> None:
    assert set(EVENTS) == set(get_args(Event))
    assert len(set(EVENTS.values())) == len(EVENTS)


@pytest.mark.parametrize(
    ("event", "level", "name"),
    [
        (finished(), "debug", "call_finished"),
        (finished(is_error=True), "debug", "call_finished"),
        (finished(outcome="cancelled", code=None), "debug", "call_finished"),
        (failed(), "warning", "call_finished"),
        (attempted(server="s", endpoint="s/0", name="t"), "debug", "attempt_finished"),
        (RequestFinished(server="s", method="ping", duration=0.1, code=None), "debug", "request_finished"),
        (RetryScheduled(**RETRY, delay=0.1), "info", "retry_scheduled"),
        (RetrySuppressed(**RETRY, reason="budget"), "info", "retry_suppressed"),
        (RetrySuppressed(**RETRY, reason="not_safe"), "debug", "retry_suppressed"),
        (CircuitChanged(**CIRCUIT, state="open"), "warning", "circuit_changed"),
        (CircuitChanged(**CIRCUIT, state="isolated"), "warning", "circuit_changed"),
        (CircuitChanged(**CIRCUIT, state="closed"), "info", "circuit_changed"),
        (ConnectionChanged(**CONNECTION, state="ready"), "info", "connection_changed"),
        (ConnectionChanged(**CONNECTION, state="connecting"), "debug", "connection_changed"),
        (ConnectionChanged(**CONNECTION, state="connecting", code="connection_lost"), "warning", "connection_changed"),
        (ConnectionChanged(**CONNECTION, state="failed", code="unreachable"), "warning", "connection_changed"),
        (CatalogChanged(server="s", available=False), "info", "catalog_changed"),
        (FanOutFinished(**SPREAD, outcome="complete"), "debug", "fan_out_finished"),
        (FanOutFinished(**SPREAD, outcome="degraded"), "warning", "fan_out_finished"),
        (FanOutFinished(**SPREAD, outcome="failed"), "warning", "fan_out_finished"),
    ],
)
def test_an_event_is_a_line_of_this_name_and_level(event: Event, level: str, name: str) -> None:
    log = Log()
    log.hear(event)
    assert [line[:2] for line in log.lines] == [(level, name)]


def test_a_line_holds_the_fields_of_its_event_but_not_who_called() -> None:
    log = Log()
    log.hear(failed(retries=1, delay=0.05, circuit_before="closed", circuit_after="open", trace_id="12", span_id="34"))
    assert log.lines[0][2] == {
        "call_id": "c-1",
        "method": "tools/call",
        "server": "s",
        "tool": "t",
        "known": True,
        "outcome": "error",
        "code": "timeout",
        "type": "transient",
        "attempts": 1,
        "retries": 1,
        "delay": 0.05,
        "duration": 0.123457,
        "is_error": False,
        "circuit_before": "closed",
        "circuit_after": "open",
        "trace_id": "12",
        "span_id": "34",
    }


def test_what_is_no_tool_keeps_its_name() -> None:
    log = Log()
    log.hear(finished(method="resources/read", name="note://1"))
    assert log.lines[0][2]["name"] == "note://1"


def test_a_long_list_of_names_is_cut() -> None:
    log = Log()
    log.hear(CatalogChanged(server="s", available=True, added=tuple(map(str, range(1000))), removed=("a", "b")))
    fields = log.lines[0][2]
    assert fields["added"] == [*map(str, range(10)), "and 990 more"]
    assert fields["removed"] == ["a", "b"]
    assert "shadowed" not in fields


def test_what_matters_too_little_is_not_even_made() -> None:
    log = Log(level=logging.WARNING)
    log.hear(finished())
    log.hear(RetryScheduled(**RETRY, delay=0.1))
    assert log.lines == []


def test_in_an_outage_a_few_lines_are_written_and_the_rest_is_counted() -> None:
    log = Log()
    for _ in range(1000):
        log.hear(failed())
    assert log.names == ["call_finished"] * BURST
    log.now += WINDOW
    log.hear(failed())
    assert log.lines[BURST:] == [
        (
            "warning",
            "suppressed",
            {"of": "call_finished", "server": "s", "why": "timeout", "count": 1000 - BURST},
        ),
        log.lines[-1],
    ]
    assert log.names[-1] == "call_finished"


def test_one_server_or_code_does_not_hide_another() -> None:
    log = Log()
    for _ in range(100):
        log.hear(failed())
    for other in (failed(server="other"), failed(code="unreachable"), RetryScheduled(**RETRY, delay=0.1)):
        log.hear(other)
    assert log.names == ["call_finished"] * (BURST + 2) + ["retry_scheduled"]


def test_a_window_that_left_nothing_out_is_over_without_a_word() -> None:
    log = Log()
    log.hear(failed())
    log.now += WINDOW
    log.hear(RetryScheduled(**RETRY, delay=0.1))
    assert log.names == ["call_finished", "retry_scheduled"]


def test_the_end_of_a_window_is_told_with_the_next_event_of_any_kind() -> None:
    log = Log()
    for _ in range(BURST + 3):
        log.hear(failed(server=None))
    log.now += WINDOW
    log.hear(CircuitChanged(**CIRCUIT, state="open"))
    assert log.lines[-2][1:] == (
        "suppressed",
        {"of": "call_finished", "why": "timeout", "count": 3},
    )


def test_what_was_left_out_last_is_told_at_the_end() -> None:
    log = Log()
    for _ in range(BURST + 1):
        log.hear(failed())
    log.hear.flush()
    log.hear.flush()
    assert log.names == ["call_finished"] * BURST + ["suppressed"]


def test_details_are_never_left_out_for_who_asked_for_them() -> None:
    log = Log()
    for _ in range(100):
        log.hear(finished())
    assert log.names == ["call_finished"] * 100


def test_windows_do_not_grow_without_end() -> None:
    log = Log()
    for number in range(5000):
        log.hear(failed(server=f"s{number}"))
    assert len(log.hear._windows) <= 1000
    assert len(log.lines) == 5000


def test_the_clock_is_the_loop_s_and_outside_of_one_it_stands_still() -> None:
    lines: list[str] = []
    hear = LogListener(lambda level, name, **fields: lines.append(name))
    hear(failed())

    async def main() -> None:
        for _ in range(BURST + 1):
            hear(failed())

    asyncio.run(main())
    assert lines == ["call_finished"] * (BURST + 1)
