"""Framing, and what is made of lines that are no plain message."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp_types import JSONRPCError, JSONRPCNotification, JSONRPCRequest, JSONRPCResponse

from recloser.facts import HttpFacts, facts_of
from recloser.transport.lines import Lines, Oversized, complete_message, messages_of

LIMIT = 10_000


def of(line: bytes | str) -> list[Any]:
    return messages_of(line.encode() if isinstance(line, str) else line)


def failed(line: bytes | str) -> Any:
    """Return the id of the call that a line is said to fail, or None."""
    found = of(line)
    if not found:
        return None
    (error,) = found
    assert isinstance(error, JSONRPCError)
    assert error.error.code == -32700
    assert facts_of(error.error.data) == HttpFacts(kind="malformed", sent=True)
    return error.id


def too_large(head: str, tail: str = "") -> Any:
    """Return the id of the call that an oversized line is said to fail, or None."""
    line = Oversized(head=(head + "x" * 5000).encode()[:4096], tail=("y" * 600 + tail).encode()[-512:])
    found = messages_of(line)
    if not found:
        return None
    (error,) = found
    assert isinstance(error, JSONRPCError)
    assert error.error.code == -32099
    assert facts_of(error.error.data) == HttpFacts(kind="too_large", sent=True)
    return error.id


@given(st.lists(st.binary(max_size=40).map(lambda b: b.replace(b"\n", b"")), max_size=8), st.data())
def test_lines_are_the_same_however_they_are_cut_into_chunks(lines: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(line + b"\n" for line in lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    framer = Lines(20)
    found = []
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += framer.feed(stream[begin:end])
    assert [bytes(line) if not isinstance(line, Oversized) else line for line in found] == [
        line if len(line) <= 20 else Oversized(head=line, tail=line) for line in lines
    ]
    assert framer.finish() == b""


def test_a_line_that_is_too_long_is_held_in_bounded_memory_and_the_next_one_is_read() -> None:
    framer = Lines(LIMIT)
    for _ in range(2000):
        assert framer.feed(b"z" * 1000) == []
        assert len(framer._buffer) <= LIMIT
        assert len(framer._tail) <= 512
    (big, small) = framer.feed(b"end\nnext\n")
    assert big == Oversized(head=b"z" * 4096, tail=(b"z" * 509 + b"end"))
    assert small == b"next"


def test_a_long_line_in_one_chunk_is_too_long_as_well() -> None:
    assert Lines(4).feed(b"a\n12345\nb\n") == [b"a", Oversized(head=b"12345", tail=b"12345"), b"b"]


def test_what_is_left_of_a_long_line_at_the_end_is_dropped() -> None:
    framer = Lines(4)
    framer.feed(b"123456")
    assert framer.finish() == b""
    framer.feed(b"1234")
    assert framer.finish() == b"1234"


def test_a_message_without_a_newline_counts_only_if_it_is_whole() -> None:
    assert complete_message(b'{"jsonrpc":"2.0","id":1,"result":{}}') == [
        JSONRPCResponse(jsonrpc="2.0", id=1, result={})
    ]
    assert complete_message(b'{"jsonrpc":"2.0","id":1,"result":{') == []


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (b'{"jsonrpc":"2.0","id":1,"result":{}}', JSONRPCResponse),
        (b'{"jsonrpc":"2.0","id":1,"result":{}}\r', JSONRPCResponse),
        (b'{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":"m"}}', JSONRPCError),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping"}', JSONRPCRequest),
        (b'{"jsonrpc":"2.0","method":"notifications/x"}', JSONRPCNotification),
        (b'\xef\xbb\xbf{"jsonrpc":"2.0","id":1,"result":{}}', JSONRPCResponse),
    ],
)
def test_every_kind_of_message_is_read(line: bytes, kind: type) -> None:
    (message,) = of(line)
    assert type(message) is kind


def test_a_byte_that_is_no_utf8_is_replaced() -> None:
    (message,) = of(b'{"jsonrpc":"2.0","id":1,"result":{"text":"caf\xe9"}}')
    assert message.result == {"text": "caf\ufffd"}


def test_a_lone_surrogate_is_replaced() -> None:
    (message,) = of(b'{"jsonrpc":"2.0","id":1,"result":{"text":"cut \\ud83d"}}')
    assert message.result == {"text": "cut ?"}


def test_messages_run_together_are_all_read() -> None:
    found = of('{"jsonrpc":"2.0","id":1,"result":{}} {"jsonrpc":"2.0","id":2,"result":{}}done')
    assert [message.id for message in found] == [1, 2]


def test_a_batch_is_read() -> None:
    found = of('[{"jsonrpc":"2.0","id":1,"result":{}},{"jsonrpc":"2.0","method":"m"},7]')
    assert [type(message) for message in found] == [JSONRPCResponse, JSONRPCNotification]


@pytest.mark.parametrize(
    "line",
    [
        "",
        "   ",
        "Server running on stdio",
        "{not json",
        "[broken",
        "null",
        "[]",
        "[1, 2]",
        '"text"',
        "{}",
        '{"level":"info","id":7,"msg":"started"}',
        '{"level":"error","id":7,"error":"it broke"}',
        '{"jsonrpc":"2.0"}',
        '{"id":7}',
        '{"jsonrpc":"2.0","id":true,"result":{}}',
        '{"jsonrpc":"2.0","id":1.5,"result":{}}',
        '{"jsonrpc":"2.0","id":null,"result":{}}',
        '{"jsonrpc":"2.0","id":[7],"result":{}}',
        '{"jsonrpc":"2.0","id":7,"method":"ask","params":7}',
        '{"jsonrpc":"2.0","id":7,"params":{"a":',
        '{"jsonrpc":"2.0","id":7',
        '{"jsonrpc":"2.0","id":7,"res{"jsonrpc":"2.0","id":8,"result":{}}',
        '{"jsonrpc":"2.0","result":{"user":"x","id":3}',
        '{"jsonrpc":"2.0","result":{broken},"jsonrpc":"2.0","id":"\x01"}',
    ],
)
def test_a_line_that_answers_no_call_for_certain_is_ignored(line: str) -> None:
    assert of(line) == []


@pytest.mark.parametrize(
    ("line", "number"),
    [
        ('{"jsonrpc":"2.0","id":7,"result":"text"}', 7),
        ('{"jsonrpc":"2.0","id":7,"result":null}', 7),
        ('{"jsonrpc":"2.0","id":7}', 7),
        ('{"jsonrpc":"1.0","id":"abc","result":{}}', "abc"),
        ('{"id":7,"result":{}}', 7),
        ('{"jsonrpc":"2.0","id":7.0,"result":{}}', 7),
        ('{"jsonrpc":"2.0","id":7,"error":"text"}', 7),
        ('{"jsonrpc":"2.0","id":7,"result":{"text":"an "unescaped" quote"}}', 7),
        ('{"jsonrpc":"2.0","id":7,"result":{"a":1', 7),
        ('{"result":{"text":"an "unescaped" quote"},"jsonrpc":"2.0","id":7}', 7),
        ('{"result": NoneType , "id": "x", "jsonrpc": "2.0" }', "x"),
        ('{"jsonrpc":"2.0","id":7,"result":' + "[" * 2000 + "]" * 2000 + "}", 7),
        ('{"jsonrpc":"2.0","id":7,"result":{"deep":' + "[" * 500 + "]" * 500 + "}}", 7),
    ],
)
def test_an_answer_that_cannot_be_read_fails_its_call(line: str, number: object) -> None:
    assert failed(line) == number


def test_the_answers_before_a_broken_one_are_kept() -> None:
    good, bad = of('{"jsonrpc":"2.0","id":1,"result":{}}{"jsonrpc":"2.0","id":2,"result":{')
    assert (good.id, bad.id) == (1, 2)
    assert isinstance(good, JSONRPCResponse)
    assert isinstance(bad, JSONRPCError)


def test_the_call_of_an_answer_that_is_too_large_is_found() -> None:
    assert too_large('{"jsonrpc":"2.0","id":7,"result":{"text":"') == 7
    assert too_large('{"jsonrpc": "2.0", "id" : "abc", "error": {"message":"') == "abc"
    assert too_large('{"id":7,"result":{"text":"') == 7
    # As TypeScript servers write it: the id comes last.
    assert too_large('{"result":{"text":"', '"}]},"jsonrpc":"2.0","id":7}') == 7
    assert too_large('{"result":{"text":"', '"}]},"id":"a\\"b","jsonrpc":"2.0"}\r') == 'a"b'


def test_what_is_too_large_and_answers_no_call_for_certain_fails_none() -> None:
    assert too_large("x") is None
    assert too_large('{"jsonrpc":"2.0","id":7,"method":"sampling/createMessage","params":{"text":"') is None
    assert too_large('{"method":"ask","params":{"text":"', '"},"jsonrpc":"2.0","id":7}') is None
    assert too_large('{"jsonrpc":"2.0","id":7,"params":{"text":"') is None
    assert too_large('{"jsonrpc":"2.0","result":{"text":"', '"id":7}}') is None
    assert too_large('{"jsonrpc":"2.0","result":{"text":"', ',"id":7}') is None
    assert too_large('{"result":{"text":"', '"},"jsonrpc":"2.0","id":"\x01"}') is None
    assert too_large('{"result":{"text":"', '"},"jsonrpc":"2.0","jsonrpc":"2.0"}') is None


def test_a_number_cut_in_two_at_the_end_of_the_head_is_not_taken_for_the_id() -> None:
    head = '{"result":1,"jsonrpc":"2.0","pad":"' + "p" * 4045 + '","id":123'
    assert len(head) > 4085
    assert messages_of(Oversized(head=head.encode(), tail=b"4567")) == []


def test_a_key_that_only_looks_like_the_id_is_not_taken_for_it() -> None:
    inner = json.dumps({"jsonrpc": "2.0", "id": 9, "result": {}})
    assert too_large('{"jsonrpc":"2.0","id":7,"result":{"text":' + json.dumps(inner)) == 7
    assert too_large('{"result":{"id":9,"text":"') is None
