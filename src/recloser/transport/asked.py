"""The requests of one session that were posted, so that those whose callers have gone can be ended.

In the handshake era the SDK tells a server that a call is cancelled and waits on for its answer, and resumes the stream
that it should come on, for as long as the session lives. A server that never answers would be left with a connection, a
task and a file descriptor for each of these calls. The specification says that a connection that is closed cancels
nothing, so closing it after the notice takes nothing from anybody.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import ContextVar
from typing import Any, Final, NamedTuple, TypeVar

import anyio
import httpx2
from mcp_types import RequestId

__all__ = ["LEAVE", "Asked", "AskedRequests", "Body", "Leaving", "Withdrawn"]

GRACE: Final = 5.0
"""Seconds that a request stays open after its server was told that nobody waits for the answer."""

T = TypeVar("T")


class Leaving(NamedTuple):
    """What whoever sends a message wants to know of the request that carries it."""

    may: Callable[[], bool]
    """Asked just before it goes out: whether it still may."""
    back: Callable[[], None]
    """Called where the server has refused it before it acted on it, and it may go out again."""


LEAVE: Final[ContextVar[Leaving | None]] = ContextVar("recloser_leave", default=None)
"""That of the message for which a task makes a request. Travels with the SDK's messages."""


class Withdrawn(Exception):  # noqa: N818 - a verdict that never leaves the transport
    """Nobody waits for a request any more, and it has not been sent."""


class Body(httpx2.AsyncByteStream):
    """The body of a request: what a server must have before it can act."""

    def __init__(self, content: bytes, asked: Asked) -> None:
        self._content = content
        self.asked = asked
        """Hears that it goes out, each time."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self.asked.leave()
        yield self._content


class Asked:
    """One request, made by the task that it was made in; ended by `give_up`, which any task may call."""

    __slots__ = ("_leaving", "_response", "_scope", "id", "left", "task", "unwanted")

    def __init__(self, request_id: RequestId) -> None:
        self.id = request_id
        self.task: asyncio.Task[Any] | None = asyncio.current_task()
        self.unwanted = False
        """Whether nobody waits for the answer any more."""
        self.left = False
        """Whether the server may have it."""
        self._leaving = LEAVE.get()
        self._scope: anyio.CancelScope
        self._response: httpx2.Response | None = None

    def leave(self) -> None:
        """Note that the request goes out now.

        Raises:
            Withdrawn: it must not: its caller has gone, and was told that it was never sent.
        """
        if self.unwanted or (self._leaving is not None and not self._leaving.may()):
            raise Withdrawn
        self.left = True

    def come_back(self) -> None:
        """Note that the server has refused the request before it acted on it: it is as if it had not left."""
        self.left = False
        if self._leaving is not None:
            self._leaving.back()

    async def hold(self, getting: Awaitable[T]) -> T | None:
        """Return what is being got for this request, a response or not; None if it is given up meanwhile."""
        got: T | None = None
        self._scope = scope = anyio.CancelScope()
        with scope:
            got = await getting
        if isinstance(got, httpx2.Response):
            self._response = got
        if scope.cancel_called:
            await self.give_up()
            return None
        return got

    async def give_up(self) -> None:
        """End the request, whether its response is still awaited or is being read; of one that is over, nothing."""
        self._scope.cancel()
        if self._response is not None:
            await self._response.aclose()

    def let_go(self) -> None:
        """Forget what is over: its response knows its request, whose body knows this; only a collection would help."""
        self._response = self._leaving = self.task = None


class AskedRequests:
    """Those of one session, each for as long as the task that it was made in. Written by its own methods."""

    def __init__(self) -> None:
        self._by_id: dict[RequestId, Asked] = {}

    def add(self, request_id: RequestId) -> Asked:
        """Note that the current task makes a request."""
        asked = self._by_id[request_id] = Asked(request_id)
        assert asked.task is not None
        asked.task.add_done_callback(lambda _: self._over(asked))
        return asked

    def mine(self) -> Asked | None:
        """Return the request that the current task was made for, if there is one."""
        task = asyncio.current_task()
        return next((asked for asked in self._by_id.values() if asked.task is task), None)

    def withdraw(self, request_id: RequestId | None) -> Asked | None:
        """Return a request that nobody waits for any more; None if it is over, or there was none."""
        asked = self._by_id.get(request_id) if request_id is not None else None
        if asked is not None:
            asked.unwanted = True
        return asked

    def _over(self, asked: Asked) -> None:
        asked.let_go()
        if self._by_id.get(asked.id) is asked:  # a session may use an id again
            del self._by_id[asked.id]
