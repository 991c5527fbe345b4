"""Every form of an answer over HTTP is understood, also behind a redirect and over an event stream."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import Any

import mcp_types as types
import pytest
from http_kit import ERAS, SIBLINGS, call, facts, refused, said, transport

from recloser.facts import HttpFacts, facts_of
from recloser.transport.http import size_limit
from support.http_faults import ANSWER, Exchange, FaultServer, open_session

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


@pytest.mark.parametrize(
    ("host", "target"),
    [
        ("tools.internal:8000", "http://tools.internal:8000/mcp/"),
        ("tools.internal:8000", "/mcp/"),
        ("tools.internal:8000", "http://127.0.0.1:{port}/mcp/"),
        ("tools.internal", "http://tools.internal:80/mcp/"),
        ("tools.internal:eighty", "/mcp/"),
    ],
)
def test_a_redirect_to_the_address_that_our_host_header_names_stays_at_the_one_that_we_reach_it_by(
    host: str, target: str
) -> None:
    async def moved(exchange: Exchange) -> None:
        await exchange.reply(307, b"", location=target.format(port=exchange.server.port))

    async def main() -> None:
        headers = {"Host": host, "Authorization": "Bearer of-this-server"}
        async with (
            FaultServer(on={"/mcp": moved}) as server,
            open_session(transport(server.url, headers=headers), "modern") as session,
        ):
            assert (await call(session, "next")).content
            last = server.seen[-1]
            assert (last.path, last.headers["authorization"]) == ("/mcp/", "Bearer of-this-server")

    asyncio.run(main())


@pytest.mark.parametrize("target", ["http://other.internal:8000/mcp/", "https://tools.internal:8000/mcp/"])
def test_a_redirect_to_another_address_than_the_host_header_names_is_not_followed(target: str) -> None:
    async def moved(exchange: Exchange) -> None:
        await exchange.reply(307, b"", location=target)

    async def main() -> None:
        async with (
            FaultServer(on={"bad": moved}) as server,
            open_session(transport(server.url, headers={"Host": "tools.internal:8000"}), "modern") as session,
        ):
            assert facts(await refused(session)) == HttpFacts(kind="redirect", sent=False, status=307)

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


@pytest.mark.parametrize("fault", [cut_stream, reset_stream])
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


def test_an_sdk_that_knows_no_limit_of_an_events_size_is_given_none():
    def since_2_3(url, *, http_client=None, max_sse_event_size=None):
        """Take a limit."""

    def before(url, *, http_client=None):
        """Take none."""

    assert size_limit(7, since_2_3) == {"max_sse_event_size": 7}
    assert size_limit(7, before) == {}
