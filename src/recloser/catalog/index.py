"""Names to entries, in constant time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, TypeVar

__all__ = ["Index"]

E = TypeVar("E")


class Index(Generic[E]):
    """Firm names, each of one entry, and aliases, which several entries may share. Changed by the catalog alone."""

    __slots__ = ("_aliases", "_firm")

    def __init__(self) -> None:
        self._firm: dict[str, E] = {}
        self._aliases: dict[str, list[E]] = {}

    def add(self, entry: E, firm: Iterable[str], aliases: Iterable[str]) -> None:
        """Make an entry known; its firm names must be free."""
        for name in firm:
            self._firm[name] = entry
        for alias in aliases:
            self._aliases.setdefault(alias, []).append(entry)

    def drop(self, entry: E, firm: Iterable[str], aliases: Iterable[str]) -> None:
        """Forget an entry that was added with the same names."""
        for name in firm:
            del self._firm[name]
        for alias in aliases:
            sharers = self._aliases[alias]
            sharers.remove(entry)
            if not sharers:
                del self._aliases[alias]

    def firm(self, name: str) -> E | None:
        """Return the one entry of a firm name."""
        return self._firm.get(name)

    def sharers(self, alias: str) -> list[E]:
        """Return the entries of an alias."""
        return self._aliases.get(alias, [])
