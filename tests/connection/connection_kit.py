"""One connection with somebody who watches it, and calls to send over it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from recloser import Call, Server
from recloser.call import Deadline
from recloser.catalog import Listing
from recloser.connection import Callbacks, Connection


class Watched:
    """A connection, and all that it tells."""

    def __init__(self, server: Server, callbacks: Callbacks | None = None, *, jitter: float = 1.0) -> None:
        self.states: list[str] = []
        self.times: list[float] = []
        self.codes: list[str | None] = []
        self.listings: list[Listing] = []
        self.stderr: list[str] = []
        self.connection = Connection(
            server,
            callbacks or Callbacks(),
            on_change=self._changed,
            on_listing=self.listings.append,
            on_stderr=self.stderr.append,
            rng=lambda: jitter,
        )
        self._moved = asyncio.Event()

    def _changed(self, state: str, error: Any) -> None:
        self.states.append(state)
        self.times.append(asyncio.get_running_loop().time())
        self.codes.append(None if error is None else error.payload.code)
        self._moved.set()

    async def until(self, state: str, times: int = 1) -> None:
        """Wait until it has been in a state so many times."""
        while self.states.count(state) < times:
            self._moved.clear()
            await self._moved.wait()

    async def call(self, name: str = "echo", **options: Any) -> str:
        """Make a call and return the text of its answer."""
        result = await self.connection.send(call_of(name, **options))
        return str(result.content[0].text)


def call_of(name: str = "echo", arguments: dict[str, Any] | None = None, **options: Any) -> Call[Any]:
    """A call as it arrives at a connection."""
    call = Call.tool(name, arguments).replace(server="peer", **options)
    return call.replace(params={"name": name, "arguments": arguments or {}})


def clocks(total: float, attempt: float) -> dict[str, Deadline]:
    """A deadline and a limit from now on."""
    now = asyncio.get_running_loop().time()
    return {"deadline": Deadline(now + total), "limit": Deadline(now + attempt)}


@asynccontextmanager
async def watched(server: Server, callbacks: Callbacks | None = None, **options: Any) -> AsyncIterator[Watched]:
    """A connection that is closed in the end, and leaves no task behind."""
    before = asyncio.all_tasks()
    made = Watched(server, callbacks, **options)
    try:
        yield made
    finally:
        await made.connection.close()
        await asyncio.sleep(0)
    left = asyncio.all_tasks() - before
    assert not left, left
