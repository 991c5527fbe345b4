"""Qualified names: `server__tool`, valid for every LLM API and never shared by two tools.

A name is a pure function of its server and tool, so adding, losing or reordering servers renames nothing. Why two
different pairs never share one:

* A *plain* name is `server__tool` unchanged. A server's name holds no `__` and ends in a letter or digit, so the first
  `__` of a plain name is the seam, and both parts can be read back: plain names are distinct.
* An *altered* name ends in `_` and ten hex digits of a hash over both originals; a pair whose plain name would end like
  that is altered too. So no plain name is an altered one, and altered names are as distinct as the hashes.

Every qualified name holds `__`; a bare name never does (see `bare`), so the two kinds cannot meet either.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

__all__ = ["MAX_NAME", "qualify", "read_back"]

MAX_NAME: Final = 64
"""The longest name that every LLM API takes."""

SEAM: Final = "__"
_DIGITS: Final = 10
_ROOM: Final = MAX_NAME - _DIGITS - 1
_SERVER_LEAST: Final = 24
"""How much of a long server name is kept at least, so that a reader still knows whose tool it is."""

_FORBIDDEN: Final = re.compile(r"[^A-Za-z0-9_-]")
_HASHED: Final = re.compile(rf"_[0-9a-f]{{{_DIGITS}}}\Z")


def qualify(server: str, tool: str) -> str:
    """Return the qualified name of a server's tool or prompt: at most 64 letters, digits, `_` and `-`."""
    plain = f"{server}{SEAM}{tool}"
    if len(plain) <= MAX_NAME and not _FORBIDDEN.search(plain) and not _HASHED.search(plain):
        return plain
    head, tail = _clean(server), _clean(tool)
    head = head[: max(_SERVER_LEAST, _ROOM - len(SEAM) - len(tail))]
    return f"{head}{SEAM}{tail}"[:_ROOM] + "_" + _hash(server, tool)


def read_back(name: str, server: str) -> str | None:
    """Return which tool of a server a qualified name seems to mean, or None if it cannot be one of this server's.

    Exact for a plain name; of an altered one only what is left of the tool's name, which may not be the whole.
    """
    if (own := _after(name, server)) is not None and qualify(server, own) == name:
        return own
    if not _HASHED.search(name):
        return None
    stem, head = name[: -_DIGITS - 1], _clean(server)
    for length in range(len(head), min(len(head), _SERVER_LEAST) - 1, -1):
        if (rest := _after(stem, head[:length])) is not None:
            return rest
    return None


def _after(name: str, server: str) -> str | None:
    seam = server + SEAM
    return name[len(seam) :] if name.startswith(seam) else None


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("_", text)


def _hash(server: str, tool: str) -> str:
    # A server's name holds no line break, so the two parts cannot run into each other. Names come from servers and may
    # hold lone surrogates, which strict UTF-8 would refuse.
    text = f"{server}\n{tool}".encode("utf-8", "surrogatepass")
    return hashlib.sha256(text).hexdigest()[:_DIGITS]
