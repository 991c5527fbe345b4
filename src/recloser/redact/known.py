"""The configuration's own secrets, found by value in whatever form they stand."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Final

from recloser.redact.forms import forms
from recloser.redact.shapes import MASK

__all__ = ["SHORTEST_SECRET", "Known"]

SHORTEST_SECRET: Final = 6
"""Characters; a shorter configured secret is not looked for by value, since it would mangle every text."""
SHORTEST_LINE: Final = 16
"""Characters; a line as long of a secret of many lines, such as a private key, is looked for by itself.

And a form as long is looked for across the ends of lines.
"""
_LINE_END: Final = re.compile(r"\n|\\[rn]")
_EDGE: Final = " \t>|│┃"
"""What stands between a line's end and its text where somebody has quoted, indented or framed it."""


class Known:
    """Secrets in all the forms in which they may stand in a text; never changes."""

    def __init__(self, secrets: Iterable[str]) -> None:
        whole = {secret.strip() for secret in secrets}
        lines = {line.strip() for secret in whole for line in secret.splitlines() if len(line) >= SHORTEST_LINE}
        self._secrets = frozenset(s for s in whole | lines if len(s) >= SHORTEST_SECRET and s not in MASK)
        self._forms = tuple(sorted({form for secret in self._secrets for form in forms(secret)}, key=len))
        self.longest = len(self._forms[-1]) if self._forms else 0
        """Characters of the longest form."""

    def __len__(self) -> int:
        return len(self._forms)

    def __contains__(self, text: str) -> bool:
        """Return whether a text is one of the secrets and nothing else."""
        return text in self._secrets

    def mask(self, text: str) -> str:
        """Mask every place where one of the forms stands; those that overlap become one."""
        spans = sorted((*self._spans(text, SHORTEST_SECRET), *self._spans_over_lines(text)))
        if not spans:
            return text
        parts: list[str] = []
        done = -1
        for start, end in spans:
            if start > done:
                parts += (text[max(done, 0) : start], MASK)
            done = max(done, end)
        return "".join(parts) + text[done:]

    def _spans(self, text: str, shortest: int) -> Iterator[tuple[int, int]]:
        for form in self._forms:
            if len(form) > len(text):
                break  # and so are all that follow
            if len(form) < shortest:
                continue
            start = text.find(form)
            while start >= 0:
                yield start, start + len(form)
                start = text.find(form, start + 1)

    def _spans_over_lines(self, text: str) -> Iterator[tuple[int, int]]:
        """Yield where a form stands that was broken into lines, as base64 in mails and words on a terminal are."""
        if not self._forms or _LINE_END.search(text) is None:
            return
        kept: list[str] = []  # the text of each line, its edges left out
        places: list[int] = []  # where it stands
        offsets: list[int] = []  # where it stands if all are put together
        at = length = 0
        for line in _LINE_END.split(text):
            words = line.strip(_EDGE)
            kept.append(words)
            places.append(at + len(line) - len(line.lstrip(_EDGE)))
            offsets.append(length)
            length += len(words)
            at += len(line) + (2 if text.startswith("\\", at + len(line)) else 1)

        def place(offset: int) -> int:
            line = bisect_right(offsets, offset) - 1
            return places[line] + offset - offsets[line]

        for start, end in self._spans("".join(kept), SHORTEST_LINE):
            yield place(start), place(end - 1) + 1
