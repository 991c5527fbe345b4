"""A router over one sick server and one healthy one, and what the tests do to them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Literal, Self

import mcp_types as types

from recloser import Breaker, Retry, Router, RouterError, Server, Timeouts
from recloser.errors import ErrorPayload, error_of
from recloser.events import AttemptFinished, Event
from recloser.testing.faulty import FaultyHttp, FaultyStdio

Transport = Literal["http", "stdio"]
Era = Literal["legacy", "modern"]

BETWEEN_SESSIONS = ("hang_initialize", "hang_list", "exit_at_start")
"""Faults that strike only whoever connects."""
OF_CALLS = (
    "hang_call",
    "exit_mid_call",
    "exit_idle",
    "session_lost",
    "restart",
    "reset",
    "garbage",
    "bad_byte",
    "status_500",
    "status_503",
    "status_429",
    "status_401",
    "wedged_stdin",
)

SHORT = Timeouts(total=1.0, attempt=0.4, start=1.5, connect=0.4, shutdown=0.5)
"""For faults that end in silence."""
LONG = Timeouts(total=20.0, attempt=10.0, start=20.0, connect=5.0, shutdown=0.5)
"""For all others: nothing waits for these, however slow the machine is."""
RETRY = Retry(backoff=0.01, throttled_backoff=0.01, reconnect_backoff=0.01)
BREAKER = Breaker(open_for=0.1, open_cap=0.2)
GUARD = 30.0
"""Seconds after which something hangs; no assertion depends on how long things take below that."""


class Sick:
    """A server that can be made sick, the same over both transports."""

    def __init__(self, transport: Transport, era: Era) -> None:
        self.transport = transport
        self.era = era
        self.server: Any = FaultyHttp(era=era) if transport == "http" else FaultyStdio(era=era)
        self._stays_up: asyncio.Task[None] | None = None
        self._left = asyncio.Event()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def start(self) -> None:
        """Start the server if it is over; over stdio the router does that."""
        if self.transport == "http":
            await self.server.start()

    async def __aexit__(self, *exc_info: object) -> None:
        self._left.set()
        if self._stays_up is not None:
            await self._stays_up
        if self.transport == "http":
            await self.server.__aexit__(None, None, None)
        else:
            self.server.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.server, name)

    def options(self, name: str, **more: Any) -> Server:
        given = {"timeouts": LONG, "retry": RETRY, "breaker": BREAKER} | more
        if self.transport == "http":
            return Server(name, self.server.url, **given)
        return Server(name, command=self.server.command, args=self.server.args, **given)

    async def recover(self) -> None:
        """Behave again; what is over is started again, by whoever starts servers."""
        self.server.heal()
        await self.start()

    def keep_up(self) -> None:
        """From now on start the server again whenever it is over, as an operator's supervisor would."""
        self._stays_up = asyncio.create_task(self._keep_up())

    async def _keep_up(self) -> None:
        while not self._left.is_set():
            await self.start()
            await asyncio.sleep(0.02)

    def is_over(self) -> bool:
        """Whether the server is gone and its clients can know."""
        return not self.server.listening and not self.server.connections


class Bench:
    """A running router, its sick server and its healthy one."""

    def __init__(self, router: Router, sick: Sick, well: FaultyHttp, events: list[Event]) -> None:
        self.router = router
        self.events = events
        self.sick = sick
        self.well = well

    async def call(self, tool: str = "write", text: str = "x", **more: Any) -> types.CallToolResult:
        """Call a tool of the sick server; one that never returns fails the test."""
        async with asyncio.timeout(GUARD):
            return await self.router.call_tool(f"sick__{tool}", {"text": text}, **more)

    async def told(self, tool: str = "write", text: str = "x", **more: Any) -> ErrorPayload | None:
        """Call a tool of the sick server and return what went wrong; None if nothing did."""
        result = await self.call(tool, text, **more)
        error = error_of(result)
        assert error is not None or result.content[0].text, result
        return error

    async def served(self, tool: str = "echo") -> int:
        """Return how many calls failed before the sick server served one again."""
        failed = 0
        async with asyncio.timeout(GUARD):
            while await self.told(tool, "again", timeout=SHORT.attempt * 2) is not None:
                failed += 1
                await asyncio.sleep(0.02)
        return failed

    async def part(self) -> None:
        """End the session from the server's side while nothing is in flight, and wait until that can be known."""
        if self.sick.transport == "stdio":
            before = self.generation()
            self.sick.kill()
            await self.until(lambda: self.generation() > before)
        else:
            await self.sick.stop()
            await self.sick.start()

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(GUARD):
            while not condition():
                await asyncio.sleep(0.005)

    def attempts(self, tool: str) -> int:
        """How many attempts were made of a tool's calls to the sick server."""
        return sum(isinstance(event, AttemptFinished) and event.name == tool for event in self.events)

    def generation(self) -> int:
        """How often the sick server has been connected."""
        return self.router.health()["sick"].endpoints[0].generation

    @asynccontextmanager
    async def siblings(self) -> AsyncIterator[None]:
        """Call the healthy server all the while; every call must succeed."""
        stop = asyncio.Event()

        async def go_on() -> int:
            calls = 0
            while not (stop.is_set() and calls):
                text = f"well {calls}"
                result = await self.router.call_tool("well__write", {"text": text})
                assert error_of(result) is None, result
                assert result.content[0].text == text
                calls += 1
                await asyncio.sleep(0.005)
            return calls

        running = asyncio.create_task(go_on())
        try:
            yield
        finally:
            stop.set()
            async with asyncio.timeout(GUARD):
                calls = await running
        assert self.well.executions("write") == calls


async def _up(router: Router, name: str) -> None:
    """Wait until a server is ready; on a slow machine its first start may take longer than a short limit allows."""
    for _ in range(3):
        try:
            return await router.ready(name)
        except RouterError:
            continue
    return await router.ready(name)


@asynccontextmanager
async def bench(
    transport: Transport,
    era: Era,
    *,
    before: Callable[[Sick], object] = lambda _sick: None,
    lazy: bool = False,
    rng: Callable[[], float] | None = None,
    **options: Any,
) -> AsyncIterator[Bench]:
    """Run a router over a sick and a healthy server; `before` may make the sick one so before it is connected."""
    events: list[Event] = []
    async with Sick(transport, era) as sick, FaultyHttp() as well:
        before(sick)
        servers = (
            sick.options("sick", lazy=lazy, **options),
            Server("well", well.url, timeouts=LONG, retry=RETRY),
        )
        async with Router(*servers, rng=rng or random.Random(1).random, listeners=[events.append]) as router:
            if not lazy:
                await _up(router, "sick")
            await router.ready("well")
            yield Bench(router, sick, well, events)
            task = asyncio.current_task()
            assert task is not None
            assert task.cancelling() == 0
