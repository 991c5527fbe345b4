"""Lists without the entries that make no sense: one of them must not take all others of its server away."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

import mcp_types as types
from pydantic import ValidationError

__all__ = ["sound"]

_log = logging.getLogger("recloser")

_ENTRIES: Final[Mapping[str, tuple[str, type[Any]]]] = {
    "tools/list": ("tools", types.Tool),
    "resources/list": ("resources", types.Resource),
    "resources/templates/list": ("resourceTemplates", types.ResourceTemplate),
    "prompts/list": ("prompts", types.Prompt),
}
"""Where the entries of a list are, and what each must be."""
_TOLD: Final = 3
"""Entries that a warning tells of one by one."""


def sound(server: str, method: str, answer: dict[str, Any]) -> dict[str, Any]:
    """Return a page of a list without the entries that do not keep to the protocol; a warning tells what is wrong.

    An answer that is no page at all is returned as it is.
    """
    if method not in _ENTRIES:
        return answer
    key, kind = _ENTRIES[method]
    entries = answer.get(key)
    if not isinstance(entries, list):
        return answer
    wrong: dict[int, str] = {}
    for number, entry in enumerate(entries):
        try:
            kind.model_validate(entry, by_name=False)
        except ValidationError as error:
            # The name of a field is the protocol's; what is below it, a server may call as it likes.
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            wrong[number] = f"{key}[{number}].{first['loc'][0]}" if first["loc"] else f"{key}[{number}]"
    if not wrong:
        return answer
    told = ", ".join(list(wrong.values())[:_TOLD])
    more = f" and {len(wrong) - _TOLD} more" if len(wrong) > _TOLD else ""
    _log.warning("server %s: entries that do not keep to the protocol are left out: %s%s", server, told, more)
    return {**answer, key: [entry for number, entry in enumerate(entries) if number not in wrong]}
