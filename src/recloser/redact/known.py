"""The configuration's own secrets, found by value in whatever form they stand."""

from __future__ import annotations

import html
import json
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import quote, quote_plus

from recloser.redact.shapes import MASK

__all__ = ["SHORTEST_SECRET", "Known"]

SHORTEST_SECRET: Final = 6
"""Characters; a shorter configured secret is not looked for by value, since it would mangle every text."""
SHORTEST_LINE: Final = 16
"""Characters; a line as long of a secret of many lines, such as a private key, is looked for by itself."""


class Known:
    """Secrets in all the forms in which they may stand in a text; never changes."""

    def __init__(self, secrets: Iterable[str]) -> None:
        whole = {secret.strip() for secret in secrets}
        lines = {line.strip() for secret in whole for line in secret.splitlines() if len(line) >= SHORTEST_LINE}
        found = {form for secret in whole | lines if len(secret) >= SHORTEST_SECRET for form in _forms(secret)}
        self._forms = tuple(sorted(found, key=len))
        self.longest = len(self._forms[-1]) if self._forms else 0
        """Characters of the longest form."""

    def __len__(self) -> int:
        return len(self._forms)

    def mask(self, text: str) -> str:
        """Mask every place where one of the forms stands; those that overlap become one."""
        spans: list[tuple[int, int]] = []
        for form in self._forms:
            if len(form) > len(text):
                break  # and so are all that follow
            start = text.find(form)
            while start >= 0:
                spans.append((start, start + len(form)))
                start = text.find(form, start + 1)
        if not spans:
            return text
        parts: list[str] = []
        done = -1
        for start, end in sorted(spans):
            if start > done:
                parts += (text[max(done, 0) : start], MASK)
            done = max(done, end)
        return "".join(parts) + text[done:]


def _forms(secret: str) -> Iterator[str]:
    """Yield how a secret may stand in a text; base64 in three, since it depends on what stands before."""
    if secret in MASK:
        return
    yield secret
    for escaped in (quote(secret, safe=""), quote(secret), quote_plus(secret)):
        yield escaped
        yield re.sub(r"%[0-9A-F]{2}", lambda found: found.group().lower(), escaped)
    for written in (json.dumps(secret), json.dumps(secret, ensure_ascii=False)):
        yield written[1:-1]
        yield json.dumps(written)[3:-3]  # JSON within JSON
    yield html.escape(secret)
    yield html.escape(secret, quote=False)
    data = secret.encode()
    yield repr(secret)[1:-1]
    yield ascii(secret)[1:-1]
    yield repr(data)[2:-1]
    for shift in range(3):
        # Characters that bits of the neighbours have a part in are left out.
        first, last = -(-shift * 8 // 6), (shift + len(data)) * 8 // 6
        for encode in (b64encode, urlsafe_b64encode):
            yield encode(b"\0" * shift + data).decode()[first:last]
