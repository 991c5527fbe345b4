"""What differs between tools and prompts, which are named alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from recloser.catalog.entries import PromptEntry, ToolEntry
from recloser.catalog.shelf import Shelf

__all__ = ["PROMPTS", "TOOLS", "Kind"]

E = TypeVar("E", bound=ToolEntry | PromptEntry)


@dataclass(frozen=True, kw_only=True)
class Kind(Generic[E]):
    """One kind of named thing."""

    what: str
    """What it is called in a sentence."""
    code: str
    """The error code of a name that leads nowhere."""
    offered: Callable[[Shelf], Mapping[str, Any]]
    """What a server offers, by its own names."""
    entries: Callable[[Shelf], dict[str, E]]
    """Where a server's entries stand, by its own names."""
    make: Callable[[Shelf, str, bool], E]
    """Make the entry of something offered, by its own name; the flag says whether it is shown bare."""
    guess: Callable[[Shelf, str, str], E | None]
    """Make an entry of a qualified and a presumed own name for a server still to be listed; None where excluded."""


TOOLS: Final[Kind[ToolEntry]] = Kind(
    what="tool",
    code="unknown_tool",
    offered=lambda shelf: shelf.offered_tools,
    entries=lambda shelf: shelf.tools,
    make=Shelf.tool_entry,
    guess=Shelf.guessed_tool,
)

PROMPTS: Final[Kind[PromptEntry]] = Kind(
    what="prompt",
    code="invalid_request",
    offered=lambda shelf: shelf.offered_prompts,
    entries=lambda shelf: shelf.prompts,
    make=Shelf.prompt_entry,
    guess=Shelf.guessed_prompt,
)
