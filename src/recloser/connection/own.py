"""Requests of our own, that no caller asked for: negotiation, pages of lists, signs of life. Seen like calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol, TypeAlias

from recloser.classify import classify
from recloser.errors import ErrorPayload
from recloser.events import RequestFinished
from recloser.observer import Observer, answered_code
from recloser.options import Server
from recloser.spans import error_type, target_attributes

__all__ = ["Ask", "OwnRequests", "unseen"]

IsAnswer: TypeAlias = Callable[[Exception], bool]


class Ask(Protocol):
    """Goes around one request of a method; an error that is an answer to what was asked is none to tell of."""

    def __call__(self, method: str, answer: IsAnswer = ..., /) -> AbstractContextManager[None]:
        """Return what goes around it."""
        ...


def never(error: Exception, /) -> bool:
    """Take no error for an answer."""
    del error
    return False


def unseen(method: str, answer: IsAnswer = never, /) -> AbstractContextManager[None]:
    """Go around a request that nobody watches."""
    del method, answer
    return nullcontext()


class OwnRequests:
    """Tells of the requests to one server. Its only state is set by the connection that they go over."""

    def __init__(self, observer: Observer, server: Server) -> None:
        self._observer = observer
        self._server = server
        self._where = tuple(target_attributes(server).items())
        self.version: str | None = None
        """The protocol version that was agreed on."""
        self.overdue = False
        """Whether the start has had its time: a request that is cut off then was not cancelled, but has timed out."""

    def __call__(self, method: str, answer: IsAnswer = never, /) -> AbstractContextManager[None]:
        """Go around one request."""
        return self._watched(method, answer) if self._observer.watching else nullcontext()

    @contextmanager
    def _watched(self, method: str, answer: IsAnswer) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        failed: ErrorPayload | None = None
        cancelled = False
        with self._observer.spans.request(method, self._server, self.version) as told:
            try:
                yield
            except asyncio.CancelledError:
                cancelled = not self.overdue
                if self.overdue:
                    failed = self._failed(TimeoutError(), told)
                raise
            except Exception as error:
                if not answer(error):
                    failed = self._failed(error, told)
                raise
            finally:
                self._observer.emit(
                    RequestFinished(
                        server=self._server.name,
                        method=method,
                        duration=loop.time() - begun,
                        code="cancelled" if cancelled else None if failed is None else failed.code,
                        jsonrpc_code=answered_code(failed),
                        protocol_version=self.version,
                        where=self._where,
                    )
                )

    def _failed(self, error: Exception, told: Callable[[str | None], None]) -> ErrorPayload:
        failed = classify(error, server=self._server.name, sent=False).payload
        told(error_type(failed.code, answered_code(failed), is_error=False))
        return failed
