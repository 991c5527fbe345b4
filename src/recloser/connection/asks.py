"""What a server asks of our side: sampling, elicitation, roots; and what it tells: logs and changed lists.

While a server waits for an answer, the clocks of the call that it serves stand still and a limit of its own runs.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import mcp_types as types
from mcp.client import ClientRequestContext, IncomingMessage
from mcp.shared.dispatcher import ProgressFnT
from pydantic import BaseModel

from recloser.apart import apart, of_the_host
from recloser.call import CURRENT, Call, Deadline

__all__ = ["Asks", "Callbacks", "Elicitation", "LogCallback", "Roots", "Sampling", "stand_still"]

_log = logging.getLogger("recloser")

LogCallback = Callable[[str, types.LoggingMessageNotificationParams], Awaitable[None]]
"""Hears a server's log messages: the server's name, and what it said."""


class Sampling(Protocol):
    """Answers a server's request for a model's words."""

    async def __call__(
        self, context: ClientRequestContext, params: types.CreateMessageRequestParams, /
    ) -> types.CreateMessageResult | types.CreateMessageResultWithTools | types.ErrorData:
        """Return the model's message, or an error for the server."""
        ...


class Elicitation(Protocol):
    """Answers a server's question to the user."""

    async def __call__(
        self, context: ClientRequestContext, params: types.ElicitRequestParams, /
    ) -> types.ElicitResult | types.ErrorData:
        """Return the user's answer, or an error for the server."""
        ...


class Roots(Protocol):
    """Tells a server which folders it may use."""

    async def __call__(self, context: ClientRequestContext, /) -> types.ListRootsResult | types.ErrorData:
        """Return the folders, or an error for the server."""
        ...


@dataclass(frozen=True, kw_only=True)
class Callbacks:
    """Our side of the conversation; what is None is not offered to servers."""

    sampling: Sampling | None = None
    elicitation: Elicitation | None = None
    roots: Roots | None = None
    on_log: LogCallback | None = None


@contextmanager
def stand_still(calls: Iterable[Call[Any]]) -> Iterator[None]:
    """Stop the clocks of these calls for as long as the block runs."""
    loop = asyncio.get_running_loop()
    clocks: list[Deadline] = [clock for call in calls for clock in (call.deadline, call.limit) if clock is not None]
    for clock in clocks:
        clock.pause(loop.time())
    try:
        yield
    finally:
        for clock in clocks:
            clock.resume(loop.time())


T = TypeVar("T")


class Asks:
    """The callbacks of one generation, as the SDK wants them, with clocks and a limit around each question.

    `in_flight` yields the calls that the generation serves right now; `changed` is called when a list has changed.
    """

    def __init__(
        self,
        server: str,
        callbacks: Callbacks,
        limit: float,
        in_flight: Callable[[], Iterable[Call[Any]]],
        changed: Callable[[], None],
    ) -> None:
        self._server = server
        self._callbacks = callbacks
        self._limit = limit
        self._in_flight = in_flight
        self._changed = changed

    def session_arguments(self) -> dict[str, Any]:
        """Return the keyword arguments for the SDK's session; what nobody answers is left out, so not advertised."""
        given: dict[str, Any] = {"message_handler": self._told}
        if self._callbacks.sampling is not None:
            given["sampling_callback"] = self._sampling
        if self._callbacks.elicitation is not None:
            given["elicitation_callback"] = self._elicitation
        if self._callbacks.roots is not None:
            given["list_roots_callback"] = self._roots
        if self._callbacks.on_log is not None:
            given["logging_callback"] = self._logged
            # Servers of the modern era only send logs to whoever asks for a level.
            given["log_level"] = "info"
        return given

    def progress(self, call: Call[Any], *, more: float) -> ProgressFnT | None:
        """Return what hears of a call's progress, and gives its attempt as many seconds `more`; None if nobody does."""
        tell = call.progress
        if tell is None:
            return None
        loop = asyncio.get_running_loop()

        async def progressed(progress: float, total: float | None, message: str | None) -> None:
            if call.limit is not None and not call.limit.paused:
                call.limit.move(loop.time() + more)
            under_way = sys.exception()
            try:
                await tell(progress, total, message)
            except BaseException as error:
                if not of_the_host(error):
                    raise
                _log.error("a progress callback failed", exc_info=apart(error, under_way))

        return progressed

    async def _sampling(
        self, context: ClientRequestContext, params: types.CreateMessageRequestParams
    ) -> types.CreateMessageResult | types.CreateMessageResultWithTools | types.ErrorData:
        return await self._answer("sampling", self._callbacks.sampling, context, params)

    async def _elicitation(
        self, context: ClientRequestContext, params: types.ElicitRequestParams
    ) -> types.ElicitResult | types.ErrorData:
        return await self._answer("elicitation", self._callbacks.elicitation, context, params)

    async def _roots(self, context: ClientRequestContext) -> types.ListRootsResult | types.ErrorData:
        return await self._answer("roots", self._callbacks.roots, context)

    async def _answer(
        self, what: str, callback: Callable[..., Awaitable[T]] | None, *question: Any
    ) -> T | types.ErrorData:
        """Ask our side, within the limit; what goes wrong there becomes an error for the server."""
        assert callback is not None
        limit = asyncio.timeout(self._limit)
        under_way = sys.exception()  # of a server in this process, which may ask while it handles an error
        try:
            with stand_still(self._concerned()):
                async with limit:
                    answer = await callback(*question)
            if not isinstance(answer, BaseModel):
                raise TypeError(f"the callback for {what} returned {type(answer).__name__}, no model of the protocol")
        except BaseException as error:
            if not of_the_host(error):
                raise
            if isinstance(error, TimeoutError) and limit.expired():
                return types.ErrorData(code=types.REQUEST_TIMEOUT, message=f"no answer to {what} in {self._limit:g} s")
            shown = apart(error, under_way)
            _log.error("server %s asked for %s and the callback failed", self._server, what, exc_info=shown)
            return types.ErrorData(code=types.INTERNAL_ERROR, message=f"the callback for {what} failed")
        return answer

    def _concerned(self) -> list[Call[Any]]:
        """Return the calls that a question belongs to: the one in whose context it came, else all that are in flight.

        Over HTTP a question arrives on its call's own stream; over a pipe nothing says which call it belongs to.
        """
        served = list(self._in_flight())
        current = CURRENT.get()
        mine = [call for call in served if current is not None and call.call_id == current.call_id]
        return mine or served

    async def _logged(self, params: types.LoggingMessageNotificationParams) -> None:
        assert self._callbacks.on_log is not None
        under_way = sys.exception()
        try:
            await self._callbacks.on_log(self._server, params)
        except BaseException as error:
            if not of_the_host(error):
                raise
            _log.error("the log callback failed for server %s", self._server, exc_info=apart(error, under_way))

    async def _told(self, message: IncomingMessage) -> None:
        if isinstance(
            message,
            types.ToolListChangedNotification
            | types.ResourceListChangedNotification
            | types.PromptListChangedNotification,
        ):
            self._changed()
