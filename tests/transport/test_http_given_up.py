"""Requests of the handshake era whose callers have gone: told to the server, and closed if it goes on all the same."""

from __future__ import annotations

import asyncio
from typing import Any

import mcp_types as types
import pytest
from http_kit import call, notify, transport
from mcp.client import ClientSession
from mcp.shared.message import SessionMessage

from recloser.testing.clock import run_virtual
from recloser.transport.asked import GRACE
from recloser.transport.http import sse_transport
from support.http_faults import Exchange, FaultServer, open_session

REAL = 0.05
"""Real seconds that sockets have before time jumps."""
PRIMED = "id: 1\nretry: 0\ndata:"


class Hanging:
    """A tool's exchange that never ends by itself, and the moment at which it was over."""

    def __init__(self, begin: Any) -> None:
        self._begin = begin
        self.exchanges: list[Exchange] = []
        self.over: list[float] = []

    async def __call__(self, exchange: Exchange) -> None:
        await self._begin(exchange)
        self.exchanges.append(exchange)
        await exchange.hang()
        self.over.append(asyncio.get_running_loop().time())


async def says_nothing(exchange: Exchange) -> None:
    pass


async def says_half(exchange: Exchange) -> None:
    await exchange.reply(200, b"{", content_length="100")


async def streams(exchange: Exchange) -> None:
    await exchange.events(": working")


async def streams_to_be_resumed(exchange: Exchange) -> None:
    await exchange.events(PRIMED)


async def ends_to_be_resumed(exchange: Exchange) -> None:
    await exchange.events(PRIMED)
    await exchange.raw(b"0\r\n\r\n")


async def leave(session: ClientSession, hanging: Hanging) -> None:
    """Call the tool, and go away as soon as the server has heard of it."""
    asked = asyncio.create_task(call(session, "slow"))
    await until(lambda: len(hanging.exchanges) > 0)
    asked.cancel()
    await asyncio.wait({asked})


async def until(true: Any) -> None:
    while not true():
        await asyncio.sleep(0)


@pytest.mark.parametrize("begin", [says_nothing, says_half, streams, streams_to_be_resumed])
def test_a_request_that_nobody_waits_for_is_closed_after_a_grace_and_no_other(begin: Any) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        slow = Hanging(begin)
        async with FaultServer(on={"slow": slow}) as server, open_session(transport(server.url), "legacy") as session:
            before = len(asyncio.all_tasks())
            sibling = asyncio.create_task(call(session, "gate"))
            await leave(session, slow)
            gone = loop.time()
            await until(lambda: "notifications/cancelled" in server.methods())
            await asyncio.sleep(GRACE - 1)
            assert slow.over == []
            await asyncio.sleep(3)
            assert [gone + GRACE <= over <= gone + GRACE + 1 for over in slow.over] == [True]
            server.open_gate.set()
            assert not (await sibling).is_error
            assert "GET" not in server.methods()
            assert len(asyncio.all_tasks()) <= before + 1  # one more connection of the server's

    run_virtual(main, grace=REAL)


def test_an_answer_within_the_grace_is_passed_over() -> None:
    async def late(exchange: Exchange) -> None:
        await exchange.server.open_gate.wait()
        await exchange.result()

    async def main() -> None:
        async with (
            FaultServer(on={"slow": late}) as server,
            open_session(transport(server.url), "legacy") as session,
        ):
            asked = asyncio.create_task(call(session, "slow"))
            await until(lambda: "tools/call" in server.methods())
            asked.cancel()
            await asyncio.wait({asked})
            server.open_gate.set()
            await asyncio.sleep(GRACE + 1)
            assert (await call(session, "next")).content

    run_virtual(main, grace=REAL)


def test_a_stream_is_not_resumed_for_a_caller_who_has_gone() -> None:
    async def main() -> None:
        on = {"slow": ends_to_be_resumed, "GET": ends_to_be_resumed}
        async with FaultServer(on=on) as server, open_session(transport(server.url), "legacy") as session:
            asked = asyncio.create_task(call(session, "slow"))
            await until(lambda: server.methods().count("GET") > 2)
            asked.cancel()
            await asyncio.wait({asked})
            await until(lambda: "notifications/cancelled" in server.methods())
            asks = server.methods().count("GET")
            await asyncio.sleep(GRACE + 1)
            assert server.methods().count("GET") <= asks + 1  # one may have been on its way
            assert (await call(session, "next")).content

    run_virtual(main, grace=REAL)


def test_a_resumed_stream_that_hangs_is_closed_too() -> None:
    async def main() -> None:
        resumed = Hanging(says_nothing)
        async with (
            FaultServer(on={"slow": ends_to_be_resumed, "GET": resumed}) as server,
            open_session(transport(server.url), "legacy") as session,
        ):
            asked = asyncio.create_task(call(session, "slow"))
            await until(lambda: len(resumed.exchanges) == 1)
            asked.cancel()
            await asyncio.wait({asked})
            await asyncio.sleep(GRACE + 1)
            assert len(resumed.over) == len(resumed.exchanges) == 1
            assert (await call(session, "next")).content

    run_virtual(main, grace=REAL)


def test_a_post_that_hangs_beside_an_event_stream_is_closed_too() -> None:
    async def main() -> None:
        slow = Hanging(says_nothing)
        options: dict[str, Any] = {"headers": {}, "auth": None, "verify": True}
        async with FaultServer(sse=True, on={"slow": slow}) as server:
            made = sse_transport(server.url, connect_timeout=5.0, max_message=1000, **options)
            async with open_session(made, "legacy") as session:
                await leave(session, slow)
                await asyncio.sleep(GRACE + 1)
                assert len(slow.over) == 1
                assert (await call(session, "next")).content

    run_virtual(main, grace=REAL)


def test_leaving_within_the_grace_leaves_no_task_behind() -> None:
    async def main() -> None:
        slow = Hanging(says_nothing)
        async with FaultServer(on={"slow": slow}) as server:
            before = asyncio.all_tasks()
            async with open_session(transport(server.url), "legacy") as session:
                await leave(session, slow)
                await until(lambda: "notifications/cancelled" in server.methods())
            assert {task for task in asyncio.all_tasks() - before if task.get_coro().__name__ != "_accept"} == set()

    asyncio.run(main())


def test_a_notice_about_no_request_of_ours_is_sent_and_ends_nothing() -> None:
    async def main() -> None:
        async with FaultServer() as server, open_session(transport(server.url), "legacy") as session:
            sibling = asyncio.create_task(call(session, "gate"))
            for params in ({"requestId": 4711}, {}):
                await session._dispatcher.notify("notifications/cancelled", params)
            await notify(session)
            await asyncio.sleep(GRACE + 1)
            server.open_gate.set()
            assert not (await sibling).is_error
            assert server.methods().count("notifications/cancelled") == 2

    run_virtual(main, grace=REAL)


def test_an_id_that_is_used_again_belongs_to_the_later_request() -> None:
    async def main() -> None:
        async with FaultServer() as server, transport(server.url) as (read, write):
            for name in ("gate", "next"):
                params = {"name": name, "arguments": {}}
                request = types.JSONRPCRequest(jsonrpc="2.0", id=7, method="tools/call", params=params)
                await write.send(SessionMessage(request))
            assert (await read.receive()).message.id == 7
            server.open_gate.set()
            request = types.JSONRPCRequest(jsonrpc="2.0", id=8, method="ping")
            await write.send(SessionMessage(request))
            assert (await read.receive()).message.id == 8

    asyncio.run(main())
