"""The older transport: an event stream from the server, a POST for each message to it."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio
import mcp_types as types
import pytest
from http_kit import call, hang, reset, settings, status
from mcp import MCPError
from mcp.shared.message import SessionMessage
from pydantic import ValidationError

from recloser.facts import FAULT_CODE, HttpFacts, facts_of
from recloser.testing.clock import run_virtual
from recloser.transport import sse
from recloser.transport.http import SseTransport, sse_transport
from support.http_faults import ANSWER, Exchange, FaultServer, open_session


def transport(url: str, **options: Any) -> SseTransport:
    return sse_transport(url, **settings(**{"headers": {"x-key": "k"}} | options))


def test_a_session_over_two_connections_works() -> None:
    async def main() -> None:
        async with FaultServer(sse=True) as server, open_session(transport(server.url), "legacy") as session:
            answers = await asyncio.gather(*(call(session, "echo") for _ in range(20)))
            assert [answer.content for answer in answers] == [types.CallToolResult(**ANSWER).content] * 20
            assert {exchange.headers["x-key"] for exchange in server.seen} == {"k"}

    asyncio.run(main())


@pytest.mark.parametrize("accepted", [status(202, b""), status(202, b"Accepted")])
def test_posts_go_over_a_connection_that_is_kept(accepted: Any) -> None:
    async def taken(exchange: Exchange) -> None:
        await accepted(exchange)
        await exchange.server.say({"jsonrpc": "2.0", "id": exchange.id, "result": ANSWER})

    async def main() -> None:
        async with (
            FaultServer(sse=True, on={"tools/call": taken}) as server,
            open_session(transport(server.url), "legacy") as session,
        ):
            for _ in range(20):
                await call(session, "echo")
            used = {id(exchange.writer) for exchange in server.seen if exchange.method == "tools/call"}
            assert len(used) <= 3  # an answer may be read before what its POST was told

    asyncio.run(main())


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (status(503, retry_after="2"), HttpFacts(kind="status", sent=True, status=503, retry_after=2.0)),
        (status(401), HttpFacts(kind="status", sent=True, status=401)),
        (status(404), HttpFacts(kind="session_lost", sent=False, status=404)),
        (status(302, location="/x"), HttpFacts(kind="redirect", sent=True, status=302)),
        (reset, HttpFacts(kind="transport", sent=True, exception="httpx2.ReadError")),
    ],
)
def test_a_post_that_fails_fails_its_own_call_at_once(fault: Any, expected: HttpFacts) -> None:
    async def main() -> None:
        async with FaultServer(sse=True, on={"bad": fault}) as server:
            made = transport(server.url)
            async with open_session(made, "legacy") as session:
                siblings = [asyncio.create_task(call(session, "gate")) for _ in range(15)]
                with pytest.raises(MCPError) as caught:
                    await call(session, "bad")
                assert (caught.value.code, facts_of(caught.value)) == (FAULT_CODE, expected)
                server.open_gate.set()
                assert all(not answer.is_error for answer in await asyncio.gather(*siblings))
                assert not made.died.is_set()

    asyncio.run(main())


def test_a_post_that_hangs_holds_up_nobody() -> None:
    async def main() -> None:
        on = {"slow": hang, "notifications/roots/list_changed": hang}
        async with FaultServer(sse=True, on=on) as server, open_session(transport(server.url), "legacy") as session:
            slow = asyncio.create_task(call(session, "slow"))
            await session._dispatcher.notify("notifications/roots/list_changed", None)
            while "tools/call" not in server.methods():
                await asyncio.sleep(0)
            assert (await call(session, "next")).content
            slow.cancel()

    asyncio.run(main())


@pytest.mark.parametrize("how", ["close", "reset"])
def test_the_end_of_the_stream_ends_every_call_and_sets_the_event(how: str) -> None:
    async def main() -> None:
        async with FaultServer(sse=True, on={"bad": hang}) as server:
            made = transport(server.url)
            async with open_session(made, "legacy") as session:
                calls = [asyncio.create_task(call(session, "bad")) for _ in range(3)]
                while server.methods().count("tools/call") < 3:
                    await asyncio.sleep(0)
                assert server.stream is not None
                getattr(server.stream, how)()
                for one in calls:
                    with pytest.raises(MCPError) as caught:
                        await one
                    assert caught.value.code == types.CONNECTION_CLOSED
                assert made.died.is_set()

    asyncio.run(main())


def spoilt(written: str) -> Any:
    async def fault(exchange: Exchange) -> None:
        await exchange.reply(202, b"")
        await exchange.server.say(written.replace("ID", str(exchange.id)))

    return fault


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        ('{"jsonrpc":"2.0","id":ID,"result":{"a":"%s"}}' % ("x" * 70000), "too_large"),
        ('{"jsonrpc":"2.0","id":ID,"result":[]}', "malformed"),
        ('{"jsonrpc":"2.0","id":ID,"result":{"a":}}', "malformed"),
    ],
)
def test_an_answer_that_is_spoilt_fails_its_own_call_at_once_and_no_other(written: str, kind: Any) -> None:
    async def main() -> None:
        async with FaultServer(sse=True, on={"bad": spoilt(written)}) as server:
            made = transport(server.url)
            async with open_session(made, "legacy") as session:
                sibling = asyncio.create_task(call(session, "gate"))
                with pytest.raises(MCPError) as caught:
                    await call(session, "bad")
                assert facts_of(caught.value) == HttpFacts(kind=kind, sent=True)
                server.open_gate.set()
                assert not (await sibling).is_error
                assert not made.died.is_set()

    asyncio.run(main())


def test_pings_unknown_events_and_nonsense_on_the_stream_are_passed_over() -> None:
    async def main() -> None:
        async with FaultServer(sse=True) as server, open_session(transport(server.url), "legacy") as session:
            assert server.stream is not None
            await server.stream.event(": ping")
            await server.stream.event("event: weather\ndata: rain")
            await server.stream.event("event: message\nid: 5\ndata:")
            await server.stream.event("event: endpoint\ndata: /elsewhere")
            await server.say("{no json")
            assert (await call(session, "next")).content

    asyncio.run(main())


def test_an_endpoint_at_the_address_that_our_host_header_names_is_posted_to_where_we_reach_it() -> None:
    async def begin(exchange: Exchange) -> None:
        exchange.server.stream = exchange
        await exchange.events(f"event: endpoint\ndata: http://{exchange.headers['host']}/messages?sessionId=1")
        await exchange.hang()

    async def main() -> None:
        made = {"headers": {"Host": "tools.internal:8000"}}
        async with (
            FaultServer(sse=True, on={"GET": begin}) as server,
            open_session(transport(server.url, **made), "legacy") as session,
        ):
            assert (await call(session, "next")).content

    asyncio.run(main())


def first_words(*events: str) -> Any:
    async def fault(exchange: Exchange) -> None:
        await exchange.events(*events)
        exchange.close()

    return fault


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (
            status(401, www_authenticate="Bearer"),
            HttpFacts(kind="status", sent=False, status=401, www_authenticate=True),
        ),
        (status(200, content_type="application/json"), HttpFacts(kind="content_type", sent=False, status=200)),
        (status(302, location="http://other.invalid/"), HttpFacts(kind="redirect", sent=False, status=302)),
        (reset, HttpFacts(kind="transport", sent=False, exception="httpx2.ReadError")),
        (first_words(": hello"), HttpFacts(kind="transport", sent=False, exception="httpx2.RemoteProtocolError")),
        (
            first_words("event: endpoint\ndata: http://other.invalid/messages"),
            HttpFacts(kind="redirect", sent=False),
        ),
        (
            first_words("event: endpoint\ndata: http://127.0.0.1:port/"),
            HttpFacts(kind="malformed", sent=False, exception="httpx2.InvalidURL"),
        ),
    ],
)
def test_a_stream_that_does_not_open_says_why(fault: Any, expected: HttpFacts) -> None:
    async def main() -> None:
        async with FaultServer(sse=True, on={"GET": fault}) as server:
            with pytest.raises(MCPError) as caught:
                await transport(server.url).__aenter__()
            assert facts_of(caught.value) == expected

    asyncio.run(main())


def test_a_stream_that_ends_before_it_names_an_endpoint_is_told() -> None:
    async def fault(exchange: Exchange) -> None:
        await exchange.events("event: hello\nid: 5\ndata: you")
        await exchange.raw(b"0\r\n\r\n")

    async def main() -> None:
        async with FaultServer(sse=True, on={"GET": fault}) as server:
            with pytest.raises(MCPError) as caught:
                await transport(server.url).__aenter__()
            assert facts_of(caught.value) == HttpFacts(kind="transport", sent=False)

    asyncio.run(main())


def test_a_server_that_is_not_there_is_told_as_unsent() -> None:
    async def main() -> None:
        async with FaultServer(sse=True) as server:
            pass
        with pytest.raises(MCPError) as caught:
            await transport(server.url).__aenter__()
        assert facts_of(caught.value) == HttpFacts(kind="transport", sent=False, exception="httpx2.ConnectError")

    asyncio.run(main())


def test_a_stream_that_never_names_an_endpoint_can_be_given_up() -> None:
    async def main() -> None:
        async with FaultServer(sse=True, on={"GET": hang}) as server:
            made = transport(server.url)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(3), made:
                    raise AssertionError("it has opened")
            assert made.died.is_set()

    run_virtual(main, grace=0.05)


def test_nothing_can_be_written_to_a_closed_transport() -> None:
    async def main() -> None:
        ping = SessionMessage(types.JSONRPCRequest(jsonrpc="2.0", id=1, method="ping"))
        async with FaultServer(sse=True) as server, transport(server.url) as (_, write):
            async with write:
                pass
            with pytest.raises(anyio.ClosedResourceError):
                await write.send(ping)

    asyncio.run(main())


def test_a_call_that_fails_after_its_session_has_ended_is_nobodys_loss() -> None:
    async def main() -> None:
        ping = SessionMessage(types.JSONRPCRequest(jsonrpc="2.0", id=1, method="ping"))
        async with FaultServer(sse=True, on={"ping": status(500)}) as server, transport(server.url) as (read, write):
            await read.aclose()
            await write.send(ping)
            while write._posts:
                await asyncio.sleep(0)

    asyncio.run(main())


def test_an_event_that_is_no_message_is_told_to_the_session_as_that() -> None:
    assert isinstance(sse._message('{"jsonrpc": "1.0"}'), ValidationError)
