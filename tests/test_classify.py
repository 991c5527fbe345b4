"""What a failure is called: one table for whatever comes from below, and for what tools say of their errors."""

from __future__ import annotations

import asyncio
import json
import pickle
from typing import Any

import httpx2
import mcp_types as types
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp import MCPError

from recloser.classify import classify, standard_error
from recloser.errors import CODES, Cause, error_for
from recloser.messages import message_for
from support.failures import ROWS, SECRET, bad_status, fact, told


@pytest.mark.parametrize(("error", "code", "delivered", "evidence"), ROWS)
def test_the_table_has_one_answer_for_each_failure(
    error: BaseException, code: str, delivered: str, evidence: bool
) -> None:
    found = classify(error, server="search", tool="web")
    payload = found.payload
    assert (payload.code, payload.delivered, found.evidence) == (code, delivered, evidence)
    assert (payload.type, payload.server, payload.tool) == (CODES[code].type, "search", "web")
    assert payload.retryable is (payload.type == "transient")
    assert payload.message.count("search") == 1
    assert payload.message.endswith(".")
    assert SECRET not in json.dumps(payload.to_dict())


@pytest.mark.parametrize("row", ROWS, ids=range(len(ROWS)))
def test_what_was_never_sent_was_never_delivered(row: tuple[BaseException, str, str, bool]) -> None:
    error, _, delivered, _ = row
    found = classify(error, server="s", sent=False).payload.delivered
    knows_better = isinstance(error, MCPError) and "recloser" in (error.data or {})
    said_by_the_server = delivered == "maybe" and not knows_better
    assert found == ("no" if said_by_the_server else delivered)


def test_a_dead_connection_makes_the_servers_own_code_the_end_of_it() -> None:
    assert classify(told(-32000), server="s", alive=False).payload.code == "connection_lost"
    assert classify(told(-32001), server="s", alive=False).payload.code == "server_fault"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (told(-32600, "Session terminated"), "connection_lost"),
        (told(-32600, "Session not found"), "connection_lost"),
        (told(-32001, "Session not found"), "connection_lost"),
        (told(-32600, "Session terminated by the bank"), "protocol_violation"),
        (told(-32603, "Session terminated"), "server_fault"),
    ],
)
def test_over_a_transport_that_has_only_words_for_a_lost_session_they_are_heard_and_prove_nothing(
    error: MCPError, code: str
) -> None:
    payload = classify(error, server="s", words=True).payload
    assert (payload.code, payload.delivered) == (code, "maybe")


def test_the_cause_is_named_without_its_text() -> None:
    def cause(error: BaseException) -> Cause | None:
        return classify(error, server="s").payload.cause

    assert cause(httpx2.ConnectError("x")) == Cause(exception="httpx2.ConnectError")
    assert cause(FileNotFoundError("x")) == Cause(exception="FileNotFoundError")
    assert cause(told(-32603)) == Cause(exception="mcp.MCPError", jsonrpc_code=-32603)
    assert cause(fact(status=503)) == Cause(exception="mcp.MCPError", http_status=503)
    assert cause(fact(-32000, status=503)) == Cause(exception="mcp.MCPError", jsonrpc_code=-32000, http_status=503)
    assert cause(fact(kind="transport", exception="httpx2.ReadError")) == Cause(exception="httpx2.ReadError")
    accepted = fact(kind="accepted", status=202)
    assert cause(accepted) == Cause(exception="mcp.MCPError", http_status=202)
    assert cause(bad_status(401)) == Cause(exception="httpx2.HTTPStatusError", http_status=401)


def test_what_the_server_asked_us_to_wait_is_kept_and_said() -> None:
    payload = classify(fact(status=429, retry_after=7.0), server="s").payload
    assert (payload.retry_after, payload.message) == (7.0, "server 's' is overloaded; try again in 7 s.")
    assert classify(bad_status(503, retry_after="2"), server="s").payload.retry_after == 2.0
    assert classify(fact(status=429), server="s").payload.retry_after is None
    waits = fact(kind="auth_unreachable", sent=False, status=503, retry_after=9.0)
    assert classify(waits, server="s").payload.retry_after == 9.0


def test_of_what_nobody_has_foreseen_the_kind_is_told() -> None:
    told_so = "the call to server 's' failed in an unforeseen way (KeyError); tell the operator."
    assert classify(KeyError(SECRET), server="s").payload.message == told_so


@pytest.mark.parametrize(
    ("error", "action"),
    [
        (told(-32021), "use_other_tool"),
        (fact(kind="too_large", status=200), "fix_arguments"),
        (told(-32042), "reauthenticate"),
        (told(-32602), "fix_arguments"),
    ],
)
def test_the_next_action_fits_the_case(error: MCPError, action: str) -> None:
    assert classify(error, server="s").payload.next_action == action


