from __future__ import annotations

import asyncio
import errno
import json
import pickle
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import httpx2
import jsonschema
import mcp_types as types
import pytest
import referencing.exceptions
from hypothesis import given
from hypothesis import strategies as st
from mcp import MCPError
from mcp.client import ClientSession
from mcp.client.auth.exceptions import OAuthTokenError
from mcp.client.streamable_http import streamable_http_client

from recloser.classify import classify, standard_error
from recloser.errors import CODES, Cause, RouterError, error_for
from recloser.facts import FAULT_CODE, HttpFacts
from recloser.messages import message_for
from recloser.transport.http import http_transport, sse_transport
from support.http_faults import Exchange, FaultServer, open_session

SECRET = "hunter2-secret"


def told(code: int, message: str = SECRET, data: Any = None) -> MCPError:
    return MCPError(code, message, data)


def fact(code: int = FAULT_CODE, **facts: Any) -> MCPError:
    settings: dict[str, Any] = {"kind": "status", "sent": True, **facts}
    return MCPError(code, SECRET, HttpFacts(**settings).to_data(SECRET))


def schema_error(cause: Exception | None = None) -> RuntimeError:
    error = RuntimeError("rejected")
    error.__cause__ = cause or jsonschema.ValidationError(SECRET)
    return error


def of_module(module: str) -> Exception:
    made: Exception = type("Deep", (Exception,), {"__module__": module})(SECRET)
    return made


def bad_result() -> Exception:
    try:
        types.CallToolResult.model_validate({"content": SECRET})
    except ValueError as error:
        return error
    raise AssertionError("it has been accepted")


def bad_text() -> Exception:
    try:
        b"\xff".decode()
    except UnicodeDecodeError as error:
        return error
    raise AssertionError("it has been decoded")


def bad_status(status: int, **headers: str) -> httpx2.HTTPStatusError:
    request = httpx2.Request("GET", f"https://u:{SECRET}@x/?key={SECRET}")
    response = httpx2.Response(status, request=request, headers={k.replace("_", "-"): v for k, v in headers.items()})
    return httpx2.HTTPStatusError(SECRET, request=request, response=response)


def with_response(status: int) -> Exception:
    """Return an error that has a response but is none about its status."""
    error: Any = KeyError(SECRET)
    error.response = httpx2.Response(status)
    made: Exception = error
    return made


class McpError(Exception):
    """Stands for the error of the SDK's first generation."""

    __module__ = "mcp.shared.exceptions"

    def __init__(self, code: int) -> None:
        self.error = types.ErrorData(code=code, message=SECRET)


