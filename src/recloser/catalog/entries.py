"""What a name resolves to: the server to ask, the server's own name for the thing, and how it is shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import mcp_types as types

from recloser.options import Server

__all__ = ["Mark", "PromptEntry", "ResourceEntry", "ToolEntry", "is_safe", "marked", "tags_of"]

Shown = TypeVar("Shown", types.Tool, types.Resource, types.ResourceTemplate, types.Prompt)


@dataclass(frozen=True, kw_only=True)
class ToolEntry:
    """A tool that can be called, or that may be one once its server has been listed."""

    name: str
    """The name under which it is shown: qualified, or bare where the catalog shows bare names."""
    qualified: str
    """Its stable name, whatever is shown."""
    server: str
    own: str
    """The server's own name for it; a guess while `provisional`."""
    tool: types.Tool | None = None
    """The tool as the server listed it; None while the server is still to be listed."""
    shown: types.Tool | None = None
    """The tool as hosts see it: renamed, and marked in `_meta`."""
    safe: bool = False
    """Whether a call is known to be safe to repeat, by configuration or by the hints of a trusted server."""
    tags: frozenset[str] = frozenset()

    @property
    def provisional(self) -> bool:
        """Whether the server is still to be listed: it must be asked, and the name resolved again after that."""
        return self.tool is None


@dataclass(frozen=True, kw_only=True)
class PromptEntry:
    """A prompt that can be fetched, or that may be one once its server has been listed."""

    name: str
    qualified: str
    server: str
    own: str
    """The server's own name for it; a guess while `provisional`."""
    prompt: types.Prompt | None = None
    shown: types.Prompt | None = None
    tags: frozenset[str] = frozenset()

    @property
    def provisional(self) -> bool:
        """Whether the server is still to be listed: it must be asked, and the name resolved again after that."""
        return self.prompt is None


@dataclass(frozen=True, kw_only=True)
class ResourceEntry:
    """A resource that can be read: listed, made from a template, or asked for by an explicit `server:uri`."""

    server: str
    uri: str
    """The server's own URI for it, or its template."""
    resource: types.Resource | None = None
    """The resource as the server listed it, where it did."""
    template: types.ResourceTemplate | None = None
    """The template that it is or was made from, where that is known."""
    shown: types.Resource | types.ResourceTemplate | None = None
    """Marked in `_meta`; shown with `server:uri` instead of its own URI where several servers have that."""
    tags: frozenset[str] = frozenset()

    @property
    def listed(self) -> bool:
        """Whether its server lists it, or a template that it can have been made from."""
        return self.resource is not None or self.template is not None


@dataclass(frozen=True, kw_only=True)
class Mark:
    """Whether a server can be asked now, as it is shown in the `_meta` of all that it offers."""

    available: bool = False
    since: float | str | None = None
    """Since when it has been unavailable, as the router says it; passed on as it is."""
    code: str | None = None
    """Why, as a code of the error table."""

    def meta(self, server: str) -> dict[str, Any]:
        """Return the mark as `_meta` entries."""
        told: dict[str, Any] = {"recloser/server": server}
        if not self.available:
            told["recloser/available"] = False
            stated = {"recloser/since": self.since, "recloser/code": self.code}
            told |= {key: value for key, value in stated.items() if value is not None}
        return told


def marked(shown: Shown, server: str, mark: Mark, **changes: Any) -> Shown:
    """Return what a server offers with the mark in its `_meta`, and some fields changed.

    Only `_meta` tells of an outage: title and description go into a model's prompt, which would be cached anew with
    every outage. The model learns of it from the answer to a call.
    """
    return shown.model_copy(update={**changes, "meta": {**(shown.meta or {}), **mark.meta(server)}})


def is_safe(server: Server, own: str, annotations: types.ToolAnnotations | None = None) -> bool:
    """Return whether a tool is known to be safe to repeat: configuration first, hints of a trusted server then."""
    if "*" in server.idempotent or own in server.idempotent:
        return True
    if not server.trusted or annotations is None:
        return False
    return annotations.read_only_hint is True or annotations.idempotent_hint is True


def tags_of(server: Server, own: str, meta: Mapping[str, Any] | None = None) -> frozenset[str]:
    """Return the tags that the configuration gives, and those that the server itself states in `_meta`."""
    more = server.tool_tags.get(own)
    configured = server.tags.union(more) if more else server.tags  # mostly one empty set for all
    if not meta:
        return configured
    places = [meta, *(place for key in ("fastmcp", "_fastmcp") if isinstance(place := meta.get(key), Mapping))]
    stated = (place.get("tags") for place in places)
    said = {tag for tags in stated if isinstance(tags, list) for tag in tags if isinstance(tag, str)}
    return configured | said
