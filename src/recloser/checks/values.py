"""What the values of a record must be; each is refused by its name."""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Mapping

__all__ = ["MismatchError", "by_name", "flag", "number", "text", "texts", "whole", "word"]


class MismatchError(ValueError):
    """Values that may each be right alone, but do not fit each other: what every check of several fields raises."""

    def __init__(self, message: str, *fields: str) -> None:
        super().__init__(message)
        self.fields = fields
        """The fields concerned; those of a record in the record as `record.field`."""


def number(what: str, value: object, *, above: float | None = None, least: float | None = None) -> None:
    """Check that a value is a number, and in its range.

    Raises:
        TypeError: it is no number.
        ValueError: it is out of its range.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{what} must be a number, got {value!r}")
    try:
        if math.isnan(value):
            raise TypeError(f"{what} must be a number, got {value!r}")
    except OverflowError as error:
        # Not shown: Python refuses to write down very large numbers.
        raise ValueError(f"{what} must be a number, got a whole number beyond any float") from error
    if above is not None and not value > above:
        raise ValueError(f"{what} must be more than {above:g}, got {value!r}")
    if least is not None and not value >= least:
        raise ValueError(f"{what} must be at least {least:g}, got {value!r}")


def whole(what: str, value: object, *, least: int) -> None:
    """Check that a value is a whole number of at least `least`.

    Raises:
        TypeError: it is no whole number.
        ValueError: it is less.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{what} must be a whole number, got {value!r}")
    if value < least:
        raise ValueError(f"{what} must be at least {least}, got {value!r}")


def flag(what: str, value: object) -> None:
    """Check that a value is a yes or no.

    Raises:
        TypeError: it is something else: a text such as "no" would count as a yes.
    """
    if not isinstance(value, bool):
        raise TypeError(f"{what} must be True or False, got {value!r}")


def word(what: str, value: object, *known: str | None) -> None:
    """Check that a value is one of the known words.

    Raises:
        ValueError: it is another one.
    """
    if value not in known:
        *most, last = (repr(each) for each in known if each is not None)
        raise ValueError(f"{what} must be {', '.join(most)} or {last}, got {value!r}")


def text(what: str, value: object, *, path: bool = True) -> None:
    """Check that a value is a text; a path is taken for its text, if it may be one.

    Raises:
        TypeError: it is something else; it is not shown, since it may be secret.
    """
    if not isinstance(value, str) and not (path and isinstance(value, os.PathLike)):
        raise TypeError(f"{what} must be a string, got {type(value).__name__}")


def texts(what: str, value: object) -> None:
    """Check that a value is a collection of texts, and not one text; a path is taken for its text.

    Raises:
        TypeError: it is something else; it is not shown, since it may be secret.
    """
    if isinstance(value, str | bytes) or not isinstance(value, Collection):
        raise TypeError(f"{what} must be a list of strings, got {type(value).__name__}")
    for index, each in enumerate(value):
        text(f"{what}[{index}]", each)


def by_name(what: str, value: object, *, path: bool = True) -> None:
    """Check that a value is a mapping of names to texts; a path is taken for its text, if it may be one.

    Raises:
        TypeError: it is something else; it is not shown, since it may be secret.
    """
    if not isinstance(value, Mapping):
        raise TypeError(f"{what} must be a mapping of names to strings, got {type(value).__name__}")
    for name, each in value.items():
        text(f"{what}: each name", name, path=False)
        text(f"{what}[{name!r}]", each, path=path)
