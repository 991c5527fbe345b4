"""A loop beside the program's own threads: how it is begun, and how those step what lives there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from concurrent.futures import Future
from threading import Thread
from typing import Generic, TypeVar

from anyio import CancelScope, run
from anyio.from_thread import BlockingPortal

__all__ = ["Steps", "begun", "cancel"]

T = TypeVar("T")


def begun() -> tuple[BlockingPortal, Thread]:
    """Start a loop in a thread of its own; return the way into it, and the thread."""
    # As anyio's `start_blocking_portal`, but for its generator: that, thrown away in a fork, would wait for the thread.
    started: Future[BlockingPortal] = Future()

    async def until_stopped() -> None:
        async with BlockingPortal() as portal:
            started.set_result(portal)
            await portal.sleep_until_stopped()

    thread = Thread(target=run, args=(until_stopped,), name="recloser", daemon=True)
    thread.start()
    return started.result(), thread


async def cancel(scopes: Iterable[CancelScope]) -> None:
    """Cancel what runs within some scopes, without waiting for its end."""
    for scope in scopes:
        scope.cancel()


class Steps(Generic[T]):
    """The steps of a generator, one at a time.

    Whoever asked for a step may have been interrupted, and gone on to close the generator, while the step still ends
    over here; a generator that runs cannot be closed.
    """

    def __init__(self, generator: AsyncGenerator[T, None]) -> None:
        self._generator = generator
        self._turn = asyncio.Lock()

    async def next(self) -> T | None:
        """Return what the next step yields; None where there is none."""
        async with self._turn:
            return await anext(self._generator, None)

    async def close(self) -> None:
        """Close the generator, once its step has ended."""
        async with self._turn:
            await self._generator.aclose()
