"""What of others is told in a log: of libraries that work for us, and of exceptions that are not ours.

Their texts may hold what nobody else sees: a URL in full, or what a server or a caller has sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

__all__ = ["OTHERS", "QUOTING", "is_other", "shorten_urls", "texts_of_quoting", "without_texts"]

OTHERS: Final = ("mcp", "client", "httpx2", "httpcore2", "uvicorn", "opentelemetry")
"""Libraries that work for us, by their loggers; heard here where nobody else in the process hears them.

`client` is the SDK's too, of its client's sessions.
"""

QUOTING: Final = frozenset({"pydantic", "pydantic_core", "jsonschema", "referencing", "mcp", "mcp_types"})
"""Packages whose exceptions quote what they were given, such as a server's result."""

LEFT_OUT: Final = "(its text is left out, since it may quote what was sent)"
"""What stands for the text of an exception."""

_DEEPEST: Final = 200
"""Exceptions that are looked at, of all that belong to one; the texts of further ones are left out."""
_AFTER_SCHEME: Final = re.compile(r"(?<=://)[^\s\"'<>]++")
_AUTHORITY: Final = re.compile(r"[^/?#\\]*+")


def is_other(logger: str) -> bool:
    """Return whether a logger is one of a library that works for us."""
    return logger.partition(".")[0] in OTHERS


def shorten_urls(text: str) -> str:
    """Return a text with scheme, host and port of its URLs only; where more stood, a mark."""
    return _AFTER_SCHEME.sub(_authority, text) if "://" in text else text


def _authority(found: re.Match[str]) -> str:
    whole = found.group()
    authority = _AUTHORITY.match(whole)
    assert authority is not None
    rest = whole[authority.end() :]
    return authority.group().rpartition("@")[2] + ("/…" if rest.strip("/") else rest)


def texts_of_quoting(error: BaseException) -> frozenset[str] | None:
    """Return the texts of those exceptions that quote, of one and all that belong to it; None where they are too many.

    One that belongs to another is in its group, its cause, or what was being handled when it was raised.
    """
    seen: dict[int, BaseException] = {}
    todo: list[BaseException | None] = [error]
    while todo:
        one = todo.pop()
        if one is None or id(one) in seen:
            continue
        if len(seen) >= _DEEPEST:
            return None
        seen[id(one)] = one
        todo += (one.__cause__, one.__context__)
        if isinstance(one, BaseExceptionGroup):
            todo += one.exceptions
    return frozenset(text for one in seen.values() if _quotes(one) for text in _texts(one))


def without_texts(told: Any, quoting: frozenset[str] | None) -> Any:
    """Return what was made of an exception, stack by stack, without the texts that quote and with short URLs.

    Args:
        told: what structlog makes of one: its stacks, those of a group's members within them.
        quoting: what `texts_of_quoting` found; None leaves out all texts.
    """
    for stack in told:
        hidden = quoting is None or any(text in stack["exc_value"] for text in quoting)
        stack["exc_value"] = LEFT_OUT if hidden else shorten_urls(stack["exc_value"])
        stack["exc_notes"] = [] if hidden else [shorten_urls(note) for note in stack["exc_notes"]]
        for member in stack["exceptions"]:
            without_texts(member, quoting)
    return told


def _quotes(error: BaseException) -> bool:
    return any(kind.__module__.partition(".")[0] in QUOTING for kind in type(error).__mro__)


def _texts(error: BaseException) -> Iterator[str]:
    """Yield an exception's text, which another one may repeat within its own; an empty one says nothing."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - boundary: an exception that cannot be read is not read by anybody else either
        return
    if text:
        yield text
