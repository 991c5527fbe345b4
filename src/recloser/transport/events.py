"""An event stream whose every message the SDK can read; the reader of its events is the SDK's or httpx2's as before."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import Final

import httpx2
from mcp_types import ErrorData, JSONRPCError, RequestId

from recloser.facts import FAULT_CODE, HttpFacts
from recloser.transport.bodies import content_type, own_headers
from recloser.transport.readable import readable

__all__ = ["readable_events"]

_log = logging.getLogger("recloser")

_ENDS: Final = (b"\n\n", b"\n\r\n", b"\r\r")
"""How an event usually ends: with an empty line."""
_LINE_ENDS: Final = (b"\n\n", b"\n\r", b"\r\r")
"""Ends of two lines one after the other, however a line ends."""


def readable_events(response: httpx2.Response, wanted: RequestId | None, limit: int) -> httpx2.Response:
    """Return an event stream's response in which what is no message is an error for `wanted`; any other as it is.

    Without a `wanted` such an event says nothing. One of more than `limit` bytes goes by: its reader will refuse it.
    """
    if content_type(response) != "text/event-stream":
        return response
    return httpx2.Response(
        response.status_code,
        headers=own_headers(response),
        stream=_Events(response, wanted, limit),
        request=response.request,
        extensions=response.extensions,
    )


class _Events(httpx2.AsyncByteStream):
    """The bytes of a stream, handed on by whole events. Read once, by one reader, who closes it.

    It is no generator: one that is left in the middle would outlive its reader by some turns of the loop.
    """

    def __init__(self, response: httpx2.Response, wanted: RequestId | None, limit: int) -> None:
        self._response = response
        self._wanted = wanted
        self._limit = limit
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        encoded = "content-encoding" in response.headers
        self._parts = aiter(response.aiter_bytes() if encoded else response.stream)
        self._held = bytearray()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        held = self._held
        while (part := await anext(self._parts, None)) is not None:
            seen = len(held)
            held += part
            if end := _end(held, max(0, seen - 1)):
                whole = self._checked(bytes(held[:end]))
                del held[:end]
                return whole
            if len(held) > self._limit:
                break
        if not held:
            raise StopAsyncIteration
        rest = bytes(held)
        held.clear()
        return rest

    async def aclose(self) -> None:
        await self._response.aclose()

    def _checked(self, events: bytes) -> bytes:
        told: list[bytes] = []
        event: list[bytes] = []
        changed = False
        for line in events.splitlines():
            if line:
                event.append(line)
                continue
            mended = self._event(event)
            changed = changed or mended is not event
            told += [*mended, b""]
            event = []
        return b"\n".join([*told, b""]) if changed else events

    def _event(self, lines: list[bytes]) -> list[bytes]:
        """Return the lines of an event; the same list if its message can be read, or if it has none."""
        fields = [line.partition(b":") for line in lines]
        kinds = [value.strip() for name, _, value in fields if name == b"event"]
        data = b"\n".join(value.removeprefix(b" ") for name, _, value in fields if name == b"data")
        if not data.strip() or kinds[-1:] not in ([], [b""], [b"message"]) or sum(map(len, lines)) > self._limit:
            return lines
        found = readable(data)
        if found is None:
            # The reader takes the stream for text, in which other bytes than those of characters are replaced.
            data = data.decode(self._response.encoding or "utf-8", "replace").encode("utf-8", "replace")
            found = readable(data)
        if found is not None and found[0] is data:
            return lines
        said = self._instead() if found is None else found[0]
        others = [line for line, (name, _, _) in zip(lines, fields, strict=True) if name != b"data"]
        said = said.decode().encode(self._response.encoding or "utf-8", "replace")
        return [*others, *(b"data: " + each for each in said.split(b"\n"))]

    def _instead(self) -> bytes:
        if self._wanted is None:
            _log.debug("an event that is no message is left out")
            return b""
        status = self._response.status_code
        facts = HttpFacts(kind="malformed", sent=True, status=status)
        error = ErrorData(code=FAULT_CODE, message=f"HTTP {facts.kind} {status}", data=facts.to_data())
        answer = JSONRPCError(jsonrpc="2.0", id=self._wanted, error=error)
        return answer.model_dump_json(by_alias=True, exclude_unset=True).encode()


def _end(held: bytearray, start: int) -> int:
    """Return where the last whole event ends; 0 if there is none in what came from `start` on."""
    if held.endswith(_ENDS):
        return len(held)
    last = max(held.rfind(each, start) for each in _LINE_ENDS)
    return last + 2 if last >= 0 else 0
