from __future__ import annotations

import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp_types import JSONRPCError, JSONRPCResponse, jsonrpc_message_adapter
from pydantic import ValidationError

from recloser.transport.answers import Answer, Envelope, envelope, means_session_lost, read_answer, rpc_error

MEMBERS = st.permutations(
    [
        ("jsonrpc", "2.0"),
        ("id", 3),
        ("result", {"content": [{"type": "text", "text": '},"id":4}'}], "id": 5, "jsonrpc": "2.0"}),
    ]
)


@given(MEMBERS, st.sampled_from([None, 1, 2]), st.sampled_from([3, 4, "3", "x"]))
def test_the_cheap_look_and_the_full_parse_agree(
    members: list[tuple[str, object]], indent: int | None, wanted: object
) -> None:
    body = json.dumps(dict(members), indent=indent).encode()
    expected = Answer() if str(wanted) == "3" else Answer(fault="wrong_id")
    assert read_answer(body, wanted) == expected  # type: ignore[arg-type]


@given(st.binary(max_size=40) | st.text(alphabet=string.printable, max_size=40).map(str.encode))
def test_no_bytes_of_a_server_raise(body: bytes) -> None:
    try:
        message = jsonrpc_message_adapter.validate_json(body, by_name=False)
    except ValidationError:
        message = None
    answer = read_answer(body, 3)
    assert (answer.fault == "malformed") == (not isinstance(message, JSONRPCResponse | JSONRPCError))
    assert rpc_error(body) is None or isinstance(message, JSONRPCError)
    assert isinstance(envelope(body), Envelope)
    assert means_session_lost(400, body, None) in (True, False)


@pytest.mark.parametrize(
    "body",
    [
        b'{"jsonrpc":"2.0","id":' + b"9" * 6000 + b',"result":{}}',
        b'{"jsonrpc":"2.0","id":"\xff","result":{}}',
        b'{"jsonrpc":"2.0","id":"\n","result":{}}',
        b'{"jsonrpc":"2.0","id":3.5,"result":{}}',
        b'{"jsonrpc":"2.0","id":true,"result":{}}',
        b'{"id":3,"method":"x","result":',
        b'{"result":{},"id":4,"x":1}',
    ],
)
def test_an_id_that_is_none_is_a_malformed_answer(body: bytes) -> None:
    assert read_answer(body, 3) == Answer(fault="malformed")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'{"jsonrpc":"2.0","id":7,"method":"ping"}', Envelope(id=7, method="ping")),
        (b'{"jsonrpc":"2.0","id":"a-7","method":"ping"}', Envelope(id="a-7", method="ping")),
        (b'{"method":"ping","id":7,"jsonrpc":"2.0"}', Envelope(id=7, method="ping")),
        (
            b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{}}',
            Envelope(method="notifications/cancelled"),
        ),
        (b'{"jsonrpc":"2.0","id":7,"result":{}}', Envelope()),
        (b"[]", Envelope()),
        (b"nonsense", Envelope()),
    ],
)
def test_the_outside_of_a_message_is_read(content: bytes, expected: Envelope) -> None:
    assert envelope(content) == expected
