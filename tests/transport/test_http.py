from __future__ import annotations

import asyncio
import gzip
import json
import ssl
from collections.abc import Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import mcp_types as types
import pytest
from mcp import MCPError
from mcp.client import ClientSession
from mcp.shared.message import SessionMessage
from mcp_types.version import LATEST_MODERN_VERSION

from recloser import Router, RouterError, Server
from recloser.facts import FAULT_CODE, HttpFacts, facts_of, original_data
from recloser.testing.clock import run_virtual
from recloser.transport.http import HttpTransport, http_transport
from support.http_faults import ANSWER, Exchange, FaultServer, open_session

ERAS = ["modern", "legacy"]
SIBLINGS = 15


LEGACY_HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "odd", "version": "1"}}


def transport(url: str, **options: Any) -> HttpTransport:
    settings: dict[str, Any] = {
        "headers": {},
        "auth": None,
        "verify": True,
        "connect_timeout": 5.0,
        "max_message": 64 * 1024,
        **options,
    }
    return http_transport(url, **settings)


async def call(session: ClientSession, name: str) -> types.CallToolResult:
    request = types.CallToolRequest(params=types.CallToolRequestParams(name=name, arguments={}))
    return await session.send_request(request, types.CallToolResult)


async def notify(session: ClientSession) -> None:
    await session._dispatcher.notify("notifications/roots/list_changed", None)


async def refused(session: ClientSession, name: str = "bad") -> MCPError:
    with pytest.raises(MCPError) as caught:
        await call(session, name)
    return caught.value


def facts(error: MCPError) -> HttpFacts:
    found = facts_of(error)
    assert found is not None
    return found


def status(code: int, body: bytes = b"no", content_type: str = "text/plain", **headers: str) -> Any:
    async def fault(exchange: Exchange) -> None:
        await exchange.reply(code, body, content_type, **headers)

    return fault


def said(body: Callable[[Any], bytes] | bytes, **headers: str) -> Any:
    async def fault(exchange: Exchange) -> None:
        await exchange.reply(200, body(exchange.id) if callable(body) else body, **headers)

    return fault


async def reset(exchange: Exchange) -> None:
    exchange.reset()


async def close(exchange: Exchange) -> None:
    exchange.close()


async def cut_body(exchange: Exchange) -> None:
    await exchange.reply(200, b'{"jsonrpc":"2.0","id":', content_length="4000")
    exchange.close()


async def reset_body(exchange: Exchange) -> None:
    await exchange.reply(200, b'{"jsonrpc":"2.0","id":', content_length="4000")
    exchange.reset()


async def garbage(exchange: Exchange) -> None:
    await exchange.raw(b"I am no HTTP server\r\n\r\n")
    exchange.close()


async def endless(exchange: Exchange) -> None:
    await exchange.reply(200, b"", transfer_encoding="chunked")
    while True:
        await exchange.raw(b"1000\r\n" + b" " * 4096 + b"\r\n")


