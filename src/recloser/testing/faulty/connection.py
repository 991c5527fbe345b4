"""One TCP connection of the HTTP server: bytes to requests, and answers, good and broken ones, to bytes."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Mapping
from typing import Final

from recloser.testing.faulty.deeds import encoded
from recloser.testing.faulty.work import Json

__all__ = ["Connection", "Exchange"]

_REASONS: Final[Mapping[int, str]] = {200: "OK", 202: "Accepted", 400: "Bad Request", 404: "Not Found"}
_HEAD_LIMIT: Final = 65_536
# Closing with this set sends a reset instead of an orderly end.
_NO_LINGER: Final = struct.pack("ii", 1, 0)

JSON_TYPE: Final = "application/json"


class Connection(asyncio.Protocol):
    """Reads one request at a time; the next is not looked at before the one before is answered."""

    def __init__(self, serve: Callable[[Exchange], None], known: set[Connection]) -> None:
        self._serve = serve
        self._known = known
        self._buffer = bytearray()
        self._wanted = 0
        self._exchange: Exchange | None = None
        self.transport: asyncio.Transport | None = None
        self.gone = asyncio.Event()
        """Set when the client is gone."""
        self.written = asyncio.Event()
        """Set while all that was sent has left this process, or cannot leave it any more."""
        self.written.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take note of the connection."""
        assert isinstance(transport, asyncio.Transport)
        # Told from the first byte that stays behind, until none does.
        transport.set_write_buffer_limits(0)
        self.transport = transport
        self._known.add(self)

    def pause_writing(self) -> None:
        """Take note that the client reads more slowly than we send."""
        self.written.clear()

    def resume_writing(self) -> None:
        """Take note that all has left."""
        self.written.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell who waits for it that the client is gone."""
        self.transport = None
        self._known.discard(self)
        self.gone.set()
        self.written.set()
        if self._exchange is not None and self._exchange.on_loss is not None:
            self._exchange.on_loss()

    def data_received(self, data: bytes) -> None:
        """Collect bytes until a request is complete."""
        self._buffer += data
        if self._exchange is None and len(self._buffer) >= self._wanted:
            self._next()

    def done(self) -> None:
        """Go on with the next request."""
        self._exchange = None
        if self._buffer:
            # Not from within the handling of the one before: a client may send ahead without end.
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        if self._exchange is not None or self.transport is None:
            return
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > _HEAD_LIMIT:
                self.transport.abort()
            return
        first, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        words, length = first.split(" "), headers.get("content-length", "0")
        if len(words) != 3 or not length.isdecimal() or "transfer-encoding" in headers:
            Exchange(self, "", "", headers, b"").respond(400, b"not understood", "text/plain")
            self.transport.close()
            return
        self._wanted = end + 4 + int(length)
        if len(self._buffer) < self._wanted:
            return
        body = bytes(self._buffer[end + 4 : self._wanted])
        del self._buffer[: self._wanted]
        self._wanted = 0
        self._exchange = Exchange(self, words[0], words[1], headers, body)
        self._serve(self._exchange)

    def write(self, data: bytes) -> None:
        """Write bytes as they are; without effect when the client is gone."""
        if self.transport is not None:
            self.transport.write(data)

    def drop(self, *, reset: bool) -> None:
        """End the connection by a reset, or by an orderly end in the middle of whatever it is in."""
        if self.transport is None:
            return
        if reset:
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            self.transport.abort()
        else:
            self.transport.close()


class Exchange:
    """One HTTP request and what goes back."""

    __slots__ = ("body", "connection", "headers", "on_loss", "out", "path", "state", "verb")

    def __init__(self, connection: Connection, verb: str, path: str, headers: Mapping[str, str], body: bytes) -> None:
        self.connection = connection
        self.verb = verb
        self.path = path
        self.headers = headers
        self.body = body
        self.out: dict[str, str] = {}
        """Headers to send with the answer."""
        self.state = "open"
        """`open`, `streaming`, or `done`; changed by `respond`, `_head` and `end` alone."""
        self.on_loss: Callable[[], None] | None = None
        """Called when the client goes before the answer."""

    def respond(self, status: int, body: bytes = b"", content_type: str = JSON_TYPE, *, length: int = -1) -> None:
        """Send a whole answer; with `length` it says that the body is as long as that."""
        if self.state != "open":
            return
        self.state = "done"
        more = "".join(f"{name}: {value}\r\n" for name, value in self.out.items())
        size = len(body) if length < 0 else length
        kind = f"content-type: {content_type}\r\n" if size else ""
        head = f"HTTP/1.1 {status} {_REASONS.get(status, 'Fault')}\r\n{kind}content-length: {size}\r\n{more}\r\n"
        self.connection.write(head.encode("latin-1") + body)
        self.connection.done()

    def stream(self) -> None:
        """Begin an event stream."""
        self.connection.write(self._head())

    def event(self, message: Json, *, event_id: str = "") -> None:
        """Send one message as an event; the first one begins the stream."""
        self.chunk(_event(message, event_id))

    def chunk(self, data: bytes) -> None:
        """Send bytes as a part of the stream."""
        if self.state != "done":
            self.connection.write(self._head() + _chunk(data))

    def end(self, last: Json | None = None) -> None:
        """End the stream, if it has begun, with a last message."""
        if self.state == "done" or (self.state == "open" and last is None):
            return
        before = self._head() if last is None else self._head() + _chunk(_event(last, ""))
        self.state = "done"
        # In one piece: three small writes cost more than all the rest.
        self.connection.write(before + b"0\r\n\r\n")
        self.connection.done()

    def _head(self) -> bytes:
        if self.state != "open":
            return b""
        self.state = "streaming"
        more = "".join(f"{name}: {value}\r\n" for name, value in self.out.items())
        head = (
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n"
            f"transfer-encoding: chunked\r\n{more}\r\n"
        )
        return head.encode("latin-1")


def _event(message: Json, event_id: str) -> bytes:
    head = f"id: {event_id}\r\n" if event_id else ""
    data = encoded(message) if message else ""
    return f"event: message\r\n{head}data: {data}\r\n\r\n".encode()


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)
