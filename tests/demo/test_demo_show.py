"""How the demo prints: the same story on a terminal and in a file."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from recloser.demo.show import Show, in_brief, in_time, in_words
from recloser.errors import error_for
from recloser.events import (
    AttemptFinished,
    CircuitChanged,
    ConnectionChanged,
    Event,
    RetryScheduled,
)

PAYLOAD = error_for("timeout", "search timed out", server="search", tool="search", retry_after=1.5).payload
LOST = ConnectionChanged(server="math", endpoint="math/0", state="connecting", generation=1, code="connection_lost")


def told(*, terminal: bool) -> tuple[Show, str]:
    out = io.StringIO()
    show = Show(Console(file=out, force_terminal=terminal, width=100, highlight=False))
    show.act("A heading")
    show.say("A sentence.")
    show.answer("math__add(a=1)", "2 [bold]", 0.0012)
    show.quote("Good morning!")
    show.payload(PAYLOAD)
    show.payload(None)
    show.table(("tool", "kind"), [("math__add", "stdio"), ("search__search", "sse")])
    show.expect("this happened", holds=True)
    show.expect("that happened", holds=False)
    show.event(LOST)
    show.live = True
    show.event(LOST)
    return show, out.getvalue()


@pytest.mark.parametrize("terminal", [True, False])
def test_everything_is_told_on_a_terminal_and_in_a_file(terminal: bool) -> None:
    show, text = told(terminal=terminal)
    for part in ("1. A heading", "A sentence.", "2 [bold]", "Good morning!", "search__search", "[ok]", "[NOT]"):
        assert part in text
    assert text.count("connection lost") == 1
    assert show.missed == ["that happened"]


def test_colours_and_frames_are_for_terminals_only() -> None:
    _, plain = told(terminal=False)
    _, pretty = told(terminal=True)
    assert plain.isascii()
    assert not pretty.isascii()
    assert "\x1b[" in pretty


def test_a_payload_in_a_file_can_be_read_back() -> None:
    _, plain = told(terminal=False)
    begin, end = plain.index("   {"), plain.index("   }\n") + 4
    assert json.loads(plain[begin:end]) == PAYLOAD.to_dict()


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (
            RetryScheduled(call_id="1", server="math", name="add", attempt=1, code="timeout", delay=0.02),
            "add: attempt 1 failed (timeout), the next in 20.0 ms",
        ),
        (
            CircuitChanged(
                server="search",
                endpoint="search/0",
                previous="closed",
                state="open",
                reason="failures",
                retry_after=1.5,
            ),
            "search: circuit closed -> open (failures); worth trying again in 1.50 s",
        ),
        (
            CircuitChanged(server="search", endpoint="search/0", previous="half_open", state="closed", reason="probe"),
            "search: circuit half_open -> closed (probe)",
        ),
        (LOST, "math: connection lost (connection_lost), connecting again"),
        (
            ConnectionChanged(server="math", endpoint="math/0", state="ready", generation=2),
            "math: connected, generation 2",
        ),
        (
            ConnectionChanged(server="math", endpoint="math/0", state="failed", generation=2, code="timeout"),
            "math: could not connect (timeout)",
        ),
        (ConnectionChanged(server="math", endpoint="math/0", state="connecting", generation=2), None),
        (
            AttemptFinished(
                method="tools/call",
                known=True,
                kind="primary",
                call_id="1",
                server="math",
                endpoint="math/0",
                name="add",
                attempt=1,
                duration=0.1,
                code=None,
            ),
            None,
        ),
    ],
)
def test_an_event_is_told_in_words_or_not_at_all(event: Event, words: str | None) -> None:
    assert in_words(event) == words


def test_short_times_are_told_in_milliseconds() -> None:
    assert in_time(0.0004) == "0.4 ms"
    assert in_time(1.234) == "1.23 s"


def test_arguments_are_told_as_in_code() -> None:
    assert in_brief({"a": 5, "city": "Berlin"}) == "a=5, city='Berlin'"
