"""Frozen records as tables of fields: names, JSON types and values, read off their code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from types import NoneType, UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

__all__ = ["Field", "fields_of"]

_TYPES: Final[Mapping[Any, str]] = {str: "string", float: "number", int: "integer", bool: "boolean"}


@dataclass(frozen=True, kw_only=True)
class Field:
    """One field of a line of JSON."""

    name: str
    """With dots where it lies in another one, and `[]` where that is a list."""
    type: str
    meaning: str
    nullable: bool = False
    values: tuple[str, ...] = ()
    """All that it can hold, where that is a closed list."""


def fields_of(record: type[Any], meanings: Mapping[str, str]) -> Iterator[Field]:
    """Yield the fields of a record that have a meaning.

    Raises:
        KeyError: a field is of a type that JSON has no word for.
    """
    hints = get_type_hints(record)
    for field in fields(record):
        if field.name in meanings:
            hint, nullable = _without_none(hints[field.name])
            inner, many = _element(hint)
            values = get_args(inner) if get_origin(inner) is Literal else ()
            kind = "string" if values else _TYPES[inner]
            yield Field(
                name=field.name,
                type=f"array of {kind}s" if many else kind,
                meaning=meanings[field.name],
                nullable=nullable,
                values=values,
            )


def _without_none(hint: Any) -> tuple[Any, bool]:
    if get_origin(hint) in (Union, UnionType):
        (rest,) = (each for each in get_args(hint) if each is not NoneType)
        return rest, True
    return hint, False


def _element(hint: Any) -> tuple[Any, bool]:
    """Return what a tuple is made of, and whether it is one."""
    return (get_args(hint)[0], True) if get_origin(hint) is tuple else (hint, False)
