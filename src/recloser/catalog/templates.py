"""URI templates (RFC 6570): which variables one has, and whether a URI can have been made from it."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from mcp.shared.uri_template import UriTemplate

__all__ = ["matches", "template_variables"]

_EXPRESSION: Final = re.compile(r"\{([^{}]*)\}")
_OPERATORS: Final = "+#./;?&"


def template_variables(template: str) -> list[str]:
    """Return the names of a template's variables, in order and each once."""
    found: dict[str, None] = {}
    for body in _EXPRESSION.findall(template):
        for spec in body.lstrip(_OPERATORS).split(","):
            if name := spec.partition(":")[0].rstrip("*").strip():
                found[name] = None
    return list(found)


def matches(template: str, uri: str) -> bool:
    """Return whether a URI fits a template; takes time linear in the URI, whatever template a server thinks up."""
    parsed = _parse(template)
    return _fits_literals(parsed, uri) if isinstance(parsed, tuple) else parsed.match(uri) is not None


@lru_cache(maxsize=4096)
def _parse(template: str) -> UriTemplate | tuple[str, ...]:
    """Return the SDK's parsed template, or the literal pieces where it uses what the SDK does not support."""
    # Loaded on first use: it brings the whole SDK along, which a catalog of tools alone does not need.
    from mcp.shared.uri_template import InvalidUriTemplate, UriTemplate

    try:
        return UriTemplate.parse(template)
    except InvalidUriTemplate:
        return tuple(_EXPRESSION.split(template)[::2])


def _fits_literals(pieces: tuple[str, ...], uri: str) -> bool:
    """Return whether all literal pieces occur in order, the first one at the beginning, the last one at the end."""
    first, *middle = pieces
    if not middle:
        return uri == first
    last = middle.pop()
    if not uri.startswith(first) or not uri.endswith(last):
        return False
    at, end = len(first), len(uri) - len(last)
    for piece in middle:
        at = uri.find(piece, at, end)
        if at < 0:
            return False
        at += len(piece)
    return at <= end
