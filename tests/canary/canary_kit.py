"""Canaries: secrets that stand nowhere else, one for each way in, and how to look for them."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from typing import Final

WAYS_IN: Final[dict[str, str]] = {
    # What a caller hands in.
    "argument": "ghp_{}0123456789abcdef",
    "named": "{}",  # the value of an argument called `password`
    "tool": "ghp_{}0123456789abcdef",
    "uri": "https://u:{}@nowhere.example/x",
    "prompt": "ghp_{}0123456789abcdef",
    "caller": "sk-{}0123456789abcdef",
    # What a server answers.
    "result": "Bearer {}",
    "structured": "{}",  # the value of a field called `api_key`
    "message": "AKIA{}",
    "exception": "glpat-{}0123456789",
    "unauthorized": "xoxb-{}-0123456789",
    "stderr": "Authorization: Bearer {}",
    "privatekey": "{}",  # a line in the middle of a private key on stderr
    "listed": "ghp_{}0123456789abcdef",  # the name of a tool that a server offers
    # What the configuration says.
    "header": "{}",
    "environment": "{}",
    "urluser": "{}",
    "urlquery": "{}",
    "secret": "{}",  # handed to the router as such
}
"""The shape that each canary has; what has none is known by its name or by the configuration."""

PLAIN: Final = ("argument", "result")
"""Contents without any shape: nothing but not telling contents at all keeps these in."""


def mark(way: str) -> str:
    """The part of a canary that is looked for: sixteen capitals and digits, as all of the shapes allow."""
    return f"CNRY{way.upper()}XXXXXXXXXXXX"[:16]


def canary(way: str) -> str:
    """What is put in at one way."""
    return WAYS_IN[way].format(mark(way))


def plain(way: str) -> str:
    """A content of no shape."""
    return f"harmless {plain_mark(way)} words"


def plain_mark(way: str) -> str:
    return f"PLN{way.upper()}"


MARKS: Final = {way: mark(way) for way in WAYS_IN}
PLAIN_MARKS: Final = {f"plain {way}": plain_mark(way) for way in PLAIN}
assert len({*MARKS.values()}) == len(WAYS_IN)


def _forms(text: str) -> Iterator[str]:
    yield text
    data = text.encode()
    for shift in range(3):
        first, last = -(-shift * 8 // 6), (shift + len(data)) * 8 // 6
        yield base64.b64encode(b"\0" * shift + data).decode()[first:last]


def found(text: str, *marks: Mapping[str, str]) -> set[str]:
    """The ways in whose canary stands in a text, in the plain or in base64, also where lines were broken."""
    joined = text + re.sub(r"[\s\\]|\\n", "", text)
    wanted = {way: one for each in marks or (MARKS,) for way, one in each.items()}
    return {way for way, one in wanted.items() if any(form in joined for form in _forms(one))}