def test_an_error_of_ours_stays_itself() -> None:
    ours = error_for("timeout", "m")
    assert classify(ours, server="s") is ours
    assert classify(ExceptionGroup("g", [KeyError("x"), ours]), server="s") is ours


def test_of_a_group_the_most_telling_member_counts() -> None:
    inner = BaseExceptionGroup("i", [asyncio.CancelledError(), told(-32000, "Connection closed")])
    group = BaseExceptionGroup("o", [inner, KeyError("x"), httpx2.ConnectError("y")])
    assert classify(group, server="s").payload.code == "unreachable"
    assert classify(inner, server="s").payload.code == "connection_lost"


@pytest.mark.parametrize("kind", [asyncio.CancelledError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_is_nobodys_failure_goes_out_as_it_came_in(kind: type[BaseException]) -> None:
    alone = kind()
    with pytest.raises(kind) as caught:
        classify(alone, server="s")
    assert caught.value is alone
    group = BaseExceptionGroup("g", [BaseExceptionGroup("h", [kind()])])
    with pytest.raises(BaseException) as raised:
        classify(group, server="s")
    assert isinstance(raised.value, BaseExceptionGroup if kind is asyncio.CancelledError else kind)


def test_a_classified_error_can_cross_a_process() -> None:
    found = classify(fact(status=408), server="s")
    copy = pickle.loads(pickle.dumps(found))
    assert (copy.payload, copy.evidence) == (found.payload, False)


@given(st.integers(min_value=0, max_value=999), st.integers(min_value=-33000, max_value=1000), st.booleans())
def test_every_status_and_code_has_an_answer(status: int, code: int, alive: bool) -> None:
    for error in (fact(code, status=status), fact(status=status), told(code), bad_status(status)):
        found = classify(error, server="s", alive=alive)
        assert found.payload.code in CODES
        assert SECRET not in found.payload.message


def test_there_is_a_sentence_for_every_code_that_comes_from_outside() -> None:
    ours = {"circuit_open", "bulkhead_full", "throttled", "unknown_tool", "unknown_server", "quorum_missed"}
    for code in CODES.keys() - ours:
        assert "'s'" in message_for(code, "s")
    with pytest.raises(KeyError):
        message_for("weather", "s")


# --- the shape that servers are asked to use


def result(said: Any, *, is_error: bool = True) -> types.CallToolResult:
    return types.CallToolResult(content=[], structured_content=said, is_error=is_error)


@pytest.mark.parametrize(
    ("code", "kind", "expected"),
    [
        ("db_locked", "transient", "server_error"),
        ("rate_limited", "transient", "overloaded"),
        (429, "transient", "overloaded"),
        ("token_expired", "auth", "unauthenticated"),
        ("missing_scope", "auth", "forbidden"),
        ("corrupt", "critical", "server_fault"),
    ],
)
@pytest.mark.parametrize("nested", [False, True])
def test_a_tool_that_says_its_error_in_the_standard_shape_is_understood(
    code: Any, kind: str, expected: str, nested: bool
) -> None:
    said = {"code": code, "message": SECRET, "type": kind}
    found = standard_error(result({"error": said} if nested else said), server="search", tool="web")
    assert found is not None
    payload = found.payload
    assert (payload.code, payload.type, payload.delivered, found.evidence) == (expected, kind, "yes", False)
    assert (payload.server, payload.tool, payload.retryable) == ("search", "web", kind == "transient")
    assert payload.message == message_for(expected, "search")
    assert "search" in payload.message
    assert SECRET not in json.dumps(payload.to_dict())


@pytest.mark.parametrize(
    "said",
    [
        None,
        {},
        {"error": "no"},
        {"code": "x", "message": "m"},
        {"code": "x", "message": "m", "type": "weather"},
        {"code": "x", "message": "m", "type": ["transient"]},
        {"code": "x", "message": 1, "type": "critical"},
        {"code": None, "message": "m", "type": "critical"},
        {"code": "x", "message": "m", "type": "critical", "more": 1},
        {"error": {"code": "x", "message": "m", "type": "critical"}, "more": 1},
    ],
)
def test_every_other_error_of_a_tool_is_its_answer(said: Any) -> None:
    assert standard_error(result(said), server="s") is None


def test_a_good_result_is_no_error_whatever_it_contains() -> None:
    said = {"code": "x", "message": "m", "type": "critical"}
    assert standard_error(result(said, is_error=False), server="s") is None
