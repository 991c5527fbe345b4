"""An error is told without what was being handled when it was raised."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from typing import Any, cast

import pytest

from recloser.apart import apart
from recloser.events import Emitter, FanOutFinished
from recloser.later import at_once
from recloser.spans import around

WORD = "what a server said"


def told(job: Callable[[], None]) -> str:
    """What is left of the error of a job that is done while another error is handled."""
    try:
        raise LookupError(WORD)
    except LookupError:
        under_way = sys.exception()
        assert under_way is not None
        try:
            job()
        except Exception as error:
            assert WORD in "".join(traceback.format_exception(error))
            left = apart(error, under_way)
            assert str(under_way) == WORD
            assert left is error
            return "".join(traceback.format_exception(left))
    raise AssertionError


def fail() -> None:
    raise ValueError("own")


def test_what_was_being_handled_is_left_out() -> None:
    text = told(fail)
    assert "ValueError: own" in text
    assert "in fail" in text
    assert WORD not in text


def test_an_error_s_own_causes_stay() -> None:
    def job() -> None:
        try:
            fail()
        except ValueError as error:
            try:
                raise KeyError("second")
            except KeyError:
                raise TypeError("third") from error

    text = told(job)
    assert "ValueError: own" in text
    assert "TypeError: third" in text
    assert WORD not in text


def test_one_that_was_raised_from_it_is_told_without_it() -> None:
    def job() -> None:
        raise ValueError("own") from sys.exception()

    text = told(job)
    assert "ValueError: own" in text
    assert WORD not in text


def test_the_members_of_a_group_are_told_without_it() -> None:
    def job() -> None:
        try:
            fail()
        except ValueError as error:
            raise ExceptionGroup("many", [error, error]) from None

    text = told(job)
    assert "ValueError: own" in text
    assert WORD not in text


def test_of_the_same_error_raised_again_nothing_is_told() -> None:
    error = LookupError(WORD)
    assert apart(error, error) is None


def test_where_nothing_was_being_handled_an_error_stays_as_it_is() -> None:
    try:
        fail()
    except ValueError as error:
        assert apart(error, None) is error
        error.__context__ = KeyError()
        assert apart(error, LookupError()) is error
        assert isinstance(error.__context__, KeyError)


def test_errors_that_go_in_a_circle_are_followed_once() -> None:
    one, other = KeyError(), ValueError()
    one.__context__, other.__context__ = other, one
    assert apart(one, LookupError()) is one


def bad(*_: object, **__: object) -> None:
    raise ValueError("own")


class Bad:
    start_span = end = staticmethod(bad)


@pytest.mark.parametrize(
    "job",
    [
        lambda: Emitter([bad])(FanOutFinished(size=1, answered=1, quorum=1, outcome="complete", duration=0.0)),
        lambda: at_once(bad),
        lambda: around.start(cast("Any", Bad()), "span"),
        lambda: around.end(cast("Any", Bad())),
    ],
    ids=["listener", "job", "start of a span", "end of a span"],
)
def test_whatever_fails_beside_a_call_is_logged_without_what_the_call_fails_of(
    job: Callable[[], None], caplog: pytest.LogCaptureFixture
) -> None:
    try:
        raise LookupError(WORD)
    except LookupError:
        job()
    assert "in bad" in caplog.text
    assert "ValueError: own" in caplog.text
    assert WORD not in caplog.text
