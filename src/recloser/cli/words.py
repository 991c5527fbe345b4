"""The words after `recloser call`: which is the configuration, which the tool, and what its arguments are."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

import typer

SHOWN: Final = 200
"""Characters of a wrong value that are told."""


def split(words: Sequence[str]) -> tuple[Path | None, str, list[str]]:
    """Return the configuration (None: to be found), the tool's name, and the words of its arguments.

    Raises:
        typer.BadParameter: there is no tool's name.
    """
    rest = list(words)
    config = Path(rest.pop(0)) if rest and _names_a_file(rest[0]) else None
    if not rest:
        raise typer.BadParameter("Say which tool to call: recloser call [CONFIG] TOOL [JSON | key=value ...]")
    return config, rest[0], rest[1:]


def _names_a_file(word: str) -> bool:
    return word.endswith((".json", ".toml")) or Path(word).is_file()


def arguments_of(words: Sequence[str], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a tool's arguments from one JSON object, or from `key=value` and `key:=json` words.

    A value is read as JSON where the tool's input schema wants something other than a string.

    Raises:
        typer.BadParameter: a word is neither, its value does not fit, or a key comes twice.
    """
    if len(words) == 1 and words[0].lstrip().startswith("{"):
        return _json_object(words[0])
    arguments: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        as_json = key.endswith(":")
        key = key.removesuffix(":")
        if not equals or not key:
            raise typer.BadParameter(
                f"{word!r} is no argument. Write key=value, key:=json, or one JSON object for all of them."
            )
        if key in arguments:
            raise typer.BadParameter(f"{key} is given twice. For a list, write {key}:='[...]'.")
        wanted = types_of(_part(_part(schema, "properties"), key), schema)
        arguments[key] = _json_value(key, value, wanted) if as_json or (wanted and "string" not in wanted) else value
    return arguments


def _json_object(text: str) -> dict[str, Any]:
    try:
        value = _json(text)
    except ValueError as error:
        raise typer.BadParameter(f"The arguments are not JSON: {error}. Quote them for the shell: '{{...}}'") from error
    assert isinstance(value, dict)  # it begins with a brace
    return value


def _json_value(key: str, text: str, wanted: frozenset[str]) -> Any:
    try:
        return _json(text)
    except ValueError as error:
        kind = " or ".join(sorted(wanted - {"null"})) or "JSON"
        shown = text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
        raise typer.BadParameter(f"{key} must be {kind}, got {shown!r}.") from error


def _json(text: str) -> Any:
    """Return what a text says in JSON as it is sent: without `NaN`, and no deeper than a parser goes.

    Raises:
        ValueError: it is none.
    """
    try:
        return json.loads(text, parse_constant=_no_constant)
    except RecursionError as error:
        raise ValueError("they are nested too deeply") from error


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"JSON knows no {name}")


def types_of(schema: Any, root: Mapping[str, Any]) -> frozenset[str]:
    """Return the JSON types that a schema allows; empty if it does not say."""
    return frozenset(_types(schema, root, frozenset()))


def _types(schema: Any, root: Mapping[str, Any], seen: frozenset[str]) -> Iterator[str]:
    if not isinstance(schema, Mapping):
        return
    kind = schema.get("type")
    yield from [kind] if isinstance(kind, str) else _items(kind)
    if kind is None:
        for value in [*_items(schema.get("enum")), *([schema["const"]] if "const" in schema else [])]:
            yield _type_of(value)
    for member in ("anyOf", "oneOf", "allOf"):
        for part in _items(schema.get(member)):
            yield from _types(part, root, seen)
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference not in seen:
        yield from _types(_follow(reference, root), root, seen | {reference})


def _type_of(value: Any) -> str:
    names = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array", type(None): "null"}
    return names.get(type(value), "object")


def _items(value: Any) -> list[Any]:
    """Return a list that a schema holds; a server's schema may hold anything."""
    return value if isinstance(value, list) else []


def _part(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, Mapping) else None


def _follow(reference: str, root: Mapping[str, Any]) -> Any:
    found: Any = root if reference.startswith("#") else None
    for part in reference.partition("#")[2].split("/")[1:]:
        found = _part(found, part.replace("~1", "/").replace("~0", "~"))
    return found
