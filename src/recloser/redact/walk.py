"""A walk through a value, such as the fields of a log record, that leaves only plain and redacted ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from typing import Any, Final

from recloser.redact.shapes import MASK

__all__ = ["UNREADABLE", "Walk"]

UNREADABLE: Final = "[unreadable]"
"""What stands for something that cannot be looked at."""
_MORE: Final = "[more]"
_DEPTH: Final = 12
_NODES: Final = 2000
_EACH: Final = 32
"""Characters that a text counts for besides its own: redacting even an empty one takes its time."""
_BITS: Final = 1024
"""Of a whole number that is shown: writing out a longer one takes time that grows with the square of its length."""


class Walk:
    """One walk through a value, on which only so much is looked at that no record can cost too much.

    Counts down the nodes that it may still visit and the characters that it may still redact. The text that they run
    out in is the last one and is not cut for it, so that no secret is.

    Args:
        redact: redacts a text.
        is_secret: whether a text is a secret and nothing else.
        is_hidden: whether what goes by a name is a secret.
        characters: of texts that are redacted at most, but for the last one.
        longest: characters of one text that `redact` looks at.
    """

    def __init__(
        self,
        redact: Callable[[str], str],
        is_secret: Callable[[str], bool],
        is_hidden: Callable[[str], bool],
        *,
        characters: int,
        longest: int,
    ) -> None:
        self._redact = redact
        self._is_secret = is_secret
        self._is_hidden = is_hidden
        self._nodes = _NODES
        self._characters = characters
        self._longest = longest

    @property
    def _spent(self) -> bool:
        return self._nodes <= 0 or self._characters <= 0

    def value(self, value: object, depth: int = 0) -> Any:
        """Return a copy made of None, bool, numbers, texts, lists and dicts with text keys."""
        try:
            return self._value(value, depth)
        except Exception:  # noqa: BLE001 - boundary: an object that cannot be read must not fail the call it belongs to
            return UNREADABLE

    def _text(self, text: str) -> str:
        self._characters -= min(len(text), self._longest) + _EACH
        return self._redact(text)

    def _value(self, value: object, depth: int) -> Any:
        self._nodes -= 1
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int | float):
            return self._number(value)
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, bytes | bytearray | memoryview):
            return self._text(bytes(value).decode("utf-8", "replace"))
        if depth >= _DEPTH or self._spent:
            return _MORE
        if isinstance(value, Sequence | AbstractSet):
            return list(self._items(value, depth))
        members = value if isinstance(value, Mapping) else _members(value)
        if members is not None:
            return self._mapping(members, depth)
        if isinstance(value, BaseException):
            return self._text("\n".join([f"{type(value).__name__}: {value}", *getattr(value, "__notes__", ())]))
        return self._text(repr(value))

    def _number(self, value: float) -> Any:
        if isinstance(value, int) and value.bit_length() > _BITS:
            return f"[a number of {value.bit_length()} bits]"
        if type(value) not in (int, float):
            return self._text(repr(value))
        return MASK if self._is_secret(repr(value)) else value

    def _mapping(self, value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        # A header as a record of its own: {"name": "Authorization", "value": "…"}.
        told = next((value[key] for key in ("name", "key") if isinstance(value.get(key), str)), "")
        found: dict[str, Any] = {}
        for key, item in value.items():
            if self._spent:
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
            if self._spent:
                yield _MORE
                return
            follows = (pair and index == 1) or (before.startswith("-") and "=" not in before)
            yield self._hide(item) if follows and self._is_hidden(before) else self.value(item, depth + 1)
            before = _as_name(item) if isinstance(item, str | bytes) else ""

    def _hide(self, value: object) -> Any:
        self._nodes -= 1
        return value if value is None or isinstance(value, bool) or (isinstance(value, str) and not value) else MASK


def _members(value: object) -> dict[str, Any] | None:
    """Return what a record or a pydantic model holds, the latter by the names on the wire; None for anything else.

    They are looked at as the walk comes along: a dump of the whole would cost what the walk is there to save.
    """
    kind = type(value)
    if is_dataclass(kind):
        return {field.name: getattr(value, field.name) for field in fields(kind) if field.repr}
    known = getattr(kind, "model_fields", None)
    if not isinstance(known, dict):
        return None
    held = {field.alias or name: getattr(value, name) for name, field in known.items() if field.repr}
    held |= getattr(value, "model_extra", None) or {}
    return {name: item for name, item in held.items() if item is not None}


def _as_name(key: object) -> str:
    return key.decode("utf-8", "replace") if isinstance(key, bytes) else str(key)
