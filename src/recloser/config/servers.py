"""Layers of what is said about a server, merged into one record."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from functools import partial
from typing import Any, Final, TypeVar

from recloser.checks import MismatchError, flaws
from recloser.config.mistakes import Place, Report
from recloser.config.schema import file_hints
from recloser.config.values import Values
from recloser.options import Server

__all__ = ["Layer", "check_layer", "make_record", "make_server", "tried"]

T = TypeVar("T")

_TABLES: Final[Mapping[str, type[Any]]] = {
    name: hint for name, hint in file_hints(Server).items() if isinstance(hint, type) and is_dataclass(hint)
}
# Fields that `Server` checks together, in any host's words. Each group is checked by itself, so that one mistake does
# not hide another, and a group in which there is a mistake already is not blamed for what follows from it.
_WHERE: Final = ("url", "command", "transport", "allow_plaintext")
_WINDOW: Final = ("breaker", "timeouts", "breaker.enabled", "breaker.window", "timeouts.attempt")
_GROUPS: Final = (_WHERE, _WINDOW, ("required", "lazy"))
_HOSTS_WORDS: Final = frozenset({"type", "serverUrl", "httpUrl"})


@dataclass(frozen=True)
class Layer:
    """What one place of a configuration says about a server; the keys are fields of `Server`."""

    place: Place
    said: Mapping[str, Any]


def tried(make: Callable[[], T], place: Place, report: Report, name: str | None = None) -> T | None:
    """Return what is made; if the record refuses its values, that is noted as a mistake, and None is returned."""
    try:
        return make()
    except (ValueError, TypeError) as error:
        message = str(error).replace("target, url and command", "url and command")
        report.mistake(place, message.removeprefix(f"server {name!r}").removeprefix(":").strip())
        return None


def make_record(record: Callable[..., T], said: Mapping[str, Any], place: Place, report: Report) -> T | None:
    """Return the record that a table comes to; every mistake in it is noted, each at its own key, and None returned.

    The record is one whose fields all have defaults.
    """
    _check_each(record, said, place, report)
    return _joined(record, said, place, report, report.wrong_below(place))


def _check_each(record: Callable[..., Any], said: Mapping[str, Any], place: Place, report: Report) -> None:
    """Note what is wrong with each value by itself: a record tells one mistake at a time."""
    for key, value in said.items():
        try:
            record(**{key: value})
        except MismatchError:
            pass  # It does not fit a default; what is said beside it may.
        except (ValueError, TypeError) as error:
            report.mistake((*place, key), str(error))


def _joined(
    record: Callable[..., T], said: Mapping[str, Any], place: Place, report: Report, wrong: set[str]
) -> T | None:
    """Return the record of all values but those that are wrong; None if they do not fit each other, which is noted."""
    try:
        return record(**{key: value for key, value in said.items() if key not in wrong})
    except (ValueError, TypeError) as error:
        concerned = error.fields if isinstance(error, MismatchError) else ()
        if not wrong.intersection(concerned):
            report.mistake(place, str(error))
        return None


def check_layer(layer: Layer, report: Report) -> None:
    """Note what is wrong with each value of a layer by itself, at its own place."""
    for key, record in _TABLES.items():
        if key in layer.said:
            _check_each(record, layer.said[key], (*layer.place, key), report)
    for keys, flaw in flaws(layer.said):
        # A reference that leads nowhere is still in its text; the mistake of that is noted.
        if str(keys[-1]) not in report.wrong_below((*layer.place, *keys[:-1])):
            report.mistake((*layer.place, *keys), flaw)


def merge(layers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return one table of several: a later one's values win, tables are merged key by key, lists are replaced."""
    merged: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            before = merged.get(key)
            both = isinstance(before, Mapping) and isinstance(value, Mapping)
            merged[key] = merge([before or {}, value]) if both else value
    return merged


def make_server(name: str, layers: Sequence[Layer], report: Report, values: Values) -> Server | None:
    """Return the server that the layers, the weakest first, come to; None if there are mistakes, which are noted."""
    for layer in layers:
        check_layer(layer, report)
    said = merge([layer.said for layer in layers])
    if said.get("cwd") is not None:
        said["cwd"] = values.directory(said["cwd"])
    wrong = {key for layer in layers for key in report.wrong_below(layer.place)}
    if wrong & _HOSTS_WORDS:
        wrong.add("url")
    wrong = _join_tables(said, wrong, layers, report)
    if tried(lambda: Server(name, command="-"), layers[-1].place, report, name) is None:
        return None
    for group in _GROUPS:
        if not wrong.intersection(group):
            part: dict[str, Any] = {key: said[key] for key in group if key in said}
            where = part if group is _WHERE else {**part, "command": "-"}
            if tried(partial(Server, name, **where), _blame(layers, group), report, name) is None:
                wrong.update(group)
    return None if wrong else tried(lambda: Server(name, **said), layers[-1].place, report, name)


def _join_tables(said: dict[str, Any], wrong: set[str], layers: Sequence[Layer], report: Report) -> set[str]:
    """Put records in the place of tables, and return what is wrong, `table.key` where it is one key of a table."""
    for key, record in _TABLES.items():
        within = {inner for layer in layers for inner in report.wrong_below((*layer.place, key))}
        if within:
            wrong = (wrong - {key}) | {f"{key}.{inner}" for inner in within}
        if key in said:
            said[key] = _joined(record, said[key], _blame(layers, (key,)), report, within)
            if said[key] is None:
                wrong = wrong | {key}
    return wrong


def _blame(layers: Sequence[Layer], keys: Sequence[str]) -> Place:
    """Return the place that says most about some keys: where the strongest layer that has one of them has it."""
    for layer in reversed(layers):
        for key in keys:
            if key in layer.said:
                return (*layer.place, key)
    return layers[1].place
