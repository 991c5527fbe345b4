"""What can be seen of the catalog from outside, and how often that has changed."""

from __future__ import annotations

from dataclasses import dataclass, field

import mcp_types as types

__all__ = ["Revisions", "View"]


@dataclass(frozen=True, kw_only=True)
class View:
    """What can be seen of one server; a change of it, other than of the order alone, is a change of the catalog."""

    available: bool = False
    tools: dict[str, types.Tool | None] = field(default_factory=dict)
    """By the names under which they are shown, as are the prompts; resources and templates by URI."""
    prompts: dict[str, types.Prompt | None] = field(default_factory=dict)
    resources: dict[str, types.Resource | None] = field(default_factory=dict)
    templates: dict[str, types.ResourceTemplate | None] = field(default_factory=dict)
    shadowed: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Revisions:
    """How often each list has changed: whoever remembers a number knows whether a client must be told.

    A server that becomes unavailable or available again changes marks only, no list.
    """

    tools: int = 0
    prompts: int = 0
    resources: int = 0
    templates: int = 0

    def after(self, before: View, now: View) -> Revisions:
        """Return the numbers after what was seen before has become what is seen now."""
        counts = {name: getattr(self, name) for name in ("tools", "prompts", "resources", "templates")}
        return Revisions(
            **{name: count + (getattr(before, name) != getattr(now, name)) for name, count in counts.items()}
        )