# error, code, delivered, evidence
ROWS: list[tuple[BaseException, str, str, bool]] = [
    # attempt timeout
    (TimeoutError(SECRET), "timeout", "maybe", True),
    (httpx2.ReadTimeout(SECRET), "timeout", "maybe", True),
    (httpx2.WriteTimeout(SECRET), "timeout", "maybe", True),
    (fact(kind="transport", exception="httpx2.ReadTimeout"), "timeout", "maybe", True),
    (told(-32001, "Request 'server/discover' timed out"), "timeout", "maybe", True),
    # connection lost
    (ConnectionResetError(SECRET), "connection_lost", "maybe", True),
    (BrokenPipeError(SECRET), "connection_lost", "maybe", True),
    (EOFError(SECRET), "connection_lost", "maybe", True),
    (asyncio.IncompleteReadError(b"", 1), "connection_lost", "maybe", True),
    (anyio.ClosedResourceError(), "connection_lost", "maybe", True),
    (anyio.BrokenResourceError(), "connection_lost", "maybe", True),
    (anyio.EndOfStream(), "connection_lost", "maybe", True),
    (httpx2.ReadError(SECRET), "connection_lost", "maybe", True),
    (httpx2.WriteError(SECRET), "connection_lost", "maybe", True),
    (httpx2.RemoteProtocolError(SECRET), "connection_lost", "maybe", True),
    (httpx2.StreamClosed(), "connection_lost", "maybe", True),
    (fact(kind="transport", exception="httpx2.ReadError"), "connection_lost", "maybe", True),
    (fact(kind="transport", exception="httpx2.SomethingNew"), "connection_lost", "maybe", True),
    (fact(kind="transport"), "connection_lost", "maybe", True),
    (told(-32000, "Connection closed"), "connection_lost", "maybe", True),
    (told(-32000, "SSE stream ended without a response"), "connection_lost", "maybe", True),
    # lost session
    (fact(kind="session_lost", sent=False, status=404), "connection_lost", "no", True),
    (fact(-32600, kind="session_lost", sent=False, status=404), "connection_lost", "no", True),
    (told(-32600, "Session not found"), "connection_lost", "no", True),
    (told(-32600, "Session terminated"), "connection_lost", "no", True),
    (told(-32001, "Session not found"), "connection_lost", "no", True),
    # unreachable
    (ConnectionRefusedError(SECRET), "unreachable", "no", True),
    (socket.gaierror(8, SECRET), "unreachable", "no", True),
    (ssl.SSLError(SECRET), "unreachable", "no", True),
    (ssl.SSLCertVerificationError(SECRET), "unreachable", "no", True),
    (OSError(errno.EHOSTUNREACH, SECRET), "unreachable", "no", True),
    (OSError(errno.ENETUNREACH, SECRET), "unreachable", "no", True),
    (httpx2.ConnectError(SECRET), "unreachable", "no", True),
    (httpx2.ConnectTimeout(SECRET), "unreachable", "no", True),
    (httpx2.PoolTimeout(SECRET), "unreachable", "no", True),
    (httpx2.ProxyError(SECRET), "unreachable", "no", True),
    (fact(kind="transport", sent=False, exception="httpx2.ConnectError"), "unreachable", "no", True),
    (fact(kind="auth_unreachable", sent=False, status=503), "unreachable", "no", True),
    # overloaded
    (fact(status=429), "overloaded", "no", False),
    (fact(-32000, status=429), "overloaded", "no", False),
    (bad_status(429), "overloaded", "no", False),
    # server error
    (fact(status=408), "server_error", "maybe", False),
    (fact(status=425), "server_error", "maybe", False),
    (fact(status=502), "server_error", "maybe", True),
    (fact(status=503), "server_error", "maybe", True),
    (fact(-32000, status=503), "server_error", "maybe", True),
    (fact(status=504), "server_error", "maybe", True),
    (bad_status(503), "server_error", "maybe", True),
    # server fault
    (fact(status=500), "server_fault", "maybe", True),
    (fact(-32603, status=500), "server_fault", "maybe", True),
    (fact(-32099, status=501), "server_fault", "maybe", True),
    (fact(status=529), "server_fault", "maybe", True),
    (fact(-32603, status=400), "server_fault", "maybe", False),
    (told(-32603), "server_fault", "maybe", False),
    (told(-32000), "server_fault", "maybe", False),
    (told(-32001), "server_fault", "maybe", False),
    (told(-32001, "Request 'tools/call' timed out"), "server_fault", "maybe", False),
    (told(-32099), "server_fault", "maybe", False),
    (told(42), "server_fault", "maybe", False),
    (McpError(42), "server_fault", "maybe", False),
    # auth
    (fact(status=401), "unauthenticated", "no", False),
    (fact(-32603, status=401), "unauthenticated", "no", False),
    (fact(kind="auth_flow", sent=False, status=400), "unauthenticated", "no", False),
    (OAuthTokenError(SECRET), "unauthenticated", "no", False),
    (told(-32042), "unauthenticated", "maybe", False),
    (bad_status(401), "unauthenticated", "no", False),
    (fact(status=403), "forbidden", "no", False),
    # invalid request
    (told(-32602), "invalid_request", "no", False),
    (told(-32002), "invalid_request", "no", False),
    (told(-32021), "invalid_request", "no", False),
    (fact(-32602, status=400), "invalid_request", "no", False),
    (fact(-32602, status=500), "invalid_request", "no", False),
    (fact(-32000, status=400), "invalid_request", "no", False),
    (fact(status=400), "invalid_request", "no", False),
    (fact(status=404), "invalid_request", "no", False),
    (fact(status=413), "invalid_request", "no", False),
    (fact(status=422), "invalid_request", "no", False),
    # protocol violation
    (told(-32600), "protocol_violation", "maybe", False),
    (told(-32601), "protocol_violation", "maybe", False),
    (fact(-32601, status=404), "protocol_violation", "maybe", False),
    (told(-32700), "protocol_violation", "maybe", False),
    (told(-32700, "Failed to parse JSON response: x"), "protocol_violation", "maybe", True),
    (told(-32000, "SSE stream failed: x"), "protocol_violation", "maybe", True),
    (told(-32020), "protocol_violation", "no", False),
    (told(-32022), "protocol_violation", "no", False),
    (fact(status=405), "protocol_violation", "maybe", False),
    (fact(status=406), "protocol_violation", "maybe", False),
    (fact(status=415), "protocol_violation", "maybe", False),
    (fact(kind="accepted", status=202), "protocol_violation", "maybe", True),
    (fact(kind="redirect", status=302), "protocol_violation", "maybe", True),
    (fact(kind="redirect", status=307, sent=False), "protocol_violation", "no", True),
    (fact(kind="content_type", status=200), "protocol_violation", "maybe", True),
    (fact(kind="malformed", status=200), "protocol_violation", "maybe", True),
    (fact(kind="wrong_id", status=200), "protocol_violation", "maybe", True),
    (fact(kind="too_large", status=200), "protocol_violation", "maybe", False),
    (bad_result(), "protocol_violation", "maybe", True),
    (json.JSONDecodeError(SECRET, "", 0), "protocol_violation", "maybe", True),
    (bad_text(), "protocol_violation", "maybe", True),
    (httpx2.DecodingError(SECRET), "protocol_violation", "maybe", True),
    (httpx2.SSEError(SECRET), "protocol_violation", "maybe", True),
    # invalid result
    (schema_error(), "invalid_result", "yes", False),
    (schema_error(referencing.exceptions.NoSuchResource(SECRET)), "invalid_result", "yes", False),
    (schema_error(of_module("jsonschema.deep.below")), "invalid_result", "yes", False),
    (schema_error(of_module("elsewhere.jsonschema")), "internal", "maybe", False),
    (jsonschema.ValidationError(SECRET), "invalid_result", "yes", False),
    (RuntimeError("Tool x has an output schema but did not return structured content"), "invalid_result", "yes", False),
    (RuntimeError("Invalid schema for tool x: y"), "invalid_result", "yes", False),
    # cannot start
    (FileNotFoundError(SECRET), "cannot_start", "no", True),
    (PermissionError(SECRET), "cannot_start", "no", True),
    (NotADirectoryError(SECRET), "cannot_start", "no", True),
    (OSError(errno.ENOEXEC, SECRET), "cannot_start", "no", True),
    # anything else
    (KeyError(SECRET), "internal", "maybe", False),
    (with_response(503), "internal", "maybe", False),
    (OSError(errno.EPERM, SECRET), "cannot_start", "no", True),
    (RuntimeError(SECRET), "internal", "maybe", False),
    (OSError(errno.EMFILE, SECRET), "internal", "maybe", False),
    (OSError(SECRET), "internal", "maybe", False),
    (httpx2.InvalidURL(SECRET), "internal", "no", False),
    (httpx2.LocalProtocolError(SECRET), "internal", "no", False),
    (fact(kind="transport", exception="KeyError"), "internal", "maybe", False),
    (fact(kind="transport", exception="TimeoutError"), "timeout", "maybe", True),
    (fact(kind="transport", exception="ConnectionRefusedError"), "unreachable", "no", True),
    (fact(kind="transport", exception="httpx2.Odd"), "connection_lost", "maybe", True),
    (fact(kind="transport"), "connection_lost", "maybe", True),
    (fact(status=418), "invalid_request", "no", False),
    (fact(status=599), "server_fault", "maybe", True),
]


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


