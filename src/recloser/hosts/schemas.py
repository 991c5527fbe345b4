"""A tool's schema as the model APIs take it: one object on top, its arguments under names that they accept.

One schema that an API refuses costs the whole request, and with it the tools of every other server. So what can be
mended is mended, to something that permits no less, and what cannot is left out. No argument is renamed: it would reach
the server under a name that it does not know.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from recloser.hosts.keywords import wellformed

__all__ = ["Api", "Fitted", "fitted"]

_NOT_ON_TOP: Final = frozenset({"$ref", "allOf", "anyOf", "enum", "not", "oneOf"})
"""What OpenAI's API, or Anthropic's, refuses at the top of a schema, or what leads there."""


@dataclass(frozen=True, kw_only=True)
class Api:
    """Whose API it is, and which names of arguments it takes."""

    whose: str
    names: re.Pattern[str]


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A schema that an API takes, None where the tool has to be left out; what there is to tell of it."""

    schema: dict[str, Any] | None
    warning: str | None = None


def fitted(schema: Mapping[str, Any], api: Api) -> Fitted:
    """Return a schema as an API takes it, with nothing in it that the caller's own consists of."""
    try:
        found = _folded(wellformed(schema))
        properties: dict[str, Any] = found["properties"]
        refused = [name for name in properties if not api.names.fullmatch(name)]
        if not set(refused).isdisjoint(found.get("required", ())):
            return Fitted(schema=None, warning=f"left out, it needs an argument whose name {api.whose} API refuses")
        for name in refused:
            del properties[name]
        # Half a character, which text can hold and no request can, comes out of this as a question mark.
        plain = json.dumps(found, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")
        sent: dict[str, Any] = json.loads(plain)
    except (RecursionError, TypeError, ValueError):
        return Fitted(schema=None, warning="left out, its schema cannot be written as JSON")
    return Fitted(
        schema=sent,
        warning=f"optional arguments left out, {api.whose} API refuses their names: {len(refused)}"
        if refused
        else None,
    )


def _folded(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a well-formed schema as one object: what it is combined from on top becomes its own."""
    if _NOT_ON_TOP.isdisjoint(schema):
        return {"type": "object", "properties": {}, **schema} | {"type": "object"}
    arguments = _Arguments(schema)
    required = arguments.take(schema)
    rest = {name: value for name, value in schema.items() if name not in _NOT_ON_TOP | {"required"}}
    folded = {**rest, "type": "object", "properties": arguments.joined()}
    return {**folded, "required": required} if required else folded


class _Arguments:
    """The arguments that a schema and those that it is combined from know; written by `take`, while it goes through."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._followed: set[str] = set()
        self._found: dict[str, dict[str, Any]] = {}
        """For each argument its different schemas, under their text."""

    def take(self, schema: Any) -> list[str]:
        """Take the arguments of a schema in, and return the names of those that it needs whichever way it is met."""
        if not isinstance(schema, dict):
            return []
        for name, each in schema.get("properties", {}).items():
            self._found.setdefault(name, {})[json.dumps(each, sort_keys=True)] = each
        required = list(schema.get("required", ()))
        for each in (*schema.get("allOf", ()), self._target(schema.get("$ref"))):
            required += self.take(each)
        for way in ("anyOf", "oneOf"):
            needed = [self.take(each) for each in schema.get(way, ())]
            always = set(needed[0]).intersection(*needed[1:]) if needed else ()
            required += [name for name in (needed[0] if needed else ()) if name in always]
        return list(dict.fromkeys(required))

    def joined(self) -> dict[str, Any]:
        """Return a schema for each argument: its only one, or any of those that it has."""
        return {
            name: {"anyOf": list(each.values())} if len(each) > 1 else next(iter(each.values()))
            for name, each in self._found.items()
        }

    def _target(self, ref: str | None) -> dict[str, Any] | None:
        # Once each, or references that lead to each other, or twice to the next one, would go on for ever.
        if ref is None or not ref.startswith("#/") or ref in self._followed:
            return None
        self._followed.add(ref)
        found: Any = self._root
        for step in ref[2:].split("/"):
            found = found.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
        return wellformed(found) if isinstance(found, dict) else None
