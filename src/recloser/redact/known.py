"""The configuration's own secrets, found by value in whatever form they stand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from recloser.redact.forms import forms
from recloser.redact.lines import Joined, has_lines, is_continued
from recloser.redact.shapes import MASK

__all__ = ["SHORTEST_SECRET", "Known"]

SHORTEST_SECRET: Final = 6
"""Characters; a shorter configured secret is not looked for by value, since it would mangle every text."""
SHORTEST_LINE: Final = 16
"""Characters; a line as long of a secret of many lines, such as a private key, is looked for by itself.

And a form as long is looked for across the ends of lines.
"""
SHORTEST_PART: Final = 8
"""Characters of a secret that are hidden where a text ends in the middle of it, as that of a process that has died."""


class Known:
    """Secrets in all the forms in which they may stand in a text; never changes."""

    def __init__(self, secrets: Iterable[str]) -> None:
        whole = {secret.strip() for secret in secrets}
        lines = {line.strip() for secret in whole for line in secret.splitlines() if len(line) >= SHORTEST_LINE}
        self._secrets = frozenset(s for s in whole | lines if len(s) >= SHORTEST_SECRET and s not in MASK)
        self._forms = _forms(self._secrets)
        self._long = tuple(form for form in self._forms if len(form) >= SHORTEST_LINE)
        of_words = _forms(secret for secret in self._secrets if " " in secret)
        self._of_words = tuple(form for form in of_words if " " in form and len(form) >= SHORTEST_LINE)
        self.longest = len(self._forms[-1]) if self._forms else 0
        """Characters of the longest form."""

    def __len__(self) -> int:
        return len(self._forms)

    def __contains__(self, text: str) -> bool:
        """Return whether a text is one of the secrets and nothing else."""
        return text in self._secrets

    def mask(self, text: str) -> str:
        """Mask every place where one of the forms stands; those that overlap become one."""
        spans = sorted((*_spans(text, self._forms), *self._spans_over_lines(text)))
        if not spans:
            return text
        parts: list[str] = []
        done = -1
        for start, end in spans:
            if start > done:
                parts += (text[max(done, 0) : start], MASK)
            done = max(done, end)
        return "".join(parts) + text[done:]

    def mask_begun(self, text: str) -> str:
        """Mask a form that the end of the text has cut off."""
        start = min((_begun(text, form) for form in self._forms), default=len(text))
        return text if start == len(text) else text[:start] + MASK

    def _spans_over_lines(self, text: str) -> Iterator[tuple[int, int]]:
        """Yield where a form stands that was broken into lines, as base64 in mails and words on a terminal are."""
        if not self._long or not has_lines(text):
            return
        yield from _joined_spans(Joined(text), self._long)
        if is_continued(text):
            yield from _joined_spans(Joined(text, continued=True), self._long)
        if self._of_words:
            yield from _joined_spans(Joined(text, glue=" "), self._of_words)


def _forms(secrets: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({form for secret in secrets for form in forms(secret)}, key=len))


def _begun(text: str, form: str) -> int:
    """Return where a form begins that does not end before the text does; the text's end if there is none."""
    start = text.find(form[:SHORTEST_PART], max(0, len(text) - len(form) + 1))
    while start >= 0 and not form.startswith(text[start:]):
        start = text.find(form[:SHORTEST_PART], start + 1)
    return len(text) if start < 0 else start


def _spans(text: str, looked_for: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield where one of the forms, the shortest of which stand first, begins and ends."""
    for form in looked_for:
        if len(form) > len(text):
            break  # and so are all that follow
        start = text.find(form)
        while start >= 0:
            yield start, start + len(form)
            start = text.find(form, start + 1)


def _joined_spans(joined: Joined, looked_for: Sequence[str]) -> Iterator[tuple[int, int]]:
    for start, end in _spans(joined.text, looked_for):
        yield joined.place(start), joined.place(end - 1) + 1
