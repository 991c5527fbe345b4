"""Layers of what is said about a server, merged into one record."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from recloser.config.mistakes import Place, Report
from recloser.config.schema import file_hints
from recloser.config.values import Values
from recloser.options import Server

__all__ = ["Layer", "make_server", "tried"]

T = TypeVar("T")

_TABLES: Final[Mapping[str, type[Any]]] = {
    name: hint for name, hint in file_hints(Server).items() if isinstance(hint, type) and is_dataclass(hint)
}
# Fields that `Server` checks together, in any host's words. Each group is checked by itself, so that one mistake does
# not hide another, and a group in which there is a mistake already is not blamed for what follows from it.
_WHERE: Final = ("url", "command", "transport", "allow_plaintext", "args", "cwd")
_GROUPS: Final = (_WHERE, ("breaker", "timeouts"), ("required", "lazy"))
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
    said = merge([layer.said for layer in layers])
    if said.get("cwd") is not None:
        said["cwd"] = values.directory(said["cwd"])
    wrong = {key for layer in layers for key in report.wrong_below(layer.place)}
    if wrong & _HOSTS_WORDS:
        wrong.add("url")
    for key, record in _TABLES.items():
        if key in said and key not in wrong:
            table = said[key]
            made = tried(lambda: record(**table), _blame(layers, (key,)), report)  # noqa: B023 - called at once
            if made is None:
                wrong.add(key)
            said[key] = made
    if tried(lambda: Server(name, command="-"), layers[-1].place, report, name) is None:
        return None
    for group in _GROUPS:
        if not wrong.intersection(group):
            part: dict[str, Any] = {key: said[key] for key in group if key in said}
            where = part if group is _WHERE else {**part, "command": "-"}
            if tried(lambda: _server(name, where), _blame(layers, group), report, name) is None:  # noqa: B023 - the same
                wrong.update(group)
    return None if wrong else tried(lambda: Server(name, **said), layers[-1].place, report, name)


def _server(name: str, said: Mapping[str, Any]) -> Server:
    """Return a server; in a file, a URL that no request could be sent to is a mistake right away.

    Raises:
        ValueError: something is wrong with it.
    """
    server = Server(name, **said)
    if server.url is not None:
        try:
            parts = urlsplit(server.url)
            usable = parts.hostname and parts.port != 0
        except ValueError:
            usable = False  # Its text shows parts of the URL, which may hold a password.
        if not usable:
            raise ValueError("url must name a host, and a port only by its number")
    return server


def _blame(layers: Sequence[Layer], keys: Sequence[str]) -> Place:
    """Return the place that says most about some keys: where the strongest layer that has one of them has it."""
    for layer in reversed(layers):
        for key in keys:
            if key in layer.said:
                return (*layer.place, key)
    return layers[1].place
