"""What an authentication does beside the requests that it serves: errands to an authorization server.

A token is for all requests of a client, so that one errand serves everybody who needs it, and goes on when the caller
it was begun for has gone: a refresh that is broken off may have used up the refresh token, and signed everybody out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, Final, TypeVar

import anyio
import httpx2

from recloser.facts import seconds_asked
from recloser.transport.bodies import announced_length, read_body, whole

__all__ = ["Errand", "Errands", "Unavailable", "may_pass"]

ANSWER: Final = 10.0
"""Seconds that an authorization server has for each answer: while it hangs, nobody has a token."""
SETTLE: Final = 2.0
"""Seconds that an errand which nobody waits for has outside of a request, such as with a person who is to sign in: time
for a retry to find it under way, and not to begin another."""
LONGEST: Final = 300.0
"""Seconds that an errand may take in all: what a person has for any question to our side."""
UNWIND: Final = 1.0
"""Seconds that errands have to end when their client closes."""

T = TypeVar("T")
Do = Callable[["Errand"], Awaitable[T]]
Fetch = Callable[[httpx2.Request], Awaitable[httpx2.Response]]


class Unavailable(Exception):  # noqa: N818 - a verdict that never leaves the transport
    """The authorization server cannot do now what it may be able to do later."""


class Errand:
    """One errand; written by itself and by those who wait for it."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._asking = False
        self.task: asyncio.Task[Any]
        self.waiting = 0
        """How many wait for it."""
        self.status: int | None = None
        """The status of the authorization server that says most: one that may pass, else the last."""
        self.retry_after: float | None = None
        """The seconds that it asked us to wait with that."""

    async def ask(self, request: httpx2.Request) -> httpx2.Response:
        """Return the whole answer to a request; see `Errands.fetch`."""
        self._asking = True
        try:
            response = await self._fetch(request)
        finally:
            self._asking = False
            self.leave()
        if not may_pass(self.status):
            self.status, self.retry_after = response.status_code, seconds_asked(response.headers)
        return response

    def leave(self) -> None:
        """End it soon, unless somebody waits for it or an answer is on its way."""
        if self._is_idle():
            asyncio.get_running_loop().call_later(SETTLE, self._give_up)

    def _is_idle(self) -> bool:
        return not (self.waiting or self._asking or self.task.done())

    def _give_up(self) -> None:
        if self._is_idle():
            self.task.cancel()


class Errands:
    """The errands of one client; written by its own methods.

    Args:
        send: Sends a request as it is, and leaves its answer to be read.
        limit: The largest answer that is taken, in bytes.
    """

    def __init__(self, send: Fetch, limit: int) -> None:
        self._send = send
        self._limit = limit
        self._under_way: dict[Hashable, Errand] = {}

    async def fetch(self, request: httpx2.Request) -> httpx2.Response:
        """Return the whole answer to a request.

        Raises:
            TooLarge: it has more bytes than allowed.
            httpx2.RequestError: there is none in time, or none at all.
        """
        try:
            with anyio.fail_after(ANSWER):
                return await self._whole(await self._send(request))
        except TimeoutError as error:
            raise httpx2.ReadTimeout("no answer in time", request=request) from error

    async def _whole(self, response: httpx2.Response) -> httpx2.Response:
        try:
            announced = announced_length(response)
            body = await read_body(response, self._limit, announced)
        finally:
            await response.aclose()
        if announced is not None:
            return response
        made = whole(response, body)
        made.next_request = response.next_request
        return made

    async def join(self, key: Hashable, do: Do[T], told: Callable[[Errand], None]) -> T:
        """Return what an errand brings; it is begun unless one of that key is under way.

        Args:
            key: what it is for.
            do: does it.
            told: hears of one that failed.

        Raises:
            Unavailable: it was ended before it brought anything.
            Exception: whatever made it fail.
        """
        errand = self._under_way.get(key) or self._begin(key, do)
        errand.waiting += 1
        try:
            # Not awaited itself: this caller's cancellation would be the errand's, and the errand's this caller's.
            await asyncio.wait([errand.task])
        finally:
            errand.waiting -= 1
            errand.leave()
        if errand.task.cancelled():
            raise Unavailable
        if errand.task.exception() is not None:
            told(errand)
        brought: T = errand.task.result()
        return brought

    def _begin(self, key: Hashable, do: Do[Any]) -> Errand:
        errand = Errand(self.fetch)

        async def run() -> Any:
            with anyio.move_on_after(LONGEST):
                return await do(errand)
            raise Unavailable

        def over(task: asyncio.Task[Any]) -> None:
            self._under_way.pop(key)
            if not task.cancelled():
                task.exception()  # or the loop would tell of one that nobody has waited for

        errand.task = asyncio.create_task(run(), name="recloser errand")
        errand.task.add_done_callback(over)
        self._under_way[key] = errand
        return errand

    async def aclose(self) -> None:
        """End all, and wait for them; a sign-in that will not end is left."""
        tasks = [errand.task for errand in self._under_way.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=UNWIND)


def may_pass(status: int | None) -> bool:
    """Return whether a status of an authorization server tells of something that may pass."""
    return status is not None and (status in (408, 425, 429) or status >= 500)