# --- real faults


def status(code: int, **headers: str) -> Any:
    async def fault(exchange: Exchange) -> None:
        await exchange.reply(code, SECRET.encode(), "text/plain", **headers)

    return fault


def rpc(code: int, http: int = 200) -> Any:
    async def fault(exchange: Exchange) -> None:
        await exchange.error(http, code, SECRET)

    return fault


def body(text: bytes) -> Any:
    async def fault(exchange: Exchange) -> None:
        await exchange.reply(200, text)

    return fault


async def reset(exchange: Exchange) -> None:
    exchange.reset()


async def cut_stream(exchange: Exchange) -> None:
    await exchange.events(": hello")
    exchange.reset()


async def nonsense_stream(exchange: Exchange) -> None:
    await exchange.events("data: " + "x" * 70000)


async def half_an_answer(exchange: Exchange) -> None:
    await exchange.result({"content": "not a list"})


async def nearly_json(exchange: Exchange) -> None:
    await exchange.reply(200, b'{"jsonrpc":"2.0","id":%d,"result":{,,}}' % exchange.id)


REAL: dict[str, tuple[Any, str, str, bool]] = {
    **{str(code): (status(code), name, delivered, evidence) for code, name, delivered, evidence in [
        (400, "invalid_request", "no", False),
        (401, "unauthenticated", "no", False),
        (403, "forbidden", "no", False),
        (404, "invalid_request", "no", False),
        (405, "protocol_violation", "maybe", False),
        (406, "protocol_violation", "maybe", False),
        (408, "server_error", "maybe", False),
        (413, "invalid_request", "no", False),
        (415, "protocol_violation", "maybe", False),
        (425, "server_error", "maybe", False),
        (429, "overloaded", "no", False),
        (500, "server_fault", "maybe", True),
        (502, "server_error", "maybe", True),
        (503, "server_error", "maybe", True),
        (504, "server_error", "maybe", True),
        (202, "protocol_violation", "maybe", True),
        (204, "protocol_violation", "maybe", True),
        (302, "protocol_violation", "maybe", True),
    ]},
    "-32600": (rpc(-32600), "protocol_violation", "maybe", False),
    "-32601": (rpc(-32601), "protocol_violation", "maybe", False),
    "-32602": (rpc(-32602), "invalid_request", "no", False),
    "-32603": (rpc(-32603), "server_fault", "maybe", False),
    "-32700": (rpc(-32700), "protocol_violation", "maybe", False),
    "-32000": (rpc(-32000), "server_fault", "maybe", False),
    "-32001": (rpc(-32001), "server_fault", "maybe", False),
    "-32002": (rpc(-32002), "invalid_request", "no", False),
    "-32602 at 400": (rpc(-32602, 400), "invalid_request", "no", False),
    "-32601 at 404": (rpc(-32601, 404), "protocol_violation", "maybe", False),
    "no JSON": (body(b"nonsense"), "protocol_violation", "maybe", True),
    "nearly JSON": (nearly_json, "protocol_violation", "maybe", True),
    "wrong shape": (half_an_answer, "protocol_violation", "maybe", True),
    "reset": (reset, "connection_lost", "maybe", True),
    "stream cut": (cut_stream, "connection_lost", "maybe", True),
    "stream too large": (nonsense_stream, "protocol_violation", "maybe", True),
}  # fmt: skip


