"""What a peer writes, line by line: framing in linear time and bounded memory, JSON-RPC read as far as possible."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import EllipsisType
from typing import Any, Final, Literal, TypeAlias

from mcp_types import (
    PARSE_ERROR,
    ErrorData,
    JSONRPCError,
    JSONRPCMessage,
    RequestId,
    jsonrpc_message_adapter,
)

from recloser.facts import FAULT_CODE, HttpFacts

__all__ = ["HEAD", "TAIL", "Line", "Lines", "Oversized", "complete_message", "messages_of"]

HEAD: Final = 4096
"""Bytes at the beginning of a spoilt line in which its id is looked for."""
TAIL: Final = 512
"""Bytes at its end: TypeScript servers write the id last, `{"result":…,"jsonrpc":"2.0","id":7}`."""

_SPACE: Final = " \t\r\n"
_KEY: Final = re.compile(r'\s*[{,]\s*"((?:[^"\\]|\\.)*)"\s*:\s*')
_NEXT: Final = re.compile(r"\s*[,}]")
_LAST: Final = re.compile(r'((?:,\s*"(?:id|jsonrpc)"\s*:\s*(?:-?\d{1,18}|"(?:[^"\\]|\\.)*")\s*)+)\}\s*$')

_decoder: Final = json.JSONDecoder()


@dataclass(frozen=True, kw_only=True)
class Oversized:
    """What is left of a line that was longer than the limit."""

    head: bytes
    tail: bytes


Line: TypeAlias = bytes | bytearray | Oversized


class Lines:
    r"""Cuts a stream of bytes at `\n`; holds at most `limit` bytes of an unfinished line.

    Only `feed` and `finish` change it. The work is linear in what is fed, however it is cut into chunks.
    """

    __slots__ = ("_buffer", "_head", "_limit", "_tail")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._buffer = bytearray()
        # Not None while the rest of a line that is too long passes by.
        self._head: bytes | None = None
        self._tail = b""

    def feed(self, data: bytes) -> list[Line]:
        """Take the next bytes and return the lines that are complete with them."""
        first, *rest = data.split(b"\n")
        if not rest:
            self._extend(first)
            return []
        last = rest.pop()
        lines = [self._close(first), *map(self._checked, rest)]
        self._extend(last)
        return lines

    @property
    def overlong(self) -> bytes | None:
        """The beginning of the unfinished line once that is too long; None before."""
        return self._head

    def finish(self) -> bytes:
        """Return what came after the last line's end, and begin anew."""
        rest = b"" if self._head is not None else bytes(self._buffer)
        self._buffer, self._head, self._tail = bytearray(), None, b""
        return rest

    def _checked(self, line: bytes) -> Line:
        return line if len(line) <= self._limit else Oversized(head=line[:HEAD], tail=line[-TAIL:])

    def _extend(self, part: bytes) -> None:
        if self._head is not None:
            self._head += part[: HEAD - len(self._head)]
            self._tail = (self._tail + part[-TAIL:])[-TAIL:]
            return
        self._buffer += part
        if len(self._buffer) > self._limit:
            self._head, self._tail = bytes(self._buffer[:HEAD]), bytes(self._buffer[-TAIL:])
            self._buffer = bytearray()

    def _close(self, part: bytes) -> Line:
        if not self._buffer and self._head is None:
            return self._checked(part)
        self._extend(part)
        if self._head is None:
            line, self._buffer = self._buffer, bytearray()
            return line
        oversized = Oversized(head=self._head, tail=self._tail)
        self._head, self._tail = None, b""
        return oversized


def messages_of(line: Line) -> list[JSONRPCMessage]:
    """Return the messages that a line holds, as a rule one; none if nothing in it is JSON-RPC.

    An answer that cannot be read, or was too long, becomes a JSON-RPC error for the request that it
    certainly answers.
    """
    if isinstance(line, Oversized):
        members = _first_members(_text(line.head)) | _last_members(_text(line.tail))
        return _failures(_answered(members, whole=False), "too_large")
    try:
        return [jsonrpc_message_adapter.validate_json(line, by_name=False)]
    except ValueError:
        return _recovered(_text(line))


