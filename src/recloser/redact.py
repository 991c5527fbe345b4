"""What may leave: secrets, terminal control and excess are taken out of everything that is logged, shown or exported.

Three nets lie behind each other: the values that the configuration knows to be secret, the shapes of well-known
credentials, and the names that say their value is one. Where it is unclear, too much is hidden rather than too little.
Every pattern takes time linear in its input, since that is written by servers: a repetition is possessive or bounded,
and one that could begin anywhere in a run may begin at the run's start only.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from functools import lru_cache
from typing import Any, Final
from urllib.parse import quote, quote_plus

__all__ = ["MASK", "SHORTEST_SECRET", "Redactor", "is_secret_name", "redact"]

MASK: Final = "[redacted]"
"""What stands where a secret was."""
SHORTEST_SECRET: Final = 6
"""Characters; a shorter configured secret is not looked for by value, since it would mangle every text."""

_UNREADABLE: Final = "[unreadable]"
_MORE: Final = "[more]"
_DEPTH: Final = 12
_NODES: Final = 2000
_MARGIN: Final = 512

# Kept: newline and tab. A carriage return, an escape sequence, a bidirectional override would let a server's text forge
# lines on a terminal; a lone surrogate cannot be written at all.
_ESCAPE: Final = re.compile(
    r"\x1b(?:\[[0-?]{0,64}[ -/]{0,8}[@-~]|[\]PX^_][^\x07\x1b]{0,4096}(?:\x07|\x1b\\)|[ -/]{0,8}[0-~])?"
)
_CONTROL: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")

_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_SEPARATOR: Final = re.compile(r"[^a-z0-9]+")
_SECRET_NAME: Final = re.compile(
    r"passw(?:or)?d|passphrase|passcode|pswd|userpwd|dbpwd|secret|credential|authorization|cookie|bearer|jwt"
    r"|token(?!s|i[sz])|signature|connectionstring|apikey"
    r"|(?:access|account|auth|client|encryption|functions|host|license|master|private|service|shared|signing|ssh"
    r"|storage|subscription)key(?!id)"
)
_SECRET_LAST: Final = frozenset({"auth", "sig", "pat"})
# `token_type`, `secret_name`, `password_file` tell about a secret and hold none.
_HARMLESS_LAST: Final = re.compile(
    r"alg|algorithm|at|budget|cost|count|dir|enabled|endpoints?|env|expiration|expires|expiry|file|in|length|limit"
    r"|methods?|mode|names?|path|policy|required|scheme|size|supported|ttl|types?|uri|url|usage|used"
)

_RUN: Final = r"[A-Za-z0-9_\-]"
_SHAPES: Final = re.compile(
    "|".join(
        (
            # PEM: to the end of the text where the end of the key is missing.
            r"(?s:-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----.*?"
            r"(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\Z))",
            # The authority of a URL up to its last "@"; it holds no slash, so these runs do not overlap.
            r"(?<=://)[^\s/?#\"'<>]{1,512}(?=@)",
            # An Authorization header's value, unless it is a challenge's parameter or a sentence about the scheme.
            r"(?i:(?<=bearer )|(?<=basic )|(?<=bearer\t)|(?<=basic\t))"
            r"(?!(?i:realm|error|scope|resource_metadata|auth|authentication|authorization|token|tokens)\b)"
            r"[A-Za-z0-9._~+/=\-]{6,}+",
            rf"eyJ{_RUN}{{10,}}+(?:\.{_RUN}*+){{0,4}}+",  # JWT, and other base64 of a JSON object
            r"(?<![A-Za-z0-9])A(?:KIA|SIA|BIA|CCA|GPA|IDA|NPA|NVA|ROA)[A-Z0-9]{16}(?![A-Za-z0-9])",  # AWS
            rf"AIza{_RUN}{{30,}}+|ya29\.{_RUN}{{10,}}+|GOCSPX-{_RUN}{{10,}}+|(?<!\w)1//0{_RUN}{{20,}}+",  # Google
            r"(?<![A-Za-z0-9])[A-Za-z0-9_~.\-]{3}[0-9]Q~[A-Za-z0-9_~.\-]{31,40}+",  # Azure client secret
            rf"gh[pousr]_[A-Za-z0-9]{{16,}}+|github_pat_\w{{16,}}+|glpat-{_RUN}{{16,}}+",  # GitHub, GitLab
            r"xox[a-z]-[A-Za-z0-9\-]{8,}+|xapp-[A-Za-z0-9\-]{8,}+"
            r"|(?<=hooks\.slack\.com/)(?:services|workflows)/[A-Za-z0-9/]{8,}+",  # Slack
            rf"(?<![A-Za-z0-9])sk-{_RUN}{{16,}}+",  # OpenAI, Anthropic and those who follow them
            r"(?<![A-Za-z0-9])[spr]k_(?:live|test)_[A-Za-z0-9]{8,}+|whsec_[A-Za-z0-9+/=]{16,}+",  # Stripe
            rf"(?<![A-Za-z0-9])(?:npm|hf|gsk|dop_v1|doo_v1|dor_v1|lin_api|ntn)_[A-Za-z0-9]{{20,}}+|pypi-{_RUN}{{16,}}+",
            rf"SG\.{_RUN}{{16,64}}+\.{_RUN}{{8,}}+|(?<![A-Za-z0-9])xai-{_RUN}{{16,}}+",
        )
    ),
    re.ASCII,
)

# `name=value`, `name: value`, `"name": "value"`, `('name', b'value')`, `--name value`. The value is looked at only
# where the name is a secret's, so `url=https://h/?token=x` is seen into.
_NAMED: Final = re.compile(
    r"(?<![A-Za-z0-9_.\-])(?P<name>[A-Za-z0-9_.\-]++)(?:\\{0,4}[\"'])?+"
    r"(?:[ \t]{0,4}(?::(?!//)|=>?)[ \t]{0,4}|(?<=[\"'])[ \t]{0,4},\s{0,4}(?=b?\\{0,4}[\"'])|(?P<space>[ \t]{1,4}))"
)
_VALUE: Final = re.compile(
    r"(?P<double>b?\")(?:[^\"\\]|\\.)*+|(?P<single>b?')(?:[^'\\]|\\.)*+|(?P<escaped>b?\\{1,4}[\"'])[^\"'\\]*+"
    r"|(?P<bare>(?:(?i:bearer|basic|digest|token|apikey)[ \t]{1,4})?+[^\s,;&\"']++)",
    re.DOTALL,
)
_LINE: Final = re.compile(r"[^\n]*+")
_UNQUOTED_LINE: Final = re.compile(r"[^\n\"']*+")
_WHOLE_LINE: Final = re.compile(r"authorization|cookie", re.IGNORECASE)
_NO_SECRET: Final = frozenset({"", "none", "null", "true", "false", "undefined"})
_OPENERS: Final = ("[", "{", "(")
_CLOSERS: Final = ")]}>."


@lru_cache(maxsize=2048)
def is_secret_name(name: str) -> bool:
    """Return whether what goes by this name (of a header, variable, option or field) is a secret by its nature."""
    words = [word for word in _SEPARATOR.split(_HUMP.sub("-", name).lower()) if word]
    if not words or _HARMLESS_LAST.fullmatch(words[-1]):
        return False
    return words[-1] in _SECRET_LAST or _SECRET_NAME.search("".join(words)) is not None


class Redactor:
    """Takes secrets, control characters and excess out of texts and log records; raises on nothing it is given.

    Never changes after its making, so threads may share one.

    Raises:
        ValueError: `max_length` is less than 64.
    """

    def __init__(self, secrets: Iterable[str] = (), *, max_length: int = 4096, names: Iterable[str] = ()) -> None:
        """Take the configuration's own secrets and the limits.

        Args:
            secrets: found by value wherever they stand, in their URL-encoded, base64 and JSON-escaped forms too; those
                shorter than `SHORTEST_SECRET` are passed over.
            max_length: the most characters that a text may have afterwards, the mark of a cut included.
            names: further keys whose values are hidden in mappings, besides the names of secrets.
        """
        if max_length < 64:
            raise ValueError(f"max_length must be at least 64, got {max_length!r}")
        self._max_length = max_length
        self._names = frozenset(_plain_name(name) for name in names)
        known = {_clean(secret).strip() for secret in secrets}
        self._forms = tuple({form for secret in known if len(secret) >= SHORTEST_SECRET for form in _forms(secret)})
        self._margin = max((_MARGIN, *map(len, self._forms)))

    def __repr__(self) -> str:
        return f"Redactor({len(self._forms)} forms, max_length={self._max_length})"

    def text(self, value: object) -> str:
        """Return a text that may be shown to anybody, at most `max_length` characters long."""
        try:
            return self._text(value if isinstance(value, str) else str(value))
        except Exception:  # noqa: BLE001 - boundary: a text that cannot be read must not fail the call it tells about
            return _UNREADABLE

    def mapping(self, value: Mapping[Any, Any]) -> dict[str, Any]:
        """Return a mapping's redacted copy, all of its depth included."""
        found = self.value(value)
        return found if isinstance(found, dict) else {"value": found}

    def value(self, value: object) -> Any:
        """Return a redacted copy made of plain values: None, bool, numbers, texts, lists and dicts with text keys."""
        return _Walk(self.text, self._is_hidden).value(value)

    def _is_hidden(self, name: str) -> bool:
        return is_secret_name(name) or (bool(self._names) and _plain_name(name) in self._names)

    def _text(self, raw: str) -> str:
        # Only so much is worked on as can be shown, and a margin, so that a secret at the cut is seen in full.
        window = self._max_length + self._margin
        text = _clean(raw[:window])
        text = _mask_spans(text, self._forms)
        text = _mask_named(_SHAPES.sub(MASK, text))
        if len(raw) > window:
            text = text[: -self._margin]
        elif len(text) <= self._max_length:
            return text
        mark = f"… [cut: {len(raw)} characters in all]"
        return text[: self._max_length - len(mark)] + mark


