"""The event stream of a session that belongs to no request: what a server tells by itself comes on it.

Proxies cut such a stream whenever it was silent for a minute. The SDK gives it up for good after its second failure,
and from then on no change of a list and no question of the server arrives. Here it is opened again for as long as the
session lives, so that the SDK reads one stream that never ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Final, cast

import httpx2

from recloser.facts import HttpFacts

__all__ = ["STREAM", "StandingStream"]

FIRST: Final = 1.0
"""Seconds before a stream that ended is opened again; doubles with each further time."""
CAP: Final = 300.0
"""The longest of these waits, also if the server asks for more."""
STEADY: Final = 30.0
"""Seconds that a stream must have stood for the waits to begin anew."""

STREAM: Final = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
"""What asks for an event stream."""

# 409 is what servers say that have not noticed yet that the last stream was cut: there may be one at a time.
_PASSING: Final = frozenset({408, 409, 425, 429})

Opened = httpx2.Response | HttpFacts


class StandingStream(httpx2.AsyncByteStream):
    """The messages of all streams that the server opens one after the other.

    Args:
        get: Asks for the stream, from after the event with that id if it is not empty.
        on_gap: Called when the stream stands again and something may have been missed.
        max_event: The largest event that is taken, in bytes.
    """

    def __init__(self, get: Callable[[str], Awaitable[Opened]], *, on_gap: Callable[[], None], max_event: int) -> None:
        self._get = get
        self._on_gap = on_gap
        self._max_event = max_event
        self._wait = FIRST
        self._gap = False
        self._last_id = ""
        self._began = 0.0
        self._response: httpx2.Response | None = None

    async def open(self) -> bool:
        """Return when the stream stands, or False if the server has none.

        What may pass is waited for: the session's requests may go on meanwhile.
        """
        while not isinstance(got := await self._get(self._last_id), httpx2.Response):
            if not _may_pass(got):
                return False
            self._gap = True
            await self._rest(got.retry_after)
        self._response, self._began = got, asyncio.get_running_loop().time()
        if self._gap:
            self._on_gap()
        return True

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield each message, whole: what a cut has left of one is dropped, as the format says."""
        standing = True
        while standing:
            asked: float | None = None
            complete = False
            try:
                async with aclosing(self._events()) as events:
                    async for event in events:
                        self._last_id = event.id or self._last_id
                        asked = asked if event.retry is None else event.retry / 1000
                        if event.event == "message" and event.data:
                            yield b"".join(b"data:%s\n" % line.encode() for line in event.data.split("\n")) + b"\n"
                complete = True
            except (httpx2.RequestError, httpx2.StreamError):
                pass  # which a proxy does, every minute
            finally:
                await self.aclose()
            # A server that gives its events numbers sends again what was missed.
            self._gap = not (complete and self._last_id)
            # One that says when to come again, and ends its stream properly, has been asked in its own way.
            if (complete and asked is not None) or asyncio.get_running_loop().time() - self._began >= STEADY:
                self._wait = FIRST
            await self._rest(asked)
            standing = await self.open()

    async def aclose(self) -> None:
        """Close the stream that stands now."""
        assert self._response is not None
        await self._response.aclose()

    def _events(self) -> AsyncGenerator[httpx2.ServerSentEvent]:
        assert self._response is not None
        source = httpx2.EventSource(self._response, max_event_size=self._max_event)
        return cast("AsyncGenerator[httpx2.ServerSentEvent]", aiter(source))

    async def _rest(self, asked: float | None) -> None:
        wait = max(self._wait, min(asked or 0.0, CAP))
        self._wait = min(self._wait * 2, CAP)
        await asyncio.sleep(wait)


def _may_pass(facts: HttpFacts) -> bool:
    """Return whether a stream that was not to be had may be had later; a server that has none says so."""
    if facts.kind == "status":
        assert facts.status is not None
        return facts.status in _PASSING or (facts.status >= 500 and facts.status != 501)
    return facts.kind in ("transport", "auth_unreachable")
