"""A text whose lines are put together again, as they may have been before somebody broke, quoted or framed them."""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import Final

__all__ = ["Joined", "has_lines", "is_continued"]

_LINE_END: Final = re.compile(r"\n|\\[rn]")
_EDGE: Final = " \t>|│┃"
"""What stands between a line's end and its text where somebody has quoted, indented or framed it."""
_FIRST: Final = f"{_EDGE}+-#*"
"""What stands there in a diff or a comment too. It may be a part of a secret as well."""
_LAST: Final = f"{_EDGE}\\="
"""What a shell and mails put where a line goes on. It may be a part of a secret as well."""
_CONTINUED: Final = re.compile(r"[\\=][ \t]{0,4}+(?:\n|\\[rn])|(?:\n|\\[rn])[ \t>|│┃]*+[+\-#*]")


def has_lines(text: str) -> bool:
    """Return whether a text has more lines than one."""
    return _LINE_END.search(text) is not None


def is_continued(text: str) -> bool:
    """Return whether a line of a text may go on in the next one by a sign that is none of the text's own."""
    return _CONTINUED.search(text) is not None


class Joined:
    """The lines of a text in one; never changes.

    Args:
        text: of several lines.
        glue: what is put between them: a blank, where they may have been broken at one.
        continued: whether the signs of a line that goes on, of a diff and of a comment are left out.
    """

    def __init__(self, text: str, *, glue: str = "", continued: bool = False) -> None:
        first, last = (_FIRST, _LAST) if continued else (_EDGE, _EDGE)
        kept: list[str] = []  # the text of each line, its edges left out
        self._places: list[int] = []  # where it stands
        self._offsets: list[int] = []  # where it stands in the whole
        at = length = 0
        for line in _LINE_END.split(text):
            begins = line.lstrip(first)
            words = begins.rstrip(last)
            kept.append(words)
            self._places.append(at + len(line) - len(begins))
            self._offsets.append(length)
            length += len(words) + len(glue)
            at += len(line) + (2 if text.startswith("\\", at + len(line)) else 1)
        self.text = glue.join(kept)

    def place(self, offset: int) -> int:
        """Return where in the text with lines a character stands."""
        line = bisect_right(self._offsets, offset) - 1
        return self._places[line] + offset - self._offsets[line]