def settings() -> dict[str, Any]:
    return {"headers": {}, "auth": None, "verify": True, "connect_timeout": 5.0, "max_message": 65536}


def real(make: Callable[[FaultServer], Any], act: Callable[[ClientSession], Awaitable[Any]], **on: Any) -> RouterError:
    """Return what a real failure against a real server is classified as."""

    async def main() -> RouterError:
        async with FaultServer(on=on) as server, open_session(make(server), "modern") as session:
            with pytest.raises(Exception) as caught:
                await act(session)
            return classify(caught.value, server="search", tool="bad")

    return asyncio.run(main())


async def call(session: ClientSession) -> types.CallToolResult:
    request = types.CallToolRequest(params=types.CallToolRequestParams(name="bad", arguments={}))
    return await session.send_request(request, types.CallToolResult)


@pytest.mark.parametrize("name", REAL)
def test_real_faults_end_in_the_same_table(name: str) -> None:
    fault, code, delivered, evidence = REAL[name]
    found = real(lambda server: http_transport(server.url, **settings()), call, bad=fault)
    assert (found.payload.code, found.payload.delivered, found.evidence) == (code, delivered, evidence)
    assert SECRET not in json.dumps(found.payload.to_dict())


def test_a_result_that_does_not_fit_its_schema_is_told_by_the_sdk_itself() -> None:
    listed = {
        "tools": [
            {
                "name": "bad",
                "inputSchema": {"type": "object"},
                "outputSchema": {"type": "object", "required": ["x"], "properties": {"x": {"type": "integer"}}},
            }
        ],
        "resultType": "complete",
        "ttlMs": 0,
        "cacheScope": "private",
    }

    async def tools(exchange: Exchange) -> None:
        await exchange.result(listed)

    found = real(
        lambda server: http_transport(server.url, **settings()),
        lambda session: session.call_tool("bad", {}),
        **{"tools/list": tools},
    )
    assert (found.payload.code, found.payload.delivered) == ("invalid_result", "yes")


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://127.0.0.1:9/mcp", "unreachable"),
        ("http://mcp.invalid/mcp", "unreachable"),
        ("gopher://127.0.0.1/mcp", "internal"),
    ],
)
@pytest.mark.parametrize("kind", [http_transport, sse_transport])
def test_a_server_that_cannot_be_reached_is_told_by_every_transport(kind: Any, url: str, code: str) -> None:
    async def main() -> None:
        with pytest.raises(MCPError) as caught:
            async with kind(url, **settings()) as (read, write), ClientSession(read, write) as session:
                await session.initialize()
        payload = classify(caught.value, server="s").payload
        assert (payload.code, payload.delivered) == (code, "no")

    try:
        asyncio.run(main())
    except ExceptionGroup as group:  # the session's own wrapping of what left it
        assert classify(group, server="s").payload.code == code


