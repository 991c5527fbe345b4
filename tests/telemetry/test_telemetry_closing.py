"""Ending what may hang, by a deadline that is kept."""

from __future__ import annotations

import logging
import threading

import pytest

from recloser.telemetry.closing import Closing


def test_all_parts_are_ended_once() -> None:
    ended: list[str] = []
    closing = Closing([("spans", lambda: ended.append("spans")), ("metrics", lambda: ended.append("metrics"))])
    assert ended == []
    assert closing.close(10)
    assert sorted(ended) == ["metrics", "spans"]
    assert closing.close(10)
    assert len(ended) == 2
    assert repr(closing) == "Closing(spans, metrics)"


def test_a_part_that_hangs_holds_up_nobody() -> None:
    hung, ended = threading.Event(), threading.Event()
    closing = Closing([("spans", hung.wait), ("metrics", ended.set)])
    assert not closing.close(0.01)
    assert ended.wait(10)
    hung.set()


def test_a_part_that_fails_does_not_keep_the_others_from_ending(caplog: pytest.LogCaptureFixture) -> None:
    ended = threading.Event()

    def fail() -> None:
        raise RuntimeError("secret words")

    with caplog.at_level(logging.WARNING, "recloser"):
        assert Closing([("spans", fail), ("metrics", ended.set)]).close(10)
    assert ended.is_set()
    assert caplog.messages == ["spans of the telemetry could not be ended: RuntimeError"]


def test_nothing_to_end_is_ended_at_once() -> None:
    assert Closing([]).close(0)


def test_a_child_process_has_threads_of_its_own_unless_all_was_over_before() -> None:
    ended: list[int] = []
    closing = Closing([("spans", lambda: ended.append(1))])
    closing.restart()
    assert closing.close(10)
    assert ended == [1]
    closing.restart()
    assert closing.close(10)
    assert ended == [1]
