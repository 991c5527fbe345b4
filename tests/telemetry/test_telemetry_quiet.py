"""Exporters that complain."""

from __future__ import annotations

import logging

from recloser.telemetry.quiet import PERIOD, Quiet, quieten


def record(
    text: str = "failed: %s", *args: object, at: float = 1000.0, level: int = logging.WARNING
) -> logging.LogRecord:
    made = logging.LogRecord("exporter", level, "file.py", 1, text, args or ("x",), None)
    made.created = at
    return made


def test_the_same_complaint_is_told_once_a_minute_with_the_number_of_those_left_out() -> None:
    quiet = Quiet()
    told = [quiet.filter(record(at=1000.0 + second)) for second in range(60)]
    assert told == [True] + [False] * 59
    again = record("failed: %s", "y", at=1000.0 + PERIOD)
    assert quiet.filter(again)
    assert again.getMessage() == "failed: y (and 59 more like this since the last)"
    alone = record("failed: %s", "z", at=1000.0 + 2 * PERIOD)
    assert quiet.filter(alone)
    assert alone.getMessage() == "failed: z"


def test_another_complaint_is_told_at_once() -> None:
    quiet = Quiet()
    assert quiet.filter(record())
    assert quiet.filter(record("dropped %s"))


def test_complaints_that_are_never_the_same_do_not_fill_the_memory() -> None:
    quiet = Quiet()
    for number in range(1000):
        assert quiet.filter(record(f"failed {number} %s"))
    assert len(quiet._told) <= 100


def test_a_logger_gets_one_filter_however_often_it_is_asked_for() -> None:
    quieten(["recloser.test.exporter"])
    quieten(["recloser.test.exporter", "recloser.test.other"])
    assert len(logging.getLogger("recloser.test.exporter").filters) == 1
    assert len(logging.getLogger("recloser.test.other").filters) == 1
