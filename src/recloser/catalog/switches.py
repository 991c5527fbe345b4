"""What an operator has switched off."""

from __future__ import annotations

from typing import Literal, TypeAlias

__all__ = ["Meant", "Switches"]

Meant: TypeAlias = "tuple[Literal['server', 'tag'], str] | tuple[Literal['tool'], str, str]"
"""A server, a tag, or a tool by its server and own name."""


class Switches:
    """Servers, tools and tags that are switched off, also ahead of their listing. Changed by the catalog alone."""

    def __init__(self) -> None:
        self._off: set[Meant] = set()
        self._tags: frozenset[str] = frozenset()

    @property
    def used(self) -> bool:
        """Whether anything at all is switched off."""
        return bool(self._off)

    def turn(self, meant: Meant, *, on: bool) -> None:
        """Switch something off, or on again."""
        (self._off.discard if on else self._off.add)(meant)
        self._tags = frozenset(off[1] for off in self._off if off[0] == "tag")

    def forget(self, server: str) -> None:
        """Forget the switches of a server that is removed, and of its tools."""
        self._off = {off for off in self._off if off[0] == "tag" or off[1] != server}

    def allow(self, server: str, tags: frozenset[str] = frozenset(), tool: str | None = None) -> bool:
        """Return whether something of a server may be seen and used; `tool` is a tool's own name."""
        if not self._off:
            return True
        if ("server", server) in self._off or not self._tags.isdisjoint(tags):
            return False
        return tool is None or ("tool", server, tool) not in self._off
