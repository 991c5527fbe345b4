"""What lies underneath an error of ours, for whoever prints all of it."""

from __future__ import annotations

import traceback
from typing import Any

import pytest

from recloser.errors import RouterError, error_for
from recloser.redact import MASK, Redactor
from recloser.redact.causes import DEEPEST, Underlying, seal

SECRET = "hunter2hunter2"


def failing(*below: BaseException) -> RouterError:
    """An error of ours, raised from one exception after the other."""
    try:
        _raise([*below, error_for("timeout", "ours")])
    except RouterError as error:
        return error
    raise AssertionError


def _raise(errors: list[BaseException]) -> None:
    if len(errors) == 1:
        raise errors[0]
    try:
        _raise(errors[:-1])
    except BaseException as error:
        raise errors[-1] from error


def told(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


def test_a_foreign_exception_is_told_by_type_and_place_only() -> None:
    error = failing(KeyError(SECRET), LookupError(f"token={SECRET}"))
    assert SECRET in told(error)
    seal(error, RouterError)
    assert SECRET not in told(error)
    assert "builtins.LookupError (its text is left out, since it may hold a secret)" in told(error)
    assert "builtins.KeyError (its text" in told(error)
    assert "in _raise" in told(error)
    assert "ours" in told(error)
    assert error.__suppress_context__


def test_where_contents_may_be_shown_the_texts_are_redacted() -> None:
    error = failing(LookupError(f"token={SECRET} of ten"))
    seal(error, RouterError, Redactor())
    assert f"builtins.LookupError: token={MASK} of ten" in told(error)


def test_errors_of_ours_stay_and_what_is_below_them_is_sealed_too() -> None:
    inner = error_for("unreachable", "inner")
    error = failing(OSError(SECRET), inner)
    seal(error, RouterError)
    assert error.__cause__ is inner
    assert isinstance(inner.__cause__, Underlying)
    seal(error, RouterError)
    assert SECRET not in told(error)


def test_what_was_being_handled_is_sealed_like_a_cause() -> None:
    def work() -> None:
        try:
            raise OSError(SECRET)
        except OSError:
            raise error_for("timeout", "ours")  # noqa: B904 - what is tested

    with pytest.raises(RouterError) as caught:
        work()
    error = caught.value
    seal(error, RouterError)
    assert isinstance(error.__context__, Underlying)
    assert error.__cause__ is None
    assert not error.__suppress_context__
    assert "During handling of the above exception" in told(error)
    assert SECRET not in told(error)


def test_a_group_is_told_by_the_types_of_its_members() -> None:
    error = failing(ExceptionGroup(SECRET, [ValueError(SECRET), OSError(SECRET)]))
    seal(error, RouterError)
    assert "ExceptionGroup of 2: ValueError, OSError" in told(error)
    assert SECRET not in told(error)


def test_causes_that_go_in_a_circle_or_without_an_end_are_sealed() -> None:
    one, other = KeyError(SECRET), ValueError(SECRET)
    one.__cause__, other.__cause__ = other, one
    error = failing()
    error.__cause__ = one
    seal(error, RouterError)
    assert SECRET not in told(error)

    error = failing(*(KeyError(SECRET) for _ in range(3 * DEEPEST)))
    seal(error, RouterError)
    assert SECRET not in told(error)
    count, below = 0, error.__cause__
    while below is not None:
        count, below = count + 1, below.__cause__
    assert count == DEEPEST


def test_an_error_with_nothing_below_it_stays_as_it_is() -> None:
    error: Any = failing()
    seal(error, RouterError)
    assert (error.__cause__, error.__context__) == (None, None)
