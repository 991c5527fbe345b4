"""The stream that a server speaks on by itself, in the handshake era: opened again for as long as the session lives."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from http_kit import reset, status, transport
from mcp.client import ClientSession

from recloser.testing.clock import run_virtual
from recloser.transport.standing import CAP, FIRST, STEADY
from support.http_faults import Exchange, Fault, FaultServer

REAL = 0.05
"""Real seconds that sockets have before time jumps."""
END = b"0\r\n\r\n"


def told(uri: str) -> str:
    update = {"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": uri}}
    return f"data: {json.dumps(update)}"


class Streams:
    """What becomes of each GET in turn; the last one again and again. Notes the moments and the ids of all."""

    def __init__(self, *turns: Fault) -> None:
        self._turns = turns
        self.at: list[float] = []
        self.ids: list[str | None] = []
        self.moved = asyncio.Event()

    async def __call__(self, exchange: Exchange) -> None:
        self.at.append(asyncio.get_running_loop().time())
        self.ids.append(exchange.headers.get("last-event-id"))
        self.moved.set()
        await self._turns[min(len(self.at), len(self._turns)) - 1](exchange)

    async def until(self, gets: int) -> None:
        while len(self.at) < gets:
            self.moved.clear()
            await self.moved.wait()

    @property
    def waits(self) -> list[float]:
        return [round(later - sooner) for sooner, later in zip(self.at, self.at[1:], strict=False)]


def says(*events: str, then: str = "hang", after: float = 0.0) -> Fault:
    async def turn(exchange: Exchange) -> None:
        await exchange.events(*events)
        await asyncio.sleep(after)
        if then == "end":
            await exchange.raw(END)
        elif then == "cut":
            exchange.close()
        elif then == "cut in the middle":
            half = told("torn").encode()
            await exchange.raw(b"%x\r\n" % len(half) + half + b"\r\n")
            exchange.close()
        else:
            await exchange.hang()

    return turn


class Heard:
    """A session that hears what the server says, and how often something may have been missed."""

    def __init__(self) -> None:
        self.uris: list[str] = []
        self.gaps = 0

    async def hear(self, message: Any) -> None:
        assert not isinstance(message, Exception), message
        self.uris.append(str(message.params.uri))

    def gap(self) -> None:
        self.gaps += 1


@asynccontextmanager
async def listening(streams: Streams, **options: Any) -> AsyncIterator[Heard]:
    heard = Heard()
    async with FaultServer(session=True, on={"GET": streams}) as server:
        made = transport(server.url, on_gap=heard.gap, **options)
        async with made as (read, write), ClientSession(read, write, message_handler=heard.hear) as session:
            await session.initialize()
            yield heard


def test_a_stream_that_is_cut_again_and_again_is_opened_again_and_what_was_missed_is_told() -> None:
    async def main() -> None:
        streams = Streams(says(told("a:1"), then="cut"), says(told("a:2"), then="cut in the middle"), says(told("a:3")))
        async with listening(streams) as heard:
            await streams.until(3)
            await asyncio.sleep(0.5)
            assert (heard.uris, heard.gaps) == (["a:1", "a:2", "a:3"], 2)
            assert streams.ids == [None] * 3

    run_virtual(main, grace=REAL)


def test_streams_that_end_at_once_are_asked_for_less_and_less_often() -> None:
    async def main() -> None:
        streams = Streams(says(then="cut"))
        async with listening(streams):
            await streams.until(12)
            doubled = [FIRST * 2**time for time in range(11)]
            assert streams.waits == [min(wait, CAP) for wait in doubled]

    run_virtual(main, grace=REAL)


def test_a_stream_that_stood_for_a_while_is_opened_again_soon() -> None:
    async def main() -> None:
        streams = Streams(says(then="cut"), says(then="cut"), says(then="cut", after=STEADY), says())
        async with listening(streams):
            await streams.until(4)
            assert streams.waits == [1, 2, STEADY + 1]

    run_virtual(main, grace=REAL)


def test_a_server_that_says_when_to_come_again_is_asked_then_and_sends_what_was_missed() -> None:
    async def main() -> None:
        polled = says("id: e1\nretry: 7000\ndata:", told("a:1"), then="end")
        streams = Streams(polled, polled, polled, says())
        async with listening(streams) as heard:
            await streams.until(4)
            assert (streams.waits, streams.ids) == ([7, 7, 7], [None, "e1", "e1", "e1"])
            assert (heard.uris, heard.gaps) == (["a:1"] * 3, 0)

    run_virtual(main, grace=REAL)


def test_a_server_that_asks_for_no_wait_at_all_is_not_asked_without_end() -> None:
    async def main() -> None:
        streams = Streams(says("id: e1\nretry: 0\ndata:", then="end"), says())
        async with listening(streams):
            await streams.until(2)
            assert streams.waits == [FIRST]

    run_virtual(main, grace=REAL)


@pytest.mark.parametrize("configured", [{}, {"cookie": "mine=1"}])
def test_a_stream_is_opened_again_with_the_cookies_of_now(configured: dict[str, str]) -> None:
    async def main() -> None:
        async def turn(exchange: Exchange) -> None:
            cookies.append(exchange.headers.get("cookie"))
            await (says() if len(cookies) == 2 else status(503, set_cookie="node=2"))(exchange)

        cookies: list[str | None] = []
        streams = Streams(turn)
        async with listening(streams, headers=configured):
            await streams.until(2)
        assert cookies == ([None, "node=2"] if not configured else ["mine=1"] * 2)

    run_virtual(main, grace=REAL)


@pytest.mark.parametrize(
    "turn", [status(503), status(500), status(409), status(429), reset, status(503, retry_after="1")]
)
def test_what_may_pass_is_waited_for_also_before_the_stream_first_stood(turn: Fault) -> None:
    async def main() -> None:
        streams = Streams(turn, turn, turn, says(told("a:1")))
        async with listening(streams) as heard:
            await streams.until(4)
            await asyncio.sleep(0.5)
            assert (streams.waits, heard.uris, heard.gaps) == ([1, 2, 4], ["a:1"], 1)

    run_virtual(main, grace=REAL)


def test_a_wait_that_the_server_asks_for_is_kept_up_to_a_cap() -> None:
    async def main() -> None:
        streams = Streams(status(503, retry_after="20"), status(503, retry_after="86400"), says())
        async with listening(streams):
            await streams.until(3)
            assert streams.waits == [20, CAP]

    run_virtual(main, grace=REAL)


@pytest.mark.parametrize(
    "turn",
    [
        status(405),
        status(404),
        status(401),
        status(501),
        status(200, b"{}", "application/json"),
        status(302, location="http://other.invalid/"),
    ],
)
def test_a_server_that_has_no_such_stream_is_soon_left_alone(turn: Fault) -> None:
    async def main() -> None:
        streams = Streams(turn)
        async with listening(streams) as heard:
            await asyncio.sleep(CAP)
            assert len(streams.at) == 2  # the SDK asks once more
            assert heard.gaps == 0

    run_virtual(main, grace=REAL)


def test_a_stream_that_is_refused_when_it_is_asked_for_again_is_left_alone() -> None:
    async def main() -> None:
        streams = Streams(says(told("a:1"), then="cut"), status(404))
        async with listening(streams) as heard:
            await asyncio.sleep(CAP)
            assert (len(streams.at), heard.uris, heard.gaps) == (4, ["a:1"], 0)

    run_virtual(main, grace=REAL)


def test_an_event_that_is_too_large_is_passed_over_and_the_stream_stands() -> None:
    async def main() -> None:
        streams = Streams(says("data: " + "x" * 2000, "event: weather\ndata: rain", told("a:2")))
        async with listening(streams, max_message=1000) as heard:
            await streams.until(1)
            await asyncio.sleep(0.5)
            assert (heard.uris, heard.gaps, len(streams.at)) == (["a:2"], 0, 1)

    run_virtual(main, grace=REAL)


def test_a_time_to_come_again_that_is_none_does_not_end_the_session() -> None:
    async def main() -> None:
        odd = f"id: e1\nretry: {'9' * 400}\n" + told("a:1")
        streams = Streams(says(odd, then="end"), says(told("a:2")))
        async with listening(streams) as heard:
            await streams.until(2)
            await asyncio.sleep(0.5)
            assert heard.uris == ["a:1", "a:2"]

    run_virtual(main, grace=REAL)


def test_leaving_while_the_stream_is_waited_for_leaves_no_task_behind() -> None:
    async def main() -> None:
        before = asyncio.all_tasks()
        for turn in (says(), says(then="cut"), status(503)):
            streams = Streams(turn)
            async with listening(streams):
                await streams.until(1)
        assert asyncio.all_tasks() == before

    asyncio.run(main())
