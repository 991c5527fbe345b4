"""Bytes behind an answer: they are nobody's answer."""

from __future__ import annotations

import asyncio
import json

import httpcore2
import pytest
from http_kit import ERAS, call, facts, refused, transport

from recloser.transport.strays import has_strays
from support.http_faults import ANSWER, Exchange, Fault, FaultServer, open_session


def answer(to: object) -> bytes:
    body = json.dumps({"jsonrpc": "2.0", "id": to, "result": ANSWER}).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body


def chunked(to: object) -> bytes:
    body = json.dumps({"jsonrpc": "2.0", "id": to, "result": ANSWER}).encode()
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    return head + b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n"


def empty(status: int) -> bytes:
    return b"HTTP/1.1 %d No\r\ncontent-length: 0\r\n\r\n" % status


REFUSED = [pytest.param(empty(status), id=str(status)) for status in (429, 404, 401, 202)]
STRAYS = [*REFUSED, pytest.param(b"HTTP/1.1 429 N", id="half"), pytest.param(b"\r\n", id="line")]


def behind(stray: bytes, said: Fault | bytes | None) -> Fault:
    async def fault(exchange: Exchange) -> None:
        first = said if isinstance(said, bytes) else answer(exchange.id)
        await exchange.raw(first + (stray or answer(exchange.id)))

    return fault


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("stray", [pytest.param(b"", id="copy"), *STRAYS])
def test_what_comes_behind_an_answer_is_not_the_next_calls_answer(era: str, stray: bytes) -> None:
    async def main() -> None:
        async with (
            FaultServer(on={"twice": behind(stray, None)}) as server,
            open_session(transport(server.url), era) as session,
        ):
            for name in ("twice", "other", "twice", "twice", "other"):
                assert not (await call(session, name)).is_error
            assert server.methods().count("tools/call") == 5

    asyncio.run(main())


@pytest.mark.parametrize("stray", STRAYS)
def test_the_same_behind_an_answer_in_chunks_and_behind_a_refusal(stray: bytes) -> None:
    async def in_chunks(exchange: Exchange) -> None:
        await exchange.raw(chunked(exchange.id) + stray)

    async def main() -> None:
        on = {"chunks": in_chunks, "refused": behind(stray, empty(503))}
        async with FaultServer(on=on) as server, open_session(transport(server.url), "legacy") as session:
            for _ in range(2):
                assert not (await call(session, "chunks")).is_error
                assert facts(await refused(session, "refused")).status == 503
                assert not (await call(session, "other")).is_error
            assert server.methods().count("tools/call") == 6

    asyncio.run(main())


def test_the_same_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with FaultServer(on={"twice": behind(empty(429), None)}) as proxy:
            monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
            async with open_session(transport("http://beyond.invalid/mcp"), "legacy") as session:
                for name in ("twice", "other"):
                    assert not (await call(session, name)).is_error
                assert proxy.methods().count("tools/call") == 2

    asyncio.run(main())


def test_after_an_answer_to_another_request_nothing_more_is_read_from_its_connection() -> None:
    async def late(exchange: Exchange) -> None:
        await exchange.raw(answer("another"))

    async def main() -> None:
        async with FaultServer(on={"bad": late}) as server, open_session(transport(server.url), "legacy") as session:
            assert facts(await refused(session)).kind == "wrong_id"
            assert not (await call(session, "next")).is_error
            bad, following = (one for one in server.seen if one.method == "tools/call")
            assert bad.writer is not following.writer

    asyncio.run(main())


def test_a_connection_that_is_being_made_has_none() -> None:
    assert not has_strays(httpcore2.AsyncHTTPConnection(httpcore2.Origin(b"http", b"127.0.0.1", 80)))