def complete_message(rest: bytes) -> list[JSONRPCMessage]:
    """Return the message in the bytes after the last line's end, if it is whole: some peers end without a newline."""
    try:
        return [jsonrpc_message_adapter.validate_json(rest, by_name=False)]
    except ValueError:
        return []


def _text(data: bytes | bytearray) -> str:
    # A byte order mark is no JSON, but some runtimes write one.
    return data.decode("utf-8", "replace").strip("\ufeff" + _SPACE)


def _recovered(text: str) -> list[JSONRPCMessage]:
    """Read a line that is no plain message: bad bytes, a batch, several messages or something else run together."""
    found: list[JSONRPCMessage] = []
    while text.startswith(("{", "[")):
        try:
            value, end = _decoder.raw_decode(text)
        except (ValueError, RecursionError):
            members = _first_members(text[:HEAD]) | _last_members(text[-TAIL:])
            return found + _failures(_answered(members, whole=False), "malformed")
        for item in value if isinstance(value, list) else [value]:
            found += _revived(item)
        text = text[end:].lstrip(_SPACE)
    return found


def _revived(item: Any) -> list[JSONRPCMessage]:
    """Return the message that a JSON value is, without the lone surrogates that no UTF-8 can hold."""
    try:
        plain = json.dumps(item, ensure_ascii=False).encode("utf-8", "replace")
        return [jsonrpc_message_adapter.validate_json(plain, by_name=False)]
    except (ValueError, RecursionError):
        members: Mapping[str, object] = item if isinstance(item, dict) else {}
        return _failures(_answered(members, whole=True), "malformed")


def _failures(answered: RequestId | None, kind: Literal["too_large", "malformed"]) -> list[JSONRPCMessage]:
    if answered is None:
        return []
    code, said = (FAULT_CODE, "is too large") if kind == "too_large" else (PARSE_ERROR, "is no JSON-RPC message")
    facts = HttpFacts(kind=kind, sent=True)
    error = ErrorData(code=code, message=f"The server's answer {said}.", data=facts.to_data())
    return [JSONRPCError(jsonrpc="2.0", id=answered, error=error)]


def _answered(members: Mapping[str, object], *, whole: bool) -> RequestId | None:
    """Return the id of the request that a spoilt message answers, or None where that is not certain.

    `whole` says whether all of its top-level members could be read.
    """
    # What has a method asks; its ids are the peer's own and may well be equal to ours.
    if members.keys() & {"method", "params"}:
        return None
    # A line of a JSON log may have an "id", and even an "error": it is an answer only if nothing else is in it.
    if "jsonrpc" not in members and not members.keys() <= {"id", "result", "error"}:
        return None
    if not members.keys() & {"result", "error"} and not (whole and "jsonrpc" in members):
        return None
    value = members.get("id")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, str | int) and not isinstance(value, bool) else None


def _first_members(text: str) -> dict[str, object | EllipsisType]:
    """Return the top-level members at the beginning of an object, up to and with the first whose value is unreadable.

    That one's value is `...`.
    """
    found: dict[str, object | EllipsisType] = {}
    at = 0
    while key := _KEY.match(text, at):
        found[key[1]] = ...
        try:
            value, at = _decoder.raw_decode(text, key.end())
        except (ValueError, RecursionError):
            break
        # A number at the very end may have been cut in two.
        if not _NEXT.match(text, at):
            break
        found[key[1]] = value
    return found


def _last_members(text: str) -> dict[str, object]:
    """Return `id` and `jsonrpc` if an object ends with both of them, or nothing.

    The last brace closes the outermost object, so what stands right before it and holds no brace is top-level; that
    both are there tells it from some object inside a result that was cut off.
    """
    last = _LAST.search(text)
    if last is None:
        return {}
    try:
        members: dict[str, object] = json.loads("{" + last[1][1:] + "}")
    except ValueError:
        return {}
    return members if len(members) == 2 else {}
