"""Sessions over HTTP: a lost one is recognized, whatever the server says, and each is ended."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from http_kit import call, facts, hang, notify, refused, reset, status, transport

from recloser import Router, RouterError, Server
from recloser.facts import HttpFacts
from recloser.testing.clock import run_virtual
from support.http_faults import Exchange, FaultServer, open_session

LEGACY_HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "odd", "version": "1"}}


LOST = {
    "specification": (404, b"", "text/plain"),
    "python": (404, b'{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"Session not found"}}', None),
    "typescript": (404, b'{"jsonrpc":"2.0","id":null,"error":{"code":-32001,"message":"Session not found"}}', None),
    "typescript examples": (
        400,
        b'{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"Bad Request: No valid session ID provided"}}',
        None,
    ),
    "typescript, fresh": (
        400,
        b'{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"Bad Request: Server not initialized"}}',
        None,
    ),
    "older python": (400, b"Bad Request: No valid session ID provided", "text/plain"),
    "older go": (400, b"Invalid session ID\n", "text/plain"),
    "elixir": (400, b'{"error":"No active session"}', None),
    "older rust": (401, b"Unauthorized: Session not found", "text/plain"),
}


@pytest.mark.parametrize("name", LOST)
def test_a_lost_session_is_recognized_whatever_the_server_says(name: str) -> None:
    code, body, content_type = LOST[name]

    async def main() -> None:
        lost: list[int] = []
        tell = lambda: lost.append(1)  # noqa: E731 - shorter than a function
        bad = status(code, body, content_type or "application/json")
        async with (
            FaultServer(on={"bad": bad}, session=True) as server,
            open_session(transport(server.url, on_session_lost=tell), "legacy") as session,
        ):
            error = await refused(session)
            assert facts(error) == HttpFacts(kind="session_lost", sent=False, status=code)
            assert lost == [1]

    asyncio.run(main())


NOT_LOST = {
    "about the method": (404, b'{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"Method not found"}}'),
    "about the arguments": (400, b'{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"Invalid session name"}}'),
    "a plain 400": (400, b"bad arguments"),
    "a plain 401": (401, b"log in"),
    "another status": (500, b"Session not found"),
}


@pytest.mark.parametrize("name", NOT_LOST)
def test_a_refusal_about_something_else_keeps_the_session(name: str) -> None:
    code, body = NOT_LOST[name]

    async def main() -> None:
        lost: list[int] = []
        bad = status(code, body, "application/json" if body.startswith(b"{") else "text/plain")
        async with (
            FaultServer(on={"bad": bad}, session=True) as server,
            open_session(transport(server.url, on_session_lost=lambda: lost.append(1)), "legacy") as session,
        ):
            assert facts(await refused(session)).kind == "status"
            assert not lost

    asyncio.run(main())


def test_without_a_session_nothing_can_be_lost() -> None:
    async def main() -> None:
        async with FaultServer(on={"bad": status(404)}) as server, open_session(transport(server.url), "legacy") as one:
            assert facts(await refused(one)) == HttpFacts(kind="status", sent=True, status=404)

    asyncio.run(main())


def test_a_notification_also_tells_of_a_lost_session() -> None:
    async def main() -> None:
        lost = asyncio.Event()
        on = {"notifications/roots/list_changed": status(404)}
        async with (
            FaultServer(on=on, session=True) as server,
            open_session(transport(server.url, on_session_lost=lost.set), "legacy") as session,
        ):
            await notify(session)
            await lost.wait()
            await call(session, "next")

    asyncio.run(main())


def test_a_lost_session_needs_nobody_who_listens() -> None:
    async def main() -> None:
        async with (
            FaultServer(on={"bad": status(404)}, session=True) as server,
            open_session(transport(server.url), "legacy") as session,
        ):
            assert facts(await refused(session)).kind == "session_lost"

    asyncio.run(main())


def test_a_session_is_ended_at_the_server() -> None:
    async def main() -> None:
        async with FaultServer(session=True) as server:
            async with open_session(transport(server.url), "legacy"):
                pass
            assert server.seen[-1].verb == "DELETE"
            assert server.seen[-1].headers["mcp-session-id"] == "s1"

    asyncio.run(main())


@pytest.mark.parametrize("number", ["caf\u00e9", "two words", "\u4f1a"])
def test_a_session_whose_number_cannot_be_sent_back_is_a_violation(number: str) -> None:
    async def numbered(exchange: Exchange) -> None:
        await exchange.result(LEGACY_HELLO, mcp_session_id=number)

    async def main() -> None:
        async with (
            FaultServer(on={"initialize": numbered}) as server,
            Router(Server("s", server.url, era="legacy")) as router,
        ):
            with pytest.raises(RouterError) as caught:
                await router.ready("s")
            assert (caught.value.payload.code, caught.value.payload.delivered) == ("protocol_violation", "no")

    asyncio.run(main())


@pytest.mark.parametrize("fault", [hang, reset, status(500)])
def test_the_end_of_a_session_that_hangs_or_fails_delays_no_close(fault: Any) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with FaultServer(session=True) as server:
            async with open_session(transport(server.url), "legacy"):
                server.on["DELETE"] = fault
                began = loop.time()
            assert loop.time() - began < 10.0

    run_virtual(main, grace=0.5)
