"""What a terminal would obey, and what nothing can write: taken out of texts that others have written."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["CONTROL", "printable"]

# Kept: newline and tab. A carriage return, an escape sequence, a bidirectional override would let a server's text forge
# lines on a terminal; a lone surrogate cannot be written at all.
_ESCAPE: Final = re.compile(
    r"\x1b(?:\[[0-?]{0,64}[ -/]{0,8}[@-~]|[\]PX^_][^\x07\x1b]{0,4096}(?:\x07|\x1b\\)|[ -/]{0,8}[0-~])?"
)
CONTROL: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""One character that a terminal obeys."""
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def printable(text: str) -> str:
    """Return a text that does nothing to a terminal but fill lines of it."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _SURROGATE.sub("\ufffd", CONTROL.sub("", _ESCAPE.sub("", text)))
