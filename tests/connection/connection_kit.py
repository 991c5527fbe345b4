"""One connection with somebody who watches it, calls to send over it, and servers that are slow or gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from recloser import Call, Server, Timeouts
from recloser.call import Deadline
from recloser.catalog import Listing
from recloser.connection import Callbacks, Connection
from recloser.testing.leaks import no_leaks
from support.peers import ALL, Peer, Refusal, Silence, said

ERAS = pytest.mark.parametrize("modern", [True, False], ids=["modern", "legacy"])


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


def run(main):
    async def checked():
        async with no_leaks():
            await main()

    asyncio.run(checked())


def now():
    return asyncio.get_running_loop().time()


async def hangs(line, params):
    raise Silence


async def slow(line, params):
    await asyncio.sleep(5)
    return said("slow")


def broken(peer):
    peer.down = ConnectionRefusedError("nobody there")
    return peer


class Slow:
    """A transport that takes a while to close, and notes who disturbs it."""

    def __init__(self, peer, seconds):
        self.inner = peer()
        self.seconds = seconds
        self.disturbed = 0
        self.closed = False

    async def __aenter__(self):
        return await self.inner.__aenter__()

    async def __aexit__(self, *error):
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            self.disturbed += 1
            raise
        finally:
            await self.inner.__aexit__(*error)
            self.closed = True


def slowly(peer, seconds):
    made = []

    def make():
        made.append(Slow(peer, seconds))
        return made[-1]

    server = peer.server(timeouts=Timeouts(start=7, shutdown=4))
    object.__setattr__(server, "target", make)
    return server, made


def refuses(code, data=None):
    async def handler(line, params):
        raise Refusal(code, "no", data)

    return handler


def everything(**more):
    peer = Peer(**more)
    peer.capabilities = ALL
    return peer


def names(listing):
    return [each.name for each in listing.tools]
