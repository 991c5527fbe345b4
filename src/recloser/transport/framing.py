"""Event streams, event by event: framing in linear time and bounded memory, whatever the cuts and the line ends."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from recloser.transport.lines import HEAD, TAIL, Line, Lines, Oversized

__all__ = ["Event", "Framing"]

_MARK: Final = b"\xef\xbb\xbf"
_RETRY: Final = re.compile(rb"[0-9]{1,9}")
"""What is no such number, or a longer one, would end the session of whoever waits for as long."""


class Event(NamedTuple):
    """What the lines of an event say."""

    name: bytes
    """Empty where it has none."""
    about: list[bytes]
    """The lines with its id and the time to come again after, if it has them."""
    data: bytes


class Framing:
    """Cuts a stream of bytes into events; holds at most about twice `limit` bytes of an unfinished one.

    An event is whole with its empty line, also where half of that line's own end is still to come. Comments and what
    the format does not know are left out. Only `feed` changes it.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lines = Lines(limit)
        # What came before it is certain whether the stream begins with a byte order mark; None from then on.
        self._start: bytes | None = b""
        # Whether the last byte was a CR: an LF that follows belongs to it.
        self._returned = False
        self._begin()

    @property
    def overflows(self) -> bool:
        """Whether the event that has not ended yet is too large already."""
        head = self._lines.overlong
        return self._size > self._limit or (head is not None and not head.startswith(b":"))

    def feed(self, part: bytes) -> list[Event | Oversized]:
        """Take the next bytes and return the events that are whole with them."""
        lines = self._lines.feed(self._plain(part))
        return [event for line in lines if (event := self._take(line)) is not None]

    def _plain(self, part: bytes) -> bytes:
        """Return the part with LF for every line end, and without the mark that a stream may begin with."""
        if self._start is not None:
            part = self._start + part
            if len(part) < len(_MARK) and _MARK.startswith(part):
                self._start = part
                return b""
            self._start = None
            part = part.removeprefix(_MARK)
        if self._returned and part:
            part = part.removeprefix(b"\n")
            self._returned = False
        if b"\r" in part:
            self._returned = part.endswith(b"\r")
            part = part.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return part

    def _begin(self) -> None:
        self._size = 0
        self._name = b""
        self._id: list[bytes] = []
        self._retry: list[bytes] = []
        self._data: list[bytes] = []
        # Of the data of an event that is too large: its beginning, bytes that this may still grow by, and its end.
        self._head, self._room, self._tail = b"", HEAD, b""

    def _take(self, line: Line) -> Event | Oversized | None:
        if not line:
            return self._close()
        long, text = (line, line.head) if isinstance(line, Oversized) else (None, bytes(line))
        name, _, value = text.partition(b":")
        if not name:
            return None
        value = value.removeprefix(b" ")
        self._size += len(name) + 2 + len(value) if long is None else self._limit + 1
        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._name = value
        elif name == b"id" and b"\0" not in value:
            self._id = [text]
        elif name == b"retry" and _RETRY.fullmatch(value):
            self._retry = [text]
        if self._size > self._limit and self._data:
            self._fold(long if name == b"data" else None)
        return None

    def _fold(self, long: Oversized | None) -> None:
        """Keep of the data only what may name the request that it answers; `long` is its last line, if too long."""
        text = b"\n".join(self._data)
        self._data.clear()
        if self._room > 0:
            self._head += text[: self._room] + b"\n"
            self._room -= len(text) if long is None else self._room
        self._tail = (self._tail + b"\n" + (text if long is None else long.tail)[-TAIL:])[-TAIL:]

    def _close(self) -> Event | Oversized | None:
        event: Event | Oversized | None = None
        if self._size > self._limit:
            event = Oversized(head=self._head, tail=self._tail)
        elif self._size:
            event = Event(name=self._name, about=self._id + self._retry, data=b"\n".join(self._data))
        self._begin()
        return event
