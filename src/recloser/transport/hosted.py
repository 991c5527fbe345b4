"""A transport that lives in a task of its own.

The SDK's transports hold a task group, and a task group that fails cancels the task that entered it. Here that is a
task with nothing else to do: whoever uses the transport sees its stream end and an event set, and is never cancelled.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Self, TypeAlias

__all__ = ["HostedTransport", "Streams", "Watched"]

Streams: TypeAlias = tuple[Any, Any]
"""What we read from and what we write to, in the shape of the SDK's `TransportStreams`."""


class HostedTransport(ABC):
    """An SDK transport, entered once, whose streams may be used from any task of the loop."""

    def __init__(self) -> None:
        self.died = asyncio.Event()
        """Set when the peer's stream has ended, for whatever reason; nothing will be answered any more."""
        self.error: BaseException | None = None
        """What ended the transport, if it did not end because it was left."""
        # Written by __aenter__() and the host task.
        self._leave = asyncio.Event()
        self._opened: asyncio.Future[Streams] | None = None
        self._host: asyncio.Task[None] | None = None

    @abstractmethod
    def _open(self) -> AbstractAsyncContextManager[Streams]:
        """Return the context that holds the streams open; runs in the host task."""

    async def __aenter__(self) -> Streams:
        """Open the transport.

        Raises:
            RuntimeError: it has been entered before.
            Exception: whatever kept it from opening.
        """
        if self._host is not None:
            raise RuntimeError("a transport can be entered only once")
        self._opened = asyncio.get_running_loop().create_future()
        self._host = asyncio.create_task(self._live(self._opened))
        waiting: set[asyncio.Future[Any]] = {self._opened, self._host}
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await self._end()
            raise
        if self._opened.done():
            return self._opened.result()
        assert self.error is not None
        raise self.error

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the transport; raises nothing of its own."""
        assert self._host is not None
        self._leave.set()
        try:
            await asyncio.wait({self._host})
        except asyncio.CancelledError:
            await self._end()
            raise

    async def _end(self) -> None:
        assert self._host is not None
        self._host.cancel()
        await asyncio.wait({self._host})

    async def _live(self, opened: asyncio.Future[Streams]) -> None:
        try:
            async with self._open() as streams:
                opened.set_result(streams)
                await self._leave.wait()
        except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001 - kept for whoever enters, or asks
            self.error = error
        finally:
            self.died.set()


class Watched:
    """A read stream that sets an event when it ends; being cancelled is no end."""

    def __init__(self, inner: Any, ended: asyncio.Event) -> None:
        self._inner = inner
        self._ended = ended

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)  # among them `last_context`, which the SDK's dispatcher looks for

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        try:
            return await anext(self._inner)
        except Exception:
            self._ended.set()
            raise

    async def receive(self) -> Any:
        """Return the next message."""
        try:
            return await self._inner.receive()
        except Exception:
            self._ended.set()
            raise

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._inner.aclose()
