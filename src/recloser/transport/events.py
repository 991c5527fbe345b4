"""An event stream whose every message the SDK can read; the reader of its events is the SDK's or httpx2's as before."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator

import httpx2
from mcp_types import ErrorData, JSONRPCError, JSONRPCMessage, RequestId

from recloser.facts import FAULT_CODE, HttpFacts, Kind
from recloser.transport.answers import answers_another
from recloser.transport.bodies import content_type, own_headers
from recloser.transport.framing import Event, Framing
from recloser.transport.lines import Line, Oversized, messages_of
from recloser.transport.readable import readable

__all__ = ["readable_events"]

_log = logging.getLogger("recloser")


def readable_events(response: httpx2.Response, wanted: RequestId | None, limit: int) -> httpx2.Response:
    """Return an event stream's response that says nothing but events that the reader can take; any other as it is.

    With a `wanted`, what is no message, answers another request or has more than `limit` bytes is an error for that
    request. Without one, such an event is an error for the request that it certainly answers, or says nothing.
    """
    if content_type(response) != "text/event-stream":
        return response
    # Events are in UTF-8 whatever the header says (WHATWG, "Server-sent events"), and so are those handed on.
    headers = [(name, value) for name, value in own_headers(response) if name != "content-type"]
    return httpx2.Response(
        response.status_code,
        headers=[*headers, ("content-type", "text/event-stream")],
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
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        encoded = "content-encoding" in response.headers
        self._parts = aiter(response.aiter_bytes() if encoded else response.stream)
        self._framing = Framing(limit)
        self._over = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while not self._over and (part := await anext(self._parts, None)) is not None:
            told = b"".join(map(self._told, self._framing.feed(part)))
            if self._wanted is not None and self._framing.overflows:
                # How much more of it comes, nobody needs to know.
                self._over = True
                told += _written(self._failure(self._wanted, "too_large"))
            if told:
                return told
        raise StopAsyncIteration

    async def aclose(self) -> None:
        await self._response.aclose()

    def _told(self, event: Event | Oversized) -> bytes:
        """Return what is handed on of an event."""
        if isinstance(event, Oversized):
            return b"".join(map(_written, self._instead("too_large", event)))
        about = b"".join(line + b"\n" for line in event.about)
        if event.name == b"endpoint" and self._wanted is None:
            return about + b"event: endpoint\n" + _written(event.data)
        # Its reader would tell the log the name of any other.
        is_message = event.name in (b"", b"message") and event.data.strip()
        messages = self._messages(event.data) if is_message else []
        return about + (b"".join(map(_written, messages)) or (b"\n" if about else b""))

    def _messages(self, data: bytes) -> list[bytes]:
        """Return the message in an event's data, or what takes its place."""
        found = readable(data) or readable(self._as_labelled(data))
        if found is None:
            return self._instead("malformed", data)
        if self._wanted is not None and answers_another(found[1], self._wanted):
            return [self._failure(self._wanted, "wrong_id")]
        return [found[0]]

    def _as_labelled(self, data: bytes) -> bytes:
        """Return text that is not in UTF-8 as what the response's header says it is; other bytes are replaced."""
        try:
            text = data.decode(self._response.encoding or "utf-8", "replace")
        except (LookupError, UnicodeError):  # Python's codecs are more than those of texts
            text = data.decode("utf-8", "replace")
        return text.encode("utf-8", "replace")

    def _instead(self, kind: Kind, line: Line) -> list[bytes]:
        """Return what takes the place of an event that holds no message, or is too large."""
        if self._wanted is not None:
            return [self._failure(self._wanted, kind)]
        messages = messages_of(line)
        if not messages:
            _log.debug("an event that is no message is left out")
        return [_json(message) for message in messages]

    def _failure(self, request_id: RequestId, kind: Kind) -> bytes:
        status = self._response.status_code
        facts = HttpFacts(kind=kind, sent=True, status=status)
        error = ErrorData(code=FAULT_CODE, message=f"HTTP {facts.kind} {status}", data=facts.to_data())
        return _json(JSONRPCError(jsonrpc="2.0", id=request_id, error=error))


def _json(message: JSONRPCMessage) -> bytes:
    return message.model_dump_json(by_alias=True, exclude_unset=True).encode()


def _written(data: bytes) -> bytes:
    return b"data: " + data.replace(b"\n", b"\ndata: ") + b"\n\n"
