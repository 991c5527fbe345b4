"""The lists that hosts are shown, built once for each set of tags and kept until something changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final, Literal, TypeAlias

from recloser.catalog.entries import PromptEntry, ResourceEntry, ToolEntry
from recloser.catalog.named import Named
from recloser.catalog.resources import Resources
from recloser.catalog.shelf import Shelf

__all__ = ["Lists"]

MOST_KEPT: Final = 64
"""Lists kept at a time: a host asks for few sets of tags, but nothing keeps one from asking for many."""

What: TypeAlias = Literal["tools", "prompts", "resources", "templates"]


class Lists:
    """Built lists. Filled by whoever asks, emptied by the catalog on every change."""

    def __init__(
        self,
        shelves: Mapping[str, Shelf],
        tools: Named[ToolEntry],
        prompts: Named[PromptEntry],
        resources: Resources,
    ) -> None:
        self._shelves = shelves
        self._tools = tools
        self._prompts = prompts
        self._resources = resources
        self._kept: dict[tuple[What, frozenset[str] | None], list[Any]] = {}

    def clear(self) -> None:
        """Forget all that has been built."""
        self._kept.clear()

    def get(self, what: What, tags: AbstractSet[str] | None) -> list[Any]:
        """Return a list that is the caller's own: of everything, or of what bears one of the tags."""
        wanted = None if tags is None else frozenset(tags)
        known = self._kept.get((what, wanted))
        if known is None:
            if len(self._kept) >= MOST_KEPT:
                self._kept.clear()
            known = self._kept[what, wanted] = [
                self._shown(entry)
                for shelf in self._shelves.values()
                for entry in self._entries(shelf, what)
                if wanted is None or not wanted.isdisjoint(entry.tags)
            ]
        return known.copy()

    def _entries(self, shelf: Shelf, what: What) -> Iterable[ToolEntry | PromptEntry | ResourceEntry]:
        if what == "tools":
            return self._tools.seen(shelf)
        if what == "prompts":
            return self._prompts.seen(shelf)
        resources, templates = self._resources.seen(shelf)
        return resources if what == "resources" else templates

    def _shown(self, entry: ToolEntry | PromptEntry | ResourceEntry) -> Any:
        return self._resources.shown(entry) if isinstance(entry, ResourceEntry) else entry.shown
