"""Values that stand in a text behind the name of a secret."""

from __future__ import annotations

import re
from typing import Final

from recloser.redact.names import is_secret_name
from recloser.redact.shapes import MASK

__all__ = ["mask_named"]

# `name=value`, `name: value`, `"name": "value"`, `('name', b'value')`, `--name value`. The value is looked at only
# where the name is a secret's, so `url=https://h/?token=x` is seen into.
_NAMED: Final = re.compile(
    r"(?<![A-Za-z0-9_.\-])(?P<name>[A-Za-z0-9_.\-]++)(?:\\{0,4}[\"'])?+"
    r"(?:[ \t]*+(?::(?!//)(?:[ \t]*+\n(?=[ \t]))?+|=>?)[ \t]*+"
    r"|(?<=[\"'])[ \t]{0,4},\s{0,4}(?=b?\\{0,4}[\"'])|(?P<space>[ \t]++))"
)
_VALUE: Final = re.compile(
    r"(?P<double>b?\")(?:[^\"\\]|\\.)*+|(?P<single>b?')(?:[^'\\]|\\.)*+|(?P<escaped>b?\\{1,4}[\"'])[^\"'\\]*+"
    r"|(?P<bare>(?:(?i:bearer|basic|digest|token|apikey)[ \t]{1,4})?+[^\s,;&\"']++)",
    re.DOTALL,
)
_TAGGED: Final = re.compile(r"<(?P<name>[A-Za-z0-9_.:\-]++)(?:\s[^<>]{0,256}+)?>(?P<value>[^<]++)")
# `<add key="password" value="…"/>`
_ATTRIBUTE: Final = re.compile(
    r"\b(?:key|name)[ \t]?=[ \t]?(?P<quote>\\{0,4}[\"'])(?P<name>[A-Za-z0-9_.:\-]{1,128}+)(?P=quote)"
    r"\s{1,64}+value[ \t]?=[ \t]?(?P=quote)(?P<value>[^\"'\\]++)",
    re.IGNORECASE,
)
# A parameter of a URL that is itself a parameter.
_ENCODED: Final = re.compile(
    r"(?i:(?<=%3f)|(?<=%26)|(?<=%23))(?P<name>[A-Za-z0-9_.\-]++)(?i:%3d)(?P<value>(?:(?!(?i:%26|%23))[^\s&#\"'<>])++)"
)
# YAML: the text is the indented lines below.
_BLOCK: Final = re.compile(r"[|>][+\-0-9]{0,2}+[ \t]*+(?:\n[ \t]++[^\n]*+)++")
_LINE: Final = re.compile(r"[^\n]*+")
_UNQUOTED_LINE: Final = re.compile(r"[^\n\"']*+")
_WHOLE_LINE: Final = re.compile(r"authorization|cookie", re.IGNORECASE)
_NO_SECRET: Final = frozenset({"", "none", "null", "true", "false", "undefined"})
_OPENERS: Final = ("[", "{", "(")
_CLOSERS: Final = ")]}>."


def mask_named(text: str) -> str:
    """Mask the values that stand after the name of a secret, or in an XML element or attribute of that name."""
    if "<" in text:
        text = _ATTRIBUTE.sub(_masked_element, _TAGGED.sub(_masked_element, text))
    if "%3d" in text or "%3D" in text:
        text = _ENCODED.sub(_masked_element, text)
    parts: list[str] = []
    done = at = 0
    while named := _NAMED.search(text, at):
        at = named.end()
        name = named["name"]
        if (named["space"] and not name.startswith("-")) or not is_secret_name(name):
            continue
        found = _VALUE.match(text, at)
        if found is None or (named["space"] and found.group().startswith("-")):
            continue
        shown, at = _masked_value(text, name, found)
        parts += (text[done : named.end()], shown)
        done = at
    return "".join(parts) + text[done:]


def _masked_element(found: re.Match[str]) -> str:
    start = found.start()
    return f"{found.string[start : found.start('value')]}{MASK}" if is_secret_name(found["name"]) else found.group()


def _masked_value(text: str, name: str, found: re.Match[str]) -> tuple[str, int]:
    """Return what is shown in place of a value, and where it ends."""
    if found["bare"] is None:
        opened = found["double"] or found["single"] or found["escaped"]
        return opened + (MASK if found.end() > found.start() + len(opened) else ""), found.end()
    bare = found["bare"]
    if bare[0] in "|>" and (block := _BLOCK.match(text, found.start())) is not None:
        return MASK, block.end()
    if bare.lower().rstrip(_CLOSERS) in _NO_SECRET:
        return bare, found.end()
    if _WHOLE_LINE.search(name):
        return MASK, max(found.end(), _end(_UNQUOTED_LINE, text, found.start()))
    if bare.startswith(_OPENERS) and not bare.startswith(MASK):
        return MASK, _end(_LINE, text, found.start())
    rest = bare.removeprefix(MASK)
    return MASK + rest[len(rest.rstrip(_CLOSERS)) :], found.end()


def _end(pattern: re.Pattern[str], text: str, start: int) -> int:
    found = pattern.match(text, start)
    assert found is not None
    return found.end()
