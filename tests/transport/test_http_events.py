"""Event streams as servers write them: however they are cut and ended, and whatever is in them that is no answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from http_kit import ERAS, call, facts, refused, transport
from hypothesis import given
from hypothesis import strategies as st

from recloser.facts import FAULT_CODE, HttpFacts, facts_of
from recloser.transport.events import readable_events
from support.http_faults import ANSWER, Exchange, FaultServer, open_session

HALF = {**ANSWER, "content": [{"type": "text", "text": "half \ud83d"}]}
LINE_ENDS = pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])


def answer(number: Any, result: Any = HALF) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": number, "result": result}).encode()


# --- events, as they are cut and ended


def streamed(parts: list[bytes], content_type: str, *, then: str) -> httpx2.Response:
    async def stream() -> AsyncIterator[bytes]:
        for part in parts:
            yield part
        assert then == "end", "more is read than must be"

    request = httpx2.Request("POST", "http://peer/")
    return httpx2.Response(200, headers={"content-type": content_type}, content=stream(), request=request)


def read(parts: list[bytes], wanted: Any = 3, limit: int = 1000, content_type: str = "text/event-stream") -> list[Any]:
    """What a reader of events gets of a stream that comes in these parts."""

    async def main() -> list[Any]:
        response = readable_events(streamed(parts, content_type, then="end"), wanted, limit)
        source = httpx2.EventSource(response, max_event_size=limit)
        return [(event.event, event.id, event.data) async for event in source]

    return asyncio.run(main())


WHOLE = answer(3, ANSWER).decode()
CUT = answer(3).decode()
MENDED = CUT.replace(r"\ud83d", "?")
EVENTS = [
    ": a comment of \\ud83d",
    f"id: \\ud83d\ndata: {CUT}",
    f"event: weather\ndata: {CUT}",
    f"event:message\ndata:{WHOLE}\nretry: 5",
    "id: 8\ndata:",
    "\n".join(f"data: {line}" for line in json.dumps(json.loads(CUT), indent=1).splitlines()),
]
READ = [
    ("message", "\\ud83d", MENDED),
    ("message", "\\ud83d", WHOLE),
    ("message", "8", ""),
    ("message", "8", json.dumps(json.loads(CUT), indent=1).replace(r"\ud83d", "?")),
]


@LINE_ENDS
@pytest.mark.parametrize("size", [1, 2, 7, 100, 10**6])
def test_events_are_read_alike_however_they_are_cut_and_ended(size: int, end: str) -> None:
    stream = ("\n\n".join(EVENTS) + "\n\n").replace("\n", end).encode()
    assert read([stream[at : at + size] for at in range(0, len(stream), size)]) == READ


def first(parts: list[bytes], wanted: Any = 3, limit: int = 1000) -> bytes:
    """What is handed on of these parts without waiting for more."""

    async def main() -> bytes:
        stream = readable_events(streamed(parts, "text/event-stream", then="hang"), wanted, limit).stream
        assert isinstance(stream, httpx2.AsyncByteStream)
        return await anext(aiter(stream))

    return asyncio.run(main())


@LINE_ENDS
@pytest.mark.parametrize("missing", [0, 1])
def test_an_event_is_handed_on_as_soon_as_it_is_whole(end: str, missing: int) -> None:
    # Its last line ends with a CR already, whether or not an LF is to follow.
    missing = missing if end == "\r\n" else 0
    whole = f"data: {WHOLE}\n\n".replace("\n", end).encode()
    assert first([whole[: len(whole) - missing]]) == f"data: {WHOLE}\n\n".encode()
    rest = f"data: {WHOLE}\n\ndata: {{".replace("\n", end).encode()
    assert [data for _, _, data in read([whole[:-1], whole[-1:], b"", rest])] == [WHOLE, WHOLE]


@pytest.mark.parametrize("cut", range(6))
def test_a_byte_order_mark_before_a_stream_costs_no_event(cut: int) -> None:
    stream = b"\xef\xbb\xbf" + f"data: {WHOLE}\n\n".encode()
    assert read([stream[:cut], stream[cut:]]) == [("message", "", WHOLE)]


def test_an_event_that_cannot_be_read_says_nothing_where_nobody_waits_for_it() -> None:
    assert read([b"id: 4\ndata: {\n\n", f"data: {WHOLE}\n\n".encode()], wanted=None) == [
        ("message", "4", ""),
        ("message", "4", WHOLE),
    ]


def test_bytes_that_are_no_text_are_read_as_the_streams_own_reader_does() -> None:
    event = b"data: " + WHOLE.encode().replace(b"ok", b"\xff") + b"\n\n"
    assert read([event]) == read([event], wanted=None)
    latin = f"data: {answer(3, {'a': 'x'}).decode().replace('x', 'é')}\n\n".encode("latin-1")
    [(_, _, data)] = read([latin], content_type="text/event-stream; charset=latin-1")
    assert json.loads(data)["result"] == {"a": "é"}


LABELS = ["iso-8859-1", "us-ascii", "utf-16", "utf-7", "unicode_escape", "idna", "base64", "undefined", "nonsense"]


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("wanted", [3, None])
def test_a_stream_is_read_as_utf_8_whatever_it_is_said_to_be(wanted: Any, label: str) -> None:
    whole = json.dumps({"jsonrpc": "2.0", "id": 3, "result": {"it": "naïve ✓"}}, ensure_ascii=False)
    got = read([f"data: {whole}\n\n".encode()], wanted=wanted, content_type=f"text/event-stream; charset={label}")
    assert got == [("message", "", whole)]


@pytest.mark.parametrize("label", LABELS)
def test_bytes_that_no_label_explains_fail_their_own_call(label: str) -> None:
    parts = [b"data: {\xff\n\n", f"data: {WHOLE}\n\n".encode()]
    kind = f"text/event-stream; charset={label}"
    assert [outcome(data)[2] for _, _, data in read(parts, content_type=kind)] == ["malformed", None]
    assert [data for _, _, data in read(parts, wanted=None, content_type=kind)] == [WHOLE]


def test_what_is_no_event_stream_is_left_as_it_is() -> None:
    response = httpx2.Response(405, headers={"content-type": "text/plain"})
    assert readable_events(response, None, 1) is response


# --- what would harm the reader, or be told to the log


@pytest.mark.parametrize("retry", ["-5", "9" * 10, "9" * 5000, "soon", "", "1_0", "\u0665"])
@pytest.mark.parametrize("data", ["\ndata:", f"\ndata: {WHOLE}", ""])
def test_a_time_to_come_again_that_is_none_is_left_out(retry: str, data: str) -> None:
    assert b"retry" not in first([f"id: e1\nretry: {retry}{data}\n\n".encode()], limit=10000)


def test_a_time_to_come_again_is_handed_on() -> None:
    assert first([b"retry:50\nid: e1\ndata\n\n"]) == b"id: e1\nretry:50\n\n"


def test_an_event_of_another_name_is_left_out_but_for_its_id() -> None:
    assert first([b": x\nfoo: 1\n\nevent: SECRET\nid: 5\ndata: {\n\n"]) == b"id: 5\n\n"
    assert read([b"event: SECRET\ndata: {\n\n"]) == []


def test_the_endpoint_of_a_session_is_handed_on_and_that_in_a_calls_stream_is_not() -> None:
    parts = [b"event: endpoint\ndata: /messages\n\n"]
    assert read(parts, wanted=None) == [("endpoint", "", "/messages")]
    assert read(parts) == []


@pytest.mark.parametrize("data", [b"data:   \n\n", b"data\ndata\n\n"])
def test_data_of_nothing_but_space_is_none(data: bytes) -> None:
    assert read([b"id: 5\n" + data]) == [("message", "5", "")]


# --- whose answer an event is


def outcome(data: str) -> tuple[Any, Any, str | None]:
    message = json.loads(data)
    told = facts_of(message["error"]["data"]) if "error" in message else None
    return message["id"], message.get("result"), None if told is None else told.kind


@pytest.mark.parametrize("number", [4, "4", 33])
@pytest.mark.parametrize("said", [{"result": {}}, {"error": {"code": -32000, "message": "SECRET"}}])
def test_an_answer_to_another_request_is_not_taken_for_this_ones(number: Any, said: dict[str, Any]) -> None:
    event = f"id: 8\ndata: {json.dumps({'jsonrpc': '2.0', 'id': number, **said})}\n\n".encode()
    [(_, at, data)] = read([event])
    assert (at, outcome(data)) == ("8", (3, None, "wrong_id"))
    assert "SECRET" not in data
    [(_, _, data)] = read([event], wanted=None)
    assert json.loads(data)["id"] == number


@pytest.mark.parametrize(
    "message",
    [
        {"id": "3", "result": {}},
        {"id": None, "error": {"code": -32700, "message": "what?"}},
        {"id": 4, "method": "ping"},
        {"method": "notifications/tools/list_changed"},
    ],
)
def test_what_is_no_answer_to_another_request_is_handed_on(message: dict[str, Any]) -> None:
    data = json.dumps({"jsonrpc": "2.0", **message})
    assert read([f"data: {data}\n\n".encode()]) == [("message", "", data)]


async def another_id(exchange: Exchange) -> None:
    await exchange.events(f"data: {answer(f'not {exchange.id}').decode()}")


async def too_large(exchange: Exchange) -> None:
    await exchange.events(f"data: {answer(exchange.id, {'a': 'x' * 70000}).decode()}")


@pytest.mark.parametrize(("fault", "kind"), [(another_id, "wrong_id"), (too_large, "too_large")])
@pytest.mark.parametrize("era", ERAS)
def test_an_event_that_does_not_answer_its_call_fails_it_as_a_body_would(fault: Any, kind: Any, era: str) -> None:
    async def main() -> None:
        async with FaultServer(on={"bad": fault}) as server, open_session(transport(server.url), era) as session:
            error = await refused(session)
            assert (error.code, facts(error)) == (FAULT_CODE, HttpFacts(kind=kind, sent=True, status=200))
            assert (await call(session, "next")).content

    asyncio.run(main())


# --- events that are too large


BIG = "x" * 2000


@pytest.mark.parametrize(
    "event",
    [
        f"data: {answer(3, BIG).decode()}",
        f"data: {answer(3, BIG).decode()}\n\n",
        "data: x\n" * 300,
        f"foo: {BIG}\n\n",
        f"id: {BIG}",
    ],
)
@pytest.mark.parametrize("size", [7, 10**6])
def test_an_event_that_is_too_large_fails_its_call_before_it_ends(event: str, size: int) -> None:
    parts = [event[at : at + size].encode() for at in range(0, len(event), size)]
    assert outcome(first(parts).decode().removeprefix("data: ")) == (3, None, "too_large")
    assert {outcome(data) for _, _, data in read(parts)} == {(3, None, "too_large")}


def test_comments_and_events_of_the_size_that_is_allowed_are_not_too_large() -> None:
    exact = len(f"data: {WHOLE}")
    stream = f":{BIG}\n: {BIG}\ndata: {WHOLE}\n\n".encode()
    for size in (7, 10**6):
        parts = [stream[at : at + size] for at in range(0, len(stream), size)]
        assert [data for _, _, data in read(parts, limit=exact)] == [WHOLE]
    assert [outcome(data)[2] for _, _, data in read([stream], limit=400)] == [None]


@pytest.mark.parametrize("size", [7, 10**6])
@pytest.mark.parametrize("limit", [1000, 6000])
@pytest.mark.parametrize(
    ("event", "answered"),
    [
        ('data: {"jsonrpc":"2.0","id":7,"result":{"a":"%s"}}', [7]),
        ('data: {"result":{"a":"%s"},"jsonrpc":"2.0","id":7}', [7]),
        ('id: 5\ndata: {"jsonrpc":"2.0",\ndata:"id":7,\ndata: "result":\ndata: {"a":"%s"\ndata: }\ndata: }', [7]),
        ('data: {"result":\ndata: {"a":"%s"\ndata: },"jsonrpc":"2.0",\ndata: "id":7}', [7]),
        ('data: {"jsonrpc":"2.0","id":7,"result":{}}\nfoo: %s\nfoo: %s', [7]),
        ('data: {"jsonrpc":"2.0","id":7,"method":"x","params":{"a":"%s"}}', []),
        ('data: {"a":"%s"\ndata: "jsonrpc":"2.0","id":7,"result":{}}', []),
        ("data: %s", []),
        ("foo: %s", []),
    ],
)
def test_where_nobody_waits_an_event_that_is_too_large_fails_the_call_that_it_certainly_answers(
    event: str, answered: list[Any], limit: int, size: int
) -> None:
    stream = (event.replace("%s", "x" * 9000) + f"\n\ndata: {WHOLE}\n\n").encode()
    parts = [stream[at : at + size] for at in range(0, len(stream), size)]
    told = [outcome(data) for _, _, data in read(parts, wanted=None, limit=limit)]
    assert told == [*((number, None, "too_large") for number in answered), (3, ANSWER, None)]


def test_where_nobody_waits_an_event_that_is_no_message_fails_the_call_that_it_certainly_answers() -> None:
    events = [
        '{"jsonrpc":"2.0","id":7,"result":[]}',
        '{"jsonrpc":"2.0","id":8,"result":{',
        f'[{WHOLE}, {{"jsonrpc":"2.0","id":9,"result":5}}]',
    ]
    stream = "".join(f"id: e\ndata: {event}\n\n" for event in events).encode()
    told = [outcome(data) for _, _, data in read([stream], wanted=None)]
    malformed = [(number, None, "malformed") for number in (7, 8, 9)]
    assert told == [*malformed[:2], (3, ANSWER, None), malformed[2]]


@given(
    st.lists(st.sampled_from([*"\r\n: x", "\ufeff", "data", "id", "event", "retry", "{}", BIG]), max_size=40), st.data()
)
def test_any_stream_is_handed_on_alike_however_it_is_cut(pieces: list[str], data: st.DataObject) -> None:
    stream = "".join(pieces).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=5)))
    parts = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert read(parts, wanted=None) == read([stream], wanted=None)
