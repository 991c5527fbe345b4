"""What a server writes can be read, or is a failure of its own request, and no word of it comes to the log."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import mcp_types as types
import pytest
from http_kit import ERAS, call, facts, refused, said, transport
from hypothesis import given
from hypothesis import strategies as st
from mcp_types import jsonrpc_message_adapter

from recloser.facts import FAULT_CODE, HttpFacts
from recloser.transport.http import sse_transport
from recloser.transport.lines import messages_of
from recloser.transport.readable import plain, readable
from support.http_faults import ANSWER, Exchange, FaultServer, open_session

HALF = {**ANSWER, "content": [{"type": "text", "text": "half \ud83d"}]}


def answer(number: Any, result: Any = HALF) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": number, "result": result}).encode()


def text_of(result: types.CallToolResult) -> str:
    assert isinstance(result.content[0], types.TextContent)
    return result.content[0].text


# --- half characters


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (r"\ud83d", "?"),
        (r"\uD83D\uDE00", "\U0001f600"),
        (r"\ude00\ud83d", "??"),
        (r"\ud83d\ud83d\ude00", "?\U0001f600"),
        (r"\ud83dx\ude00", "?x?"),
        (r"\\ud83d\ud83d", r"\ud83d?"),
        (r"\\\ud83d", "\\?"),
        (r"\\\\ud83d\ud83d", r"\\ud83d?"),
        (r"\u00e9\ud7ff\ue000\ud83d", "é\ud7ff\ue000?"),
        (r"\"\ud83d\"", '"?"'),
        (r"\ud83d\n", "?\n"),
    ],
)
def test_a_half_character_is_a_question_mark_as_over_stdio(written: str, read: str) -> None:
    body = b'{"jsonrpc":"2.0","id":3,"result":{"it":"%s"}}' % written.encode()
    found = readable(body)
    assert found is not None
    message = jsonrpc_message_adapter.validate_json(found[0])
    assert isinstance(message, types.JSONRPCResponse)
    assert message.result == {"it": read}
    assert message in messages_of(body)


HALVES = st.text(st.sampled_from('a\\"\n\ud83d\ude00\udfffé'), max_size=12)


@given(HALVES, HALVES, st.booleans())
def test_every_text_that_json_can_say_is_read_as_over_stdio(name: str, text: str, ascii_only: bool) -> None:
    body = json.dumps({"jsonrpc": "2.0", "id": 3, "result": {name: [text]}}).encode()
    found = readable(body)
    assert found is not None
    assert [jsonrpc_message_adapter.validate_json(found[0])] == messages_of(body)
    value = {name: [text, 1, None]}
    assert plain(value) == json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))


@pytest.mark.parametrize("value", [{"a": ["é", 1, None, {"b": True}]}, "\U0001f600", [], 5])
def test_a_value_of_whole_characters_is_left_as_it_is(value: Any) -> None:
    assert plain(value) is value


@pytest.mark.parametrize("body", [b"", b"{", b'{"jsonrpc":"2.0","id":3,"result":"\\ud83d"', b'{"a":"\\ud83d"}', b"[]"])
def test_what_is_no_message_is_not_made_one(body: bytes) -> None:
    assert readable(body) is None


def test_a_byte_order_mark_before_a_message_is_none_of_it() -> None:
    body = b'{"jsonrpc":"2.0","id":3,"result":{}}'
    assert readable(b"\xef\xbb\xbf" + body) == readable(body)
    assert readable(b"\xef\xbb\xbf" * 2 + body) is None


async def as_json(exchange: Exchange) -> None:
    await exchange.reply(200, answer(exchange.id))


async def in_chunks(exchange: Exchange) -> None:
    await exchange.reply(200, b"", transfer_encoding="chunked")
    for byte in answer(exchange.id):
        await exchange.raw(b"1\r\n%c\r\n" % byte)
    await exchange.raw(b"0\r\n\r\n")


async def as_event(exchange: Exchange) -> None:
    await exchange.events(f"event: message\ndata: {answer(exchange.id).decode()}")


async def as_event_in_pieces(exchange: Exchange) -> None:
    await exchange.events()
    for byte in b"data: " + answer(exchange.id) + b"\r\n\r\n":
        await exchange.raw(b"1\r\n%c\r\n" % byte)


@pytest.mark.parametrize("fault", [as_json, in_chunks, as_event, as_event_in_pieces])
@pytest.mark.parametrize("era", ERAS)
def test_an_answer_with_half_a_character_is_an_answer(fault: Any, era: str) -> None:
    async def main() -> None:
        async with FaultServer(on={"cut": fault}) as server, open_session(transport(server.url), era) as session:
            assert text_of(await call(session, "cut")) == "half ?"

    asyncio.run(main())


def test_a_refusal_with_half_a_character_keeps_its_code() -> None:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "error": {"code": -32602, "message": "no \ud83d"}}).encode()

    async def fault(exchange: Exchange) -> None:
        await exchange.reply(400, body)

    async def main() -> None:
        async with FaultServer(on={"bad": fault}) as server, open_session(transport(server.url), "modern") as session:
            error = await refused(session)
            assert (error.code, error.message) == (-32602, "no ?")

    asyncio.run(main())


def test_an_answer_on_the_stream_of_2024_may_have_half_a_character() -> None:
    async def fault(exchange: Exchange) -> None:
        await exchange.reply(202, b"")
        await server.say(answer(exchange.id).decode())

    server = FaultServer(sse=True, on={"cut": fault})

    async def main() -> None:
        settings: dict[str, Any] = {"headers": {}, "auth": None, "verify": True}
        async with server:
            made = sse_transport(server.url, **settings, connect_timeout=5.0, max_message=65536)
            async with open_session(made, "legacy") as session:
                assert text_of(await call(session, "cut")) == "half ?"

    asyncio.run(main())


# --- what cannot be read at all


SECRET = "SECRETCONTENT"


async def broken_event(exchange: Exchange) -> None:
    await exchange.events(f'data: {{"jsonrpc":"2.0","id":{exchange.id},"result":{{"a":"{SECRET}')


async def foreign_event(exchange: Exchange) -> None:
    await exchange.events(f'event: message\nid: 7\ndata: {{"some":"{SECRET}"}}')


@pytest.mark.parametrize(
    "fault",
    [
        said(b'{"jsonrpc":"2.0","id":3,"result":{"a":"%s' % SECRET.encode()),
        said(lambda number: b'{"jsonrpc":"2.0","id":%d,"result":{"a":"%s",}}' % (number, SECRET.encode())),
        said(lambda number: b'{"result":{"a":"%s\n"},"jsonrpc":"2.0","id":%d}' % (SECRET.encode(), number)),
        broken_event,
        foreign_event,
    ],
)
@pytest.mark.parametrize("era", ERAS)
def test_an_answer_that_cannot_be_read_fails_its_call_and_is_quoted_nowhere(
    fault: Any, era: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    async def main() -> None:
        async with FaultServer(on={"bad": fault}) as server, open_session(transport(server.url), era) as session:
            error = await refused(session)
            assert (error.code, facts(error)) == (FAULT_CODE, HttpFacts(kind="malformed", sent=True, status=200))
            assert (await call(session, "next")).content

    asyncio.run(main())
    assert SECRET not in caplog.text
