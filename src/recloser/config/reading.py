"""Files to plain data: JSON as editors allow it (comments, trailing commas), and TOML, each with its line numbers."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NoReturn

from recloser.config.mistakes import DEEPEST, ConfigurationError, Mistake, Place, show

__all__ = ["FILES", "Document", "find", "read"]

FILES: Final = ("recloser.toml", "mcp.json", ".mcp.json", ".vscode/mcp.json")
"""Where a configuration is looked for in a directory, in this order."""


_NAMED: Final = 4
"""Parts of the place of something that is nested too deeply that are told."""


@dataclass(frozen=True, kw_only=True)
class Document:
    """What a configuration says, before anything of it is understood."""

    data: Mapping[str, Any]
    file: Path | None = None
    lines: Mapping[Place, int] = field(default_factory=dict)
    """The line of each key, as far as it is known."""
    twice: tuple[Place, ...] = ()
    """Keys that stand in the file more than once."""


def find(directory: str | Path) -> Path | None:
    """Return the configuration file of a directory, or None if it has none of [`FILES`][]."""
    for name in FILES:
        path = Path(directory) / name
        if path.is_file():
            return path
    return None


def read(source: str | Path | Mapping[str, Any]) -> Document:
    """Return what a file or mapping says.

    Raises:
        ConfigurationError: it cannot be read, is neither JSON nor TOML, or is nested too deeply; line and column, or
            the place, are in the mistake.
    """
    document = Document(data=source) if isinstance(source, Mapping) else _read(Path(source))
    if (place := _too_deep(document.data)) is not None:
        # All that follows goes down by recursion. The first keys say where it is; the others would fill a screen.
        place, file = place[:_NAMED], document.file
        message = f"is nested too deeply: {DEEPEST} levels are the most"
        mistake = Mistake(
            file=None if file is None else str(file), path=show(place), message=message, line=document.lines.get(place)
        )
        raise ConfigurationError([mistake])
    return document


def _read(file: Path) -> Document:
    text = _text(file)
    return _toml(file, text) if file.suffix.lower() == ".toml" else _json(file, text)


def _too_deep(data: Mapping[str, Any]) -> Place | None:
    """Return the place of something that is nested too deeply, if there is such; without recursion."""
    found: list[tuple[Any, Place]] = [(data, ())]
    while found:
        value, place = found.pop()
        if len(place) > DEEPEST:
            return place
        items = value.items() if isinstance(value, Mapping) else enumerate(value)
        found.extend(
            (inner, (*place, key if isinstance(key, int) else str(key)))
            for key, inner in items
            if isinstance(inner, Mapping | list | tuple)
        )
    return None


def _refuse(file: Path, message: str, line: int | None = None, column: int | None = None) -> NoReturn:
    raise ConfigurationError([Mistake(file=str(file), path="", message=message, line=line, column=column)])


def _text(file: Path) -> str:
    try:
        return file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
    except UnicodeDecodeError as error:
        problem = f"expected a file in UTF-8, found another encoding at byte {error.start}"
    except ValueError:
        problem = "is no name of a file"
    _refuse(file, problem)


def _table(file: Path, data: object) -> dict[str, Any]:
    if not isinstance(data, dict):
        _refuse(file, "expected an object with mcpServers, servers or recloser in it")
    return data


# --- JSON

_COMMENT: Final = re.compile(r'"(?:[^"\\\n]|\\.)*+"|//[^\n]*+|/\*(?s:.*?)(?:\*/|(?P<open>\Z))')
_TRAILING: Final = re.compile(r'"(?:[^"\\\n]|\\.)*+"|,(?=\s*+[}\]])')
_NO_BREAK: Final = re.compile(r"[^\n]")
_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*+"|[{}\[\]:,]|[^\s{}\[\]:,"]++')


def _blank(found: re.Match[str]) -> str:
    """Blank a comment or comma but keep a string, so that every line and column stays where it was."""
    text = found.group()
    return text if text.startswith('"') else _NO_BREAK.sub(" ", text)


def _check_comments(file: Path, text: str) -> None:
    for found in _COMMENT.finditer(text):
        if found["open"] is not None:
            line, column = text.count("\n", 0, found.start()) + 1, found.start() - text.rfind("\n", 0, found.start())
            _refuse(file, "expected a */ that ends the comment", line, column)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"expected a number, found {name}")


def _json(file: Path, text: str) -> Document:
    _check_comments(file, text)
    plain = _TRAILING.sub(_blank, _COMMENT.sub(_blank, text))
    try:
        data = json.loads(plain, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        _refuse(file, f"expected JSON: {error.msg}", error.lineno, error.colno)
    except RecursionError:
        _refuse(file, "is nested too deeply")
    except ValueError as error:
        _refuse(file, str(error))
    table = _table(file, data)
    lines: dict[Place, int] = {}
    twice: list[Place] = []
    for place, line in _json_places(plain):
        if place in lines:
            twice.append(place)
        lines[place] = line
    return Document(data=table, file=file, lines=lines, twice=tuple(twice))


@dataclass
class _Frame:
    """An object or array that is being walked through; changed by `_json_places` alone."""

    place: Place
    at: str | int
    """The current key or index."""
    awaits_key: bool


def _json_places(text: str) -> Iterator[tuple[Place, int]]:
    """Yield the place and line of every key and element of valid JSON."""
    frames = [_Frame((), "", awaits_key=False)]
    line, seen = 1, 0
    for found in _TOKEN.finditer(text):
        line += text.count("\n", seen, found.start())
        seen = found.start()
        mark, frame = found.group(), frames[-1]
        if isinstance(frame.at, int) and mark not in ("]", ","):
            yield (*frame.place, frame.at), line
        if mark in ("{", "["):
            place = (*frame.place, frame.at) if len(frames) > 1 else ()
            frames.append(_Frame(place, 0 if mark == "[" else "", awaits_key=mark == "{"))
        elif mark in ("}", "]"):
            frames.pop()
        elif mark == ",":
            if isinstance(frame.at, int):
                frame.at += 1
            else:
                frame.awaits_key = True
        elif frame.awaits_key:
            frame.at, frame.awaits_key = str(json.loads(mark)), False
            yield (*frame.place, frame.at), line


# --- TOML

_TOML_PLACE: Final = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_TOML_TABLE: Final = re.compile(r"\s*\[([^\[\]]+)\]\s*(?:#.*)?")
_TOML_KEY: Final = re.compile(
    r"""\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*="""
)
_TOML_PART: Final = re.compile(r"""[A-Za-z0-9_-]+|"[^"]*"|'[^']*'""")


def _toml(file: Path, text: str) -> Document:
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        found = _TOML_PLACE.search(message)
        line, column = (int(found[1]), int(found[2])) if found and found[1] else (None, None)
        _refuse(file, f"expected TOML: {_TOML_PLACE.sub('', message)}", line, column)
    except RecursionError:
        _refuse(file, "is nested too deeply")
    return Document(data=data, file=file, lines=dict(_toml_places(text)))


def _toml_places(text: str) -> Iterator[tuple[Place, int]]:
    """Yield the place and line of the keys that stand on lines of their own: enough to point at."""
    table: Place = ()
    for number, line in enumerate(text.splitlines(), 1):
        if found := _TOML_TABLE.fullmatch(line):
            table = _toml_parts(found[1])
            yield table, number
        elif found := _TOML_KEY.match(line):
            yield (*table, *_toml_parts(found[1])), number


def _toml_parts(text: str) -> Place:
    return tuple(part.strip("\"'") for part in _TOML_PART.findall(text))
