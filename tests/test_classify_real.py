"""Real faults of real servers end in the same table, over every transport."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import mcp_types as types
import pytest
from mcp import MCPError
from mcp.client import ClientSession
from mcp.client.streamable_http import streamable_http_client

from recloser.classify import classify
from recloser.errors import RouterError
from recloser.transport.http import http_transport, sse_transport
from support.failures import SECRET
from support.http_faults import Exchange, FaultServer, open_session


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
    "stream too large": (nonsense_stream, "protocol_violation", "maybe", False),
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
