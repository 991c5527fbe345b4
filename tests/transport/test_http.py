"""A request that fails over HTTP fails alone, and says why."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import Any

import mcp_types as types
import pytest
from http_kit import ERAS, SIBLINGS, call, facts, refused, reset, said, status, transport

from recloser.facts import FAULT_CODE, HttpFacts, original_data
from support.http_faults import ANSWER, Exchange, FaultServer, open_session


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


async def endless_beside_a_length(exchange: Exchange) -> None:
    await exchange.reply(200, b"", transfer_encoding="chunked", content_length="50")
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
    "too large, whatever was announced": (endless_beside_a_length, {"kind": "too_large", "sent": True}),
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


def test_a_date_without_a_clock_beside_it_is_read_against_our_own() -> None:
    later = "Fri, 21 Nov 2286 10:00:00 GMT"

    async def main() -> None:
        bad = status(503, retry_after=later)
        async with FaultServer(on={"bad": bad}) as server, open_session(transport(server.url), "modern") as session:
            asked = facts(await refused(session)).retry_after
            assert asked is not None
            assert asked > 1e9

    asyncio.run(main())
