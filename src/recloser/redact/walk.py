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


class Walk:
    """One walk through a value; counts down the nodes that it may still visit, so that no record can cost too much."""

    def __init__(self, text: Callable[[str], str], is_hidden: Callable[[str], bool]) -> None:
        self._text = text
        self._is_hidden = is_hidden
        self._left = _NODES

    def value(self, value: object, depth: int = 0) -> Any:
        """Return a copy made of None, bool, numbers, texts, lists and dicts with text keys."""
        try:
            return self._value(value, depth)
        except Exception:  # noqa: BLE001 - boundary: an object that cannot be read must not fail the call it belongs to
            return UNREADABLE

    def _value(self, value: object, depth: int) -> Any:
        self._left -= 1
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int | float):
            return value if type(value) in (int, float) else self._text(repr(value))
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, bytes | bytearray | memoryview):
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
            return self._text("\n".join([f"{type(value).__name__}: {value}", *getattr(value, "__notes__", ())]))
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


def _as_name(key: object) -> str:
    return key.decode("utf-8", "replace") if isinstance(key, bytes) else str(key)
