"""Mistakes in a configuration: each with its place, all of them at once."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any, Final, TypeAlias

__all__ = ["DEEPEST", "ConfigurationError", "Mistake", "Place", "Report", "nearest", "show"]

Place: TypeAlias = tuple[str | int, ...]
"""A way from the top of a file to one value in it: keys, and indexes from 0."""

DEEPEST: Final = 64
"""Levels of tables and lists in a configuration, and of references within the defaults of others, at the most."""

_PLAIN_KEY: Final = re.compile(r"[A-Za-z0-9_$<>-]+")


def show(place: Place) -> str:
    """Return a place as people write it: `recloser.servers.search.retry`, `mcpServers."My files".args[0]`."""
    text = ""
    for part in place:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            key = part if _PLAIN_KEY.fullmatch(part) else json.dumps(part, ensure_ascii=not part.isprintable())
            text += f".{key}" if text else key
    return text


def nearest(word: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """Return the known word that somebody who wrote `word` most likely meant, or None."""
    by_lower = {each.lower(): each for each in known}
    found = get_close_matches(word.lower(), by_lower, n=1, cutoff=cutoff)
    return by_lower[found[0]] if found else None


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """One thing in a configuration that is not as it must be."""

    file: str | None
    """The file, or None where the configuration was given as a mapping."""
    path: str
    """The place in it, such as `recloser.servers.search.retry.atempts`; empty for the whole of it."""
    message: str
    """What was expected and what was found; shows no value that may be secret."""
    hint: str | None = None
    """What to do about it: the nearest known key, most often."""
    line: int | None = None
    """Where it stands in the file, from 1, as far as that is known."""
    column: int | None = None

    def __str__(self) -> str:
        numbers = [str(number) for number in (self.line, self.column) if number is not None]
        where = ":".join([self.file or "configuration", *numbers])
        parts = [where, *([self.path] if self.path else []), self.message]
        return ": ".join(parts) + (f"; {self.hint}" if self.hint else "")


class ConfigurationError(ValueError):
    """A configuration cannot be used; `mistakes` holds everything that is wrong with it."""

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        lines = [str(mistake) for mistake in self.mistakes]
        if len(lines) == 1:
            super().__init__(lines[0])
        else:
            super().__init__("\n  ".join([f"{len(lines)} mistakes in the configuration:", *lines]))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.mistakes,)


class Report:
    """What was found while one configuration was read. All who read it write here; `load` reads it at the end."""

    def __init__(self, file: str | None, lines: Mapping[Place, int] | None = None) -> None:
        self._file = file
        self._lines = lines or {}
        self._found: dict[tuple[Place, str], Mistake] = {}
        self._meant: list[Place] = []
        self._notes: dict[str, None] = {}

    def mistake(self, place: Place, message: str, hint: str | None = None, *, meant: str | None = None) -> None:
        """Note a mistake, once; `meant` is the key that was most likely meant in place of the last one, "" for none."""
        self._meant.append(place if meant is None else (*place[:-1], meant))
        made = Mistake(file=self._file, path=show(place), message=message, hint=hint, line=self._line(place))
        self._found.setdefault((place, message), made)

    def note(self, text: str) -> None:
        """Note something that is no mistake but may surprise."""
        self._notes[text] = None

    @property
    def notes(self) -> tuple[str, ...]:
        """The notes so far."""
        return tuple(self._notes)

    def wrong_below(self, place: Place) -> set[str]:
        """Return the keys directly below a place in which, or below which, there are mistakes."""
        depth = len(place)
        return {str(each[depth]) for each in self._meant if len(each) > depth and each[:depth] == place}

    def close(self, redact: Callable[[str], str]) -> None:
        """Raise all mistakes, if there are any, with known secrets taken out of their texts.

        Raises:
            ConfigurationError: there are some.
        """
        if self._found:
            raise ConfigurationError(
                replace(each, message=redact(each.message), hint=redact(each.hint) if each.hint else None)
                for each in sorted(self._found.values(), key=lambda each: each.line or 0)
            )

    def _line(self, place: Place) -> int | None:
        for end in range(len(place), 0, -1):
            if place[:end] in self._lines:
                return self._lines[place[:end]]
        return None