def test_a_transport_of_the_sdk_itself_is_understood_too() -> None:
    async def main() -> RouterError:
        async with FaultServer() as server:
            url = server.url
        try:
            async with streamable_http_client(url) as (read, write), ClientSession(read, write) as session:
                await session.initialize()
        except BaseExceptionGroup as group:
            return classify(group, server="s")
        raise AssertionError("it has been reached")

    assert asyncio.run(main()).payload.code == "unreachable"


def test_the_death_of_a_peer_over_pipes_is_a_lost_connection() -> None:
    async def main() -> RouterError:
        theirs, read = anyio.create_memory_object_stream[Any](0)
        write, wire = anyio.create_memory_object_stream[Any](0)
        async with ClientSession(read, write) as session:
            ping = asyncio.create_task(session.send_ping())
            await wire.receive()
            theirs.close()
            wire.close()
            with pytest.raises(MCPError) as caught:
                await ping
            return classify(caught.value, server="s", alive=False)

    payload = asyncio.run(main()).payload
    assert (payload.code, payload.delivered) == ("connection_lost", "maybe")


@pytest.mark.parametrize("command", ["/no/such/command", "/etc/passwd", "/etc/passwd/x"])
def test_a_command_that_cannot_be_run_is_told(command: str) -> None:
    async def main() -> RouterError:
        with pytest.raises(OSError) as caught:
            await asyncio.create_subprocess_exec(command)
        return classify(caught.value, server="s", sent=False)

    assert asyncio.run(main()).payload.code == "cannot_start"


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
