"""An upstream with somebody who watches it, for tests of what lies between a router and a connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from recloser import Call, Server
from recloser.catalog import Listing
from recloser.connection import Callbacks
from recloser.events import Emitter, Event
from recloser.observer import Observer
from recloser.redact import Redactor
from recloser.upstream import Upstream


class Watched:
    """An upstream, and all that it tells."""

    def __init__(self, server: Server, *, secrets: Iterable[str] = (), jitter: float = 1.0) -> None:
        self.events: list[Event] = []
        self.listings: list[Listing] = []
        self.available: list[tuple[bool, str | None]] = []
        redactor = Redactor(secrets)
        self.upstream = Upstream(
            server,
            Callbacks(),
            observer=Observer(emit=Emitter([self.events.append]), redactor=lambda: redactor),
            on_listing=lambda _, listing: self.listings.append(listing),
            on_available=lambda _, available, code: self.available.append((available, code)),
            rng=lambda: jitter,
        )
        self.endpoint = self.upstream.endpoints[0]
        self.circuit = self.endpoint.circuit

    def of(self, kind: type[Any]) -> list[Any]:
        """The events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]

    async def call(self, name: str = "echo", arguments: dict[str, Any] | None = None, **options: Any) -> Any:
        """Make a call and return its result."""
        return await self.upstream.send(call_of(name, arguments, **options))

    async def fail(self, times: int, name: str = "broken") -> None:
        """Make calls that are expected to fail."""
        await asyncio.gather(*(self.call(name) for _ in range(times)), return_exceptions=True)


def call_of(name: str, arguments: dict[str, Any] | None = None, **options: Any) -> Call[Any]:
    """A call as the router hands it to an upstream."""
    call = Call.tool(name, arguments).replace(server="peer", **options)
    return call.replace(params={"name": name, "arguments": arguments or {}})


@asynccontextmanager
async def watched(server: Server, **options: Any) -> AsyncIterator[Watched]:
    """An upstream that is closed in the end, and leaves no task behind."""
    before = asyncio.all_tasks()
    made = Watched(server, **options)
    try:
        yield made
    finally:
        await made.upstream.close()
        await asyncio.sleep(0)
    left = asyncio.all_tasks() - before
    assert not left, left