class _Walk:
    """One walk through a value; counts down the nodes that it may still visit, so that no record can cost too much."""

    def __init__(self, text: Callable[[str], str], is_hidden: Callable[[str], bool]) -> None:
        self._text = text
        self._is_hidden = is_hidden
        self._left = _NODES

    def value(self, value: object, depth: int = 0) -> Any:
        try:
            return self._value(value, depth)
        except Exception:  # noqa: BLE001 - boundary: an object that cannot be read must not fail the call it belongs to
            return _UNREADABLE

    def _value(self, value: object, depth: int) -> Any:
        self._left -= 1
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int | float):
            return value if type(value) in (int, float) else self._text(repr(value))
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, bytes | bytearray):
            return self._text(bytes(value).decode("utf-8", "replace"))
        if depth >= _DEPTH or self._left <= 0:
            return _MORE
        if isinstance(value, Mapping):
            return self._mapping(value, depth)
        if isinstance(value, Sequence | AbstractSet):
            return list(self._items(value, depth))
        if is_dataclass(value) and not isinstance(value, type):
            shown = {field.name: getattr(value, field.name) for field in fields(value) if field.repr}
            return self._mapping(shown, depth)
        if isinstance(value, BaseException):
            return self._text(f"{type(value).__name__}: {value}")
        return self._text(repr(value))

    def _mapping(self, value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        # A header as a record of its own: {"name": "Authorization", "value": "…"}.
        told = next((value[key] for key in ("name", "key") if isinstance(value.get(key), str)), "")
        found: dict[str, Any] = {}
        for key, item in value.items():
            if self._left <= 0:
                found[_MORE] = _MORE
                break
            name = _as_name(key)
            hidden = self._is_hidden(name) or (name == "value" and self._is_hidden(told))
            found[self._text(name)] = self._hide(item) if hidden else self.value(item, depth + 1)
        return found

    def _items(self, items: Iterable[object], depth: int) -> Iterator[Any]:
        # A header as a pair, ("authorization", "…"), and an option in a command line, ["--token", "…"].
        pair = isinstance(items, Sequence) and len(items) == 2
        before = ""
        for index, item in enumerate(items):
            if self._left <= 0:
                yield _MORE
                return
            follows = (pair and index == 1) or (before.startswith("-") and "=" not in before)
            yield self._hide(item) if follows and self._is_hidden(before) else self.value(item, depth + 1)
            before = _as_name(item) if isinstance(item, str | bytes) else ""

    def _hide(self, value: object) -> Any:
        self._left -= 1
        return value if value is None or isinstance(value, bool) or (isinstance(value, str) and not value) else MASK


_default: Final = Redactor()


def redact(text: object) -> str:
    """Return a text without what looks like a secret, for where no configuration is known."""
    return _default.text(text)


def _clean(text: str) -> str:
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _SURROGATE.sub("\ufffd", _CONTROL.sub("", _ESCAPE.sub("", text)))


def _plain_name(name: str) -> str:
    return _SEPARATOR.sub("", name.lower())


def _as_name(key: object) -> str:
    return key.decode("utf-8", "replace") if isinstance(key, bytes) else str(key)


def _forms(secret: str) -> Iterator[str]:
    """Yield how a secret may stand in a text; base64 in three, since it depends on what stands before."""
    if secret in MASK:
        return
    yield secret
    for escaped in (quote(secret, safe=""), quote(secret), quote_plus(secret)):
        yield escaped
        yield re.sub(r"%[0-9A-F]{2}", lambda found: found.group().lower(), escaped)
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    data = secret.encode()
    for shift in range(3):
        # Characters that bits of the neighbours have a part in are left out.
        first, last = -(-shift * 8 // 6), (shift + len(data)) * 8 // 6
        for encode in (b64encode, urlsafe_b64encode):
            yield encode(b"\0" * shift + data).decode()[first:last]


def _mask_spans(text: str, forms: Iterable[str]) -> str:
    """Mask every place where one of the forms stands; those that overlap become one."""
    spans: list[tuple[int, int]] = []
    for form in forms:
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


def _mask_named(text: str) -> str:
    """Mask the values that stand after the name of a secret."""
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


def _masked_value(text: str, name: str, found: re.Match[str]) -> tuple[str, int]:
    """Return what is shown in place of a value, and where it ends."""
    if found["bare"] is None:
        opened = found["double"] or found["single"] or found["escaped"]
        return opened + (MASK if found.end() > found.start() + len(opened) else ""), found.end()
    bare = found["bare"]
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