def other_id(given: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": given + 1000, "result": ANSWER}).encode()


def a_request(given: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": given, "method": "ping"}).encode()


FAULTS: dict[str, tuple[Any, dict[str, Any]]] = {
    "401": (
        status(401, www_authenticate='Bearer realm="x", error="invalid_token"'),
        {"kind": "status", "sent": True, "status": 401, "www_authenticate": True, "auth_error": "invalid_token"},
    ),
    "403": (status(403, www_authenticate="Bearer"), {"kind": "status", "status": 403, "www_authenticate": True}),
    "404": (status(404), {"kind": "status", "status": 404}),
    "429": (status(429, retry_after="7"), {"kind": "status", "status": 429, "retry_after": 7.0}),
    "503": (
        status(503, retry_after="Fri, 21 Nov 2026 10:00:30 GMT", date="Fri, 21 Nov 2026 10:00:00 GMT"),
        {"kind": "status", "status": 503, "retry_after": 30.0},
    ),
    "500 of a gateway": (status(500, b"<html>" * 20000, "text/html"), {"kind": "status", "status": 500}),
    "500 cut short": (status(500, b"no", content_length="4000", connection="close"), {"kind": "status", "status": 500}),
    "no JSON-RPC in a refusal": (
        status(400, b'{"error": "invalid_token"}', "application/json"),
        {"kind": "status", "status": 400},
    ),
    "202": (status(202, b""), {"kind": "accepted", "sent": True, "status": 202}),
    "204": (status(204, b""), {"kind": "content_type", "sent": True, "status": 204}),
    "html": (status(200, b"<html>", "text/html"), {"kind": "content_type", "sent": True, "status": 200}),
    "302": (status(302, location="/elsewhere"), {"kind": "redirect", "sent": True, "status": 302}),
    "307 to another origin": (
        status(307, location="http://other.invalid/mcp"),
        {"kind": "redirect", "sent": False, "status": 307},
    ),
    "307 to nowhere": (status(307, location="http://["), {"kind": "redirect", "sent": False}),
    "304": (status(304, b""), {"kind": "redirect", "sent": True, "status": 304}),
    "empty": (said(b""), {"kind": "malformed", "sent": True, "status": 200}),
    "no JSON": (said(b'{"jsonrpc":'), {"kind": "malformed", "sent": True}),
    "a batch": (said(b"[]"), {"kind": "malformed", "sent": True}),
    "a request": (said(a_request), {"kind": "malformed", "sent": True}),
    "another id": (said(other_id), {"kind": "wrong_id", "sent": True}),
    "broken gzip": (said(b"\x1f\x8bnope", content_encoding="gzip"), {"kind": "malformed", "sent": True}),
    "too large, announced": (said(b" " * 70000), {"kind": "too_large", "sent": True, "status": 200}),
    "too large, endless": (endless, {"kind": "too_large", "sent": True}),
    "too large, unzipped": (
        said(gzip.compress(b" " * 70000), content_encoding="gzip"),
        {"kind": "too_large", "sent": True},
    ),
    "reset": (reset, {"kind": "transport", "sent": True, "exception": "httpx2.ReadError"}),
    "closed": (close, {"kind": "transport", "sent": True, "exception": "httpx2.RemoteProtocolError"}),
    "closed in the body": (cut_body, {"kind": "transport", "sent": True, "exception": "httpx2.RemoteProtocolError"}),
    "reset in the body": (reset_body, {"kind": "transport", "sent": True, "exception": "httpx2.ReadError"}),
    "no HTTP": (garbage, {"kind": "transport", "sent": True, "exception": "httpx2.RemoteProtocolError"}),
}


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("name", FAULTS)
def test_a_failed_request_fails_alone_and_says_why(name: str, era: str) -> None:
    fault, expected = FAULTS[name]

    async def main() -> None:
        async with FaultServer(on={"bad": fault}) as server, open_session(transport(server.url), era) as session:
            siblings = [asyncio.create_task(call(session, "gate")) for _ in range(SIBLINGS)]
            error = await refused(session)
            server.open_gate.set()
            answers = await asyncio.gather(*siblings)
            assert [answer.content for answer in answers] == [types.CallToolResult(**ANSWER).content] * SIBLINGS
            assert error.code == FAULT_CODE
            found = facts(error)
            assert {key: getattr(found, key) for key in expected} == expected
            assert not (await call(session, "next")).is_error

    asyncio.run(main())


@pytest.mark.parametrize("era", ERAS)
def test_a_servers_own_error_in_a_refusal_keeps_its_code_message_and_data(era: str) -> None:
    async def fault(exchange: Exchange) -> None:
        await exchange.error(503, -32000, "overloaded", {"queue": 9}, retry_after="3")

    async def main() -> None:
        async with FaultServer(on={"bad": fault}) as server, open_session(transport(server.url), era) as session:
            error = await refused(session)
            assert (error.code, error.message, original_data(error.data)) == (-32000, "overloaded", {"queue": 9})
            assert facts(error) == HttpFacts(kind="status", sent=True, status=503, retry_after=3.0)

    asyncio.run(main())


def test_an_error_without_data_stays_without_data() -> None:
    async def fault(exchange: Exchange) -> None:
        await exchange.error(400, -32602, "no such tool")

    async def main() -> None:
        async with FaultServer(on={"bad": fault}) as server, open_session(transport(server.url), "modern") as session:
            error = await refused(session)
            assert (error.code, original_data(error.data)) == (-32602, None)

    asyncio.run(main())


def test_an_error_that_is_an_answer_is_passed_through_untouched() -> None:
    async def fault(exchange: Exchange) -> None:
        await exchange.error(200, -32603, "boom", {"x": 1})

    async def main() -> None:
        async with FaultServer(on={"bad": fault}) as server, open_session(transport(server.url), "modern") as session:
            error = await refused(session)
            assert (error.code, error.message, error.data) == (-32603, "boom", {"x": 1})

    asyncio.run(main())


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


@pytest.mark.parametrize("era", ERAS)
def test_a_server_that_is_gone_fails_each_call_at_once_and_unsent(era: str) -> None:
    async def main() -> None:
        async with FaultServer() as server, open_session(transport(server.url), era) as session:
            await server.stop()
            for error in await asyncio.gather(*(refused(session) for _ in range(3))):
                found = facts(error)
                assert (found.kind, found.sent, found.exception) == ("transport", False, "httpx2.ConnectError")

    asyncio.run(main())


def test_a_name_that_does_not_exist_is_told_as_unsent() -> None:
    async def main() -> None:
        async with transport("http://mcp.invalid/mcp") as (read, write), ClientSession(read, write) as session:
            with pytest.raises(MCPError) as caught:
                await session.send_discover(LATEST_MODERN_VERSION)
            assert facts(caught.value) == HttpFacts(kind="transport", sent=False, exception="httpx2.ConnectError")

    asyncio.run(main())


@pytest.mark.parametrize("verify", [True, False])
def test_tls_to_a_plain_port_is_told_as_unsent(verify: bool) -> None:
    async def main() -> None:
        def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            writer.close()

        async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
            url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/mcp"
            async with transport(url, verify=verify) as (read, write), ClientSession(read, write) as session:
                with pytest.raises(MCPError) as caught:
                    await session.initialize()
                assert facts(caught.value) == HttpFacts(kind="transport", sent=False, exception="httpx2.ConnectError")

    asyncio.run(main())


def test_a_handshake_that_hangs_ends_with_the_connect_timeout() -> None:
    async def main() -> None:
        async with FaultServer() as server:  # which waits for the end of an HTTP head
            url = server.url.replace("http:", "https:")
            async with transport(url, connect_timeout=2.0) as (read, write), ClientSession(read, write) as session:
                with pytest.raises(MCPError) as caught:
                    await session.initialize()
                assert facts(caught.value) == HttpFacts(kind="transport", sent=False, exception="httpx2.ConnectTimeout")

    run_virtual(main, grace=0.5)


def test_an_address_that_is_none_is_told_as_unsent() -> None:
    async def main() -> None:
        async with transport("gopher://127.0.0.1/mcp") as (read, write), ClientSession(read, write) as session:
            with pytest.raises(MCPError) as caught:
                await session.initialize()
            found = facts(caught.value)
            assert (found.kind, found.sent, found.exception) == ("transport", False, "httpx2.UnsupportedProtocol")

    asyncio.run(main())


@pytest.mark.parametrize("method", ["server/discover", "initialize"])
@pytest.mark.parametrize(
    ("fault", "kind", "code"), [(status(503), "status", 503), (status(404), "status", 404), (reset, "transport", None)]
)
def test_a_fault_while_negotiating_is_told_and_leaves_the_transport_usable(
    method: str, fault: Any, kind: str, code: int | None
) -> None:
    async def main() -> None:
        async with (
            FaultServer(on={method: fault}) as server,
            transport(server.url) as (read, write),
            ClientSession(read, write) as session,
        ):
            with pytest.raises(MCPError) as caught:
                if method == "initialize":
                    await session.initialize()
                else:
                    await session.send_discover(LATEST_MODERN_VERSION)
            assert (caught.value.code, facts(caught.value).kind, facts(caught.value).status) == (
                FAULT_CODE,
                kind,
                code,
            )
            server.on.clear()
            await session.initialize()

    asyncio.run(main())


SHAPES: dict[str, Any] = {
    "id first, spaced": lambda i: b' {"id" : %d, "jsonrpc": "2.0", "result" : %s } ' % (i, json.dumps(ANSWER).encode()),
    "id last": lambda i: b'{"result":%s,"jsonrpc":"2.0","id":%d}' % (json.dumps(ANSWER).encode(), i),
    "id last but one": lambda i: b'{"result":%s,"id":%d,"jsonrpc":"2.0"}\n' % (json.dumps(ANSWER).encode(), i),
    "id as text": lambda i: b'{"jsonrpc":"2.0","id":"%d","result":%s}' % (i, json.dumps(ANSWER).encode()),
    "id in the middle": lambda i: (
        b'{"jsonrpc":"2.0","x":1,"id":%d,"y":2,"result":%s}' % (i, json.dumps(ANSWER).encode())
    ),
}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("framing", ["length", "chunked", "gzip"])
def test_every_way_to_write_an_answer_is_understood(name: str, framing: str) -> None:
    async def fault(exchange: Exchange) -> None:
        body = SHAPES[name](exchange.id)
        if framing == "length":
            await exchange.reply(200, body, "application/json; charset=utf-8")
        elif framing == "gzip":
            await exchange.reply(200, gzip.compress(body), content_encoding="gzip")
        else:
            await exchange.reply(200, b"", transfer_encoding="chunked")
            for part in (body[:9], body[9:]):
                await exchange.raw(f"{len(part):x}\r\n".encode() + part + b"\r\n")
            await exchange.raw(b"0\r\n\r\n")

    async def main() -> None:
        async with FaultServer(on={"odd": fault}) as server, open_session(transport(server.url), "modern") as session:
            assert (await call(session, "odd")).content == types.CallToolResult(**ANSWER).content

    asyncio.run(main())


def test_an_error_whose_id_the_server_could_not_read_still_answers_its_request() -> None:
    body = b'{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"cannot read this"}}'

    async def main() -> None:
        async with FaultServer(on={"bad": said(body)}) as server, open_session(transport(server.url), "modern") as one:
            error = await refused(one)
            assert (error.code, error.message, facts_of(error)) == (-32700, "cannot read this", None)

    asyncio.run(main())


@pytest.mark.parametrize("era", ERAS)
def test_a_redirect_within_the_origin_is_followed(era: str) -> None:
    async def moved(exchange: Exchange) -> None:
        await exchange.reply(307, b"", location="/mcp/")

    async def main() -> None:
        async with FaultServer(on={"/mcp": moved}) as server, open_session(transport(server.url), era) as session:
            assert (await call(session, "next")).content

    asyncio.run(main())


@pytest.mark.parametrize("target", ["/mcp", "http://u:p@127.0.0.1:{port}/other"])
def test_a_redirect_without_end_or_with_credentials_is_not_followed(target: str) -> None:
    async def moved(exchange: Exchange) -> None:
        await exchange.reply(308, b"", location=target.format(port=exchange.server.port))

    async def main() -> None:
        async with FaultServer(on={"bad": moved}) as server, open_session(transport(server.url), "modern") as session:
            assert facts(await refused(session)) == HttpFacts(kind="redirect", sent=False, status=308)

    asyncio.run(main())


def test_an_answer_over_an_event_stream_arrives() -> None:
    async def fault(exchange: Exchange) -> None:
        answer = json.dumps({"jsonrpc": "2.0", "id": exchange.id, "result": ANSWER})
        await exchange.events(f"event: message\ndata: {answer}")

    async def main() -> None:
        async with FaultServer(on={"sse": fault}) as server, open_session(transport(server.url), "legacy") as session:
            assert (await call(session, "sse")).content

    asyncio.run(main())


async def cut_stream(exchange: Exchange) -> None:
    await exchange.events(": hello")
    exchange.close()


async def reset_stream(exchange: Exchange) -> None:
    await exchange.events(": hello")
    exchange.reset()


async def swollen_stream(exchange: Exchange) -> None:
    await exchange.events("data: " + "x" * 70000)


@pytest.mark.parametrize("fault", [cut_stream, reset_stream, swollen_stream])
def test_an_event_stream_that_breaks_fails_its_own_call_only(fault: Any) -> None:
    async def main() -> None:
        async with FaultServer(on={"bad": fault}) as server, open_session(transport(server.url), "legacy") as session:
            siblings = [asyncio.create_task(call(session, "gate")) for _ in range(SIBLINGS)]
            error = await refused(session)
            assert error.code == types.CONNECTION_CLOSED
            assert error.message.startswith("SSE stream")
            server.open_gate.set()
            assert all(not answer.is_error for answer in await asyncio.gather(*siblings))

    asyncio.run(main())


async def hang(exchange: Exchange) -> None:
    await exchange.hang()


@pytest.mark.parametrize("fault", [hang, reset, status(503), status(307, location="http://other.invalid/")])
def test_a_notification_that_fails_or_hangs_holds_up_nobody(fault: Any) -> None:
    async def main() -> None:
        on = {"notifications/roots/list_changed": fault}
        async with FaultServer(on=on) as server, open_session(transport(server.url), "legacy") as session:
            await notify(session)
            assert (await call(session, "next")).content

    asyncio.run(main())


def test_no_request_overtakes_the_end_of_the_handshake() -> None:
    async def main() -> None:
        async with FaultServer() as server, open_session(transport(server.url), "legacy"):
            assert server.methods() == ["initialize", "notifications/initialized", "tools/list"]

    asyncio.run(main())


def test_an_end_of_the_handshake_that_hangs_is_given_up_after_five_seconds() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with (
            FaultServer(on={"notifications/initialized": hang}) as server,
            open_session(transport(server.url), "legacy") as session,
        ):
            assert loop.time() >= 5.0
            assert (await call(session, "next")).content

    run_virtual(main, grace=0.5)


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


def test_an_answer_of_ours_that_the_server_does_not_take_disturbs_nothing() -> None:
    async def main() -> None:
        async with FaultServer(on={"": status(500)}) as server, transport(server.url) as (read, write):
            answer = types.JSONRPCResponse(jsonrpc="2.0", id=7, result={})
            await write.send(SessionMessage(answer))
            request = types.JSONRPCRequest(jsonrpc="2.0", id=8, method="ping")
            await write.send(SessionMessage(request))
            item = await read.receive()
            assert item.message.id == 8

    asyncio.run(main())


def test_leaving_leaves_no_task_behind() -> None:
    async def main() -> None:
        on = {"notifications/roots/list_changed": hang, "slow": hang}
        async with FaultServer(on=on, session=True) as server:
            before = asyncio.all_tasks()
            async with open_session(transport(server.url), "legacy") as session:
                await notify(session)
                calls = [asyncio.create_task(call(session, "slow")) for _ in range(3)]
                while server.methods().count("tools/call") < 3:
                    await asyncio.sleep(0)
            for task in calls:
                with pytest.raises(MCPError):
                    await task
            assert {task for task in asyncio.all_tasks() - before if task.get_coro().__name__ != "_accept"} == set()

    asyncio.run(main())


def test_the_end_of_the_sdks_transport_is_told_by_an_event_and_cancels_nobody() -> None:
    @asynccontextmanager
    async def broken() -> Any:
        async with anyio.create_task_group() as group:
            send, receive = anyio.create_memory_object_stream[Any](0)

            async def fail() -> None:
                with send, receive:
                    await asyncio.sleep(0)
                    raise RuntimeError("the SDK has a bug")

            group.start_soon(fail)
            yield receive, send

    class Broken(HttpTransport):
        def _open(self) -> Any:
            return broken()

    async def main() -> None:
        made = Broken("", lambda: None, max_message=1)  # type: ignore[arg-type,return-value] - makes no client
        async with made:
            await made.died.wait()
            await asyncio.sleep(0)
        assert isinstance(made.error, ExceptionGroup)

    asyncio.run(main())


def test_a_transport_is_entered_once() -> None:
    async def main() -> None:
        async with FaultServer() as server:
            made = transport(server.url)
            async with made:
                assert not made.died.is_set()
                with pytest.raises(RuntimeError, match="only once"):
                    await made.__aenter__()
            assert made.died.is_set()

    asyncio.run(main())


def test_the_end_of_the_read_stream_sets_the_event() -> None:
    async def main() -> None:
        async with FaultServer() as server:
            made = transport(server.url)
            async with made as (read, write):
                await write.aclose()
                with pytest.raises(StopAsyncIteration):
                    await anext(aiter(read))
                assert made.died.is_set()
            again = transport(server.url)
            async with again as (read, write):
                await write.aclose()
                with pytest.raises(anyio.EndOfStream):
                    await read.receive()
                assert again.died.is_set()

    asyncio.run(main())


def test_a_cancelled_close_still_ends_the_transport() -> None:
    async def main() -> None:
        async with FaultServer(session=True, on={"DELETE": hang}) as server:
            made = transport(server.url)

            async def own() -> None:
                async with open_session(made, "legacy"):
                    pass

            owner = asyncio.create_task(own())
            while "DELETE" not in server.methods():
                await asyncio.sleep(0.001)
            owner.cancel()
            with pytest.raises(asyncio.CancelledError):
                await owner
            assert made.died.is_set()

    asyncio.run(main())


def test_a_date_without_a_clock_beside_it_is_read_against_our_own() -> None:
    later = "Fri, 21 Nov 2286 10:00:00 GMT"

    async def main() -> None:
        bad = status(503, retry_after=later)
        async with FaultServer(on={"bad": bad}) as server, open_session(transport(server.url), "modern") as session:
            asked = facts(await refused(session)).retry_after
            assert asked is not None
            assert asked > 1e9

    asyncio.run(main())


def test_a_connection_that_the_server_has_closed_while_idle_is_replaced_unseen() -> None:
    async def then_close(exchange: Exchange) -> None:
        await exchange.result()
        exchange.close()

    async def main() -> None:
        async with (
            FaultServer(on={"one": then_close}) as server,
            open_session(transport(server.url), "modern") as session,
        ):
            for _ in range(5):
                await call(session, "one")
                await asyncio.sleep(0.01)

    asyncio.run(main())


def test_an_untrusted_certificate_is_told_as_unsent() -> None:
    # A context without a certificate fails every handshake, which is all that is needed here.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

    async def main() -> None:
        async with (
            FaultServer(tls=context) as server,
            transport(server.url) as (read, write),
            ClientSession(read, write) as session,
        ):
            with pytest.raises(MCPError) as caught:
                await session.initialize()
            assert facts(caught.value) == HttpFacts(kind="transport", sent=False, exception="httpx2.ConnectError")

    asyncio.run(main())
