"""What one server offers, as it was listed last."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import mcp_types as types

__all__ = ["Listing"]


@dataclass(frozen=True, kw_only=True)
class Listing:
    """All lists of one server; two listings are equal when they offer the same, whenever they expire."""

    tools: tuple[types.Tool, ...] = ()
    resources: tuple[types.Resource, ...] = ()
    templates: tuple[types.ResourceTemplate, ...] = ()
    prompts: tuple[types.Prompt, ...] = ()
    instructions: str | None = None
    """What the server says about its own use."""
    expires_at: float | None = field(default=None, compare=False)
    """When it should be fetched again, in seconds of `loop.time()`; None where the server said no such thing."""

    def __post_init__(self) -> None:
        for name in ("tools", "resources", "templates", "prompts"):
            offered: Iterable[object] = getattr(self, name)
            object.__setattr__(self, name, tuple(offered))
