"""How large something is, and a hash of it, without saying anything else about it.

The loop waits while this is done, so it costs little whatever was sent or answered: a result of many megabytes is not
written out to know its size. Up to `VALUES` values and texts of `TEXT` characters are counted exactly, ASCII texts of
any length too; beyond that, evenly spaced samples stand for the rest.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, Final

from recloser.audit.record import AuditedArguments, AuditedResult

__all__ = ["Keyed", "arguments_of", "result_of", "weigh"]

VALUES: Final = 512
"""Values of one result that are looked at: about a fifth of a millisecond."""
TEXT: Final = 16_384
"""Characters of a text that is not ASCII up to which its UTF-8 is counted in full."""
SAMPLE: Final = 32
"""Members of a list or mapping that stand for all where there are too many."""
SLICE: Final = 1024
"""Characters of each of the three slices that stand for a longer text."""
HASHED: Final = 1_048_576
"""Bytes of arguments that are hashed at most where they were never sent, so that nobody has checked their size."""

_KINDS: Final = frozenset({"text", "image", "audio", "resource", "resource_link", "blob"})
_HOLDS: Final = ("text", "data", "blob", "uri")

_canonical: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


class Keyed:
    """HMAC-SHA256 under one key."""

    def __init__(self, key: bytes) -> None:
        self._empty = hmac.new(key, digestmod="sha256")

    def __call__(self, data: bytes) -> str:
        """Return the hash of some bytes as hexadecimal digits."""
        # Not hmac.digest(): that lets the interpreter's lock go, however few the bytes, and a thread that encodes spans
        # may keep it for milliseconds.
        mac = self._empty.copy()
        mac.update(data)
        return mac.hexdigest()


def arguments_of(params: Mapping[str, Any], keyed: Keyed, *, checked: bool) -> AuditedArguments:
    """Return hash and size of what a request carries besides the name of the thing that it asks for.

    The canonical form is JSON with sorted keys, without spaces, in UTF-8: equal arguments have equal hashes, in
    whatever order they were given.

    Args:
        params: the parameters of the request.
        keyed: makes the hash.
        checked: whether they are known to be JSON of a limited size.
    """
    given = params["arguments"] if "arguments" in params else _rest(params)
    size = 0
    try:
        if not checked:
            size, exact = weigh(given)
            if not exact or size > HASHED:
                return AuditedArguments(hmac_sha256=None, bytes=size)
        # A lone surrogate cannot be sent, but a call to an unknown tool may hold one.
        data = _canonical(given).encode("utf-8", "surrogatepass")
    except Exception:  # noqa: BLE001 - boundary: what was never sent may be anything, and is audited all the same
        return AuditedArguments(hmac_sha256=None, bytes=size)
    return AuditedArguments(hmac_sha256=keyed(data), bytes=len(data))


def _rest(params: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if name not in ("name", "uri", "ref")}


def result_of(result: Any) -> AuditedResult:
    """Return kind and size of a result: a model of the SDK's, or the mapping that it was made from."""
    fields = _fields(result)
    blocks = _blocks(fields)
    looked_at = _spread(blocks, VALUES)
    kinds: set[str] = set()
    size, exact = 0, True
    for block in looked_at:
        inside = _fields(block)
        kinds.add(_kind(inside))
        more, sure = _text(_held(inside))
        size += more
        exact = exact and sure
    if looked_at is not blocks:
        size, exact = size * len(blocks) // len(looked_at), False
    structured = fields.get("structured_content", fields.get("structuredContent"))
    if structured is not None:
        more, sure = weigh(structured)
        size += more
        exact = exact and sure
    return AuditedResult(
        is_error=fields.get("is_error", fields.get("isError", False)) is True,
        content_types=tuple(sorted(kinds)),
        content_count=len(blocks),
        structured=structured is not None,
        bytes=size,
        exact=exact,
    )


def weigh(value: object) -> tuple[int, bool]:
    """Return the bytes of a value as compact JSON, escapes not counted, and whether they are exact."""
    total, exact, left = 0.0, True, VALUES
    # Each value with the number of values that it stands for; a stack, since depth is up to who wrote the value.
    todo: list[tuple[object, float]] = [(value, 1.0)]
    while todo:
        item, share = todo.pop()
        if isinstance(item, str):
            size, sure = _text(item)
            size += 2
        elif isinstance(item, dict):
            size, sure = max(2, 2 * len(item) + 1), True
            some = tuple(islice(item.items(), _room(len(item), left)))
            left -= len(some)
            for name, inner in some:
                todo.append((str(name), share * len(item) / len(some)))
                todo.append((inner, share * len(item) / len(some)))
            sure = len(some) == len(item)
        elif isinstance(item, list | tuple):
            size = max(2, len(item) + 1)
            members = _spread(item, _room(len(item), left))
            left -= len(members)
            todo.extend((inner, share * len(item) / len(members)) for inner in members)
            sure = len(members) == len(item)
        else:
            size, sure = _plain(item)
        total += size * share
        exact = exact and sure
    return round(total), exact


def _room(count: int, left: int) -> int:
    """Return how many of `count` members are looked at: all where there is room, else a few as long as there is any."""
    return count if count <= left else min(SAMPLE, left)


def _spread(items: Sequence[Any], most: int) -> Sequence[Any]:
    """Return at most so many of the items, evenly spaced."""
    if len(items) <= most:
        return items
    return [items[index * len(items) // most] for index in range(most)]


def _plain(value: object) -> tuple[int, bool]:
    if value is None or value is True:
        return 4, True
    if value is False:
        return 5, True
    if isinstance(value, int):
        # A huge one is never written out: that takes time that grows with the square of its length.
        digits = value.bit_length()
        return (len(str(value)), True) if digits <= 64 else (digits * 3 // 10, False)
    if isinstance(value, float):
        return len(repr(value)), True
    return 0, False


def _text(text: str) -> tuple[int, bool]:
    """Return the bytes of a text in UTF-8, and whether they are exact."""
    if text.isascii():
        return len(text), True
    if len(text) <= TEXT:
        return len(text.encode("utf-8", "surrogatepass")), True
    middle = (len(text) - SLICE) // 2
    some = text[:SLICE] + text[middle : middle + SLICE] + text[-SLICE:]
    return len(some.encode("utf-8", "surrogatepass")) * len(text) // len(some), False


def _fields(thing: Any) -> Mapping[str, Any]:
    return thing if isinstance(thing, dict) else getattr(thing, "__dict__", {})


def _blocks(fields: Mapping[str, Any]) -> Sequence[Any]:
    """Return the contents of a tool's, resource's, prompt's or completion's result."""
    for name in ("content", "contents"):
        if isinstance(found := fields.get(name), list):
            return found
    if isinstance(messages := fields.get("messages"), list):
        return [_fields(message).get("content") for message in messages]
    values = _fields(fields.get("completion")).get("values")
    return [{"type": "text", "text": value} for value in values] if isinstance(values, list) else []


def _held(block: Mapping[str, Any]) -> str:
    """Return what a content block holds, which is a text whatever its kind."""
    inner = _fields(block["resource"]) if "resource" in block else block
    for name in _HOLDS:
        if isinstance(held := inner.get(name), str):
            return held
    return ""


def _kind(block: Mapping[str, Any]) -> str:
    kind = block.get("type") or ("text" if "text" in block else "blob" if "blob" in block else None)
    return kind if isinstance(kind, str) and kind in _KINDS else "other"
