"""The forms that a secret takes where others write it down: escaped, quoted and encoded."""

from __future__ import annotations

import html
import json
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator
from typing import Final
from urllib.parse import quote, quote_plus

__all__ = ["forms"]

_PERCENT: Final = re.compile(r"%[0-9A-F]{2}")
_UNICODE: Final = re.compile(r"\\u[0-9a-f]{4}")
_FOR_SCRIPTS: Final = {ord(each): f"\\u{ord(each):04x}" for each in "<>&"}
"""What Go and others escape in JSON, as it may stand in a page."""
_AND_QUOTES: Final = _FOR_SCRIPTS | {ord(each): f"\\u{ord(each):04X}" for each in "<>&'+`"}
"""What .NET escapes in JSON."""


def forms(secret: str) -> Iterator[str]:
    """Yield how a secret may stand in a text; base64 in three, since it depends on what stands before."""
    yield secret
    yield from _in_urls(secret)
    yield from _in_json(secret)
    yield from _in_html(secret)
    data = secret.encode()
    if "\n" not in secret:  # of a secret of many lines the lines are looked for
        for digits in (data.hex(), data.hex(" "), data.hex(":"), "%" + data.hex("%")):
            yield digits
            yield digits.upper()
    if "'" in secret:  # in a shell's quotes
        yield secret.replace("'", "'\"'\"'")
        yield secret.replace("'", "'\\''")
    yield repr(secret)[1:-1]
    yield ascii(secret)[1:-1]
    yield repr(data)[2:-1]
    for shift in range(3):
        # Characters that bits of the neighbours have a part in are left out.
        first, last = -(-shift * 8 // 6), (shift + len(data)) * 8 // 6
        for encode in (b64encode, urlsafe_b64encode):
            yield encode(b"\0" * shift + data).decode()[first:last]


def _in_urls(secret: str) -> Iterator[str]:
    for escaped in (quote(secret, safe=""), quote(secret), quote_plus(secret)):
        for each in (escaped, _PERCENT.sub(lambda found: found.group().lower(), escaped)):
            yield each
            yield quote(each, safe="")  # a parameter within a parameter


def _in_json(secret: str) -> Iterator[str]:
    for quoted in (json.dumps(secret), json.dumps(secret, ensure_ascii=False)):
        plain = quoted[1:-1]
        dotnet = plain.replace('\\"', "\\u0022").translate(_AND_QUOTES)
        for written in (plain, plain.replace("/", "\\/"), plain.translate(_FOR_SCRIPTS), dotnet):
            for each in (written, _UNICODE.sub(lambda found: "\\u" + found.group()[2:].upper(), written)):
                yield each
                yield json.dumps(each)[1:-1]  # JSON within JSON


def _in_html(secret: str) -> Iterator[str]:
    named = html.escape(secret)
    yield named
    yield html.escape(secret, quote=False)
    numbered = named.replace("&quot;", "&#34;").replace("&#x27;", "&#39;")
    yield numbered
    numbered = numbered.replace("&amp;", "&#38;")
    yield numbered
    yield numbered.replace("&lt;", "&#60;").replace("&gt;", "&#62;")
