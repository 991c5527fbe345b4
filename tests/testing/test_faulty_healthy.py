"""Without a fault a faulty server keeps every rule, in both eras: seen by the SDK's own client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import mcp_types as types
import pytest
from mcp import MCPError
from mcp.client import Client
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS

from recloser.testing.faulty import FaultyHttp, FaultyStdio
from recloser.testing.leaks import no_leaks
from support.faulty_clients import MISSHAPEN, call, initialize, request, until, wire

MODES = [
    ("dual", "auto", "2026-07-28"),
    ("dual", "legacy", "2025-11-25"),
    ("dual", "2026-07-28", "2026-07-28"),
    ("legacy", "auto", "2025-11-25"),
    ("modern", "auto", "2026-07-28"),
]
TRANSPORTS = ["http", "sse", "stdio"]


class Human:
    """Answers whatever a server asks, and keeps what it is told."""

    def __init__(self) -> None:
        self.logs: list[object] = []
        self.told: list[str] = []
        self.progress: list[float] = []

    async def elicit(self, _context: Any, _params: Any) -> types.ElicitResult:
        return types.ElicitResult(action="accept", content={"answer": "42"})

    async def sample(self, _context: Any, _params: Any) -> types.CreateMessageResult:
        return types.CreateMessageResult(role="assistant", content=types.TextContent(text="hi"), model="m")

    async def roots(self, _context: Any) -> types.ListRootsResult:
        return types.ListRootsResult(roots=[])

    async def log(self, params: types.LoggingMessageNotificationParams) -> None:
        self.logs.append(params.data)

    async def message(self, message: Any) -> None:
        self.told.append(type(message).__name__)

    async def step(self, progress: float, _total: float | None, _message: str | None) -> None:
        self.progress.append(progress)


@asynccontextmanager
async def connected(transport: str, era: Any, mode: Any) -> AsyncIterator[tuple[Any, Client, Human]]:
    human = Human()
    options: dict[str, Any] = {
        "mode": mode,
        "elicitation_callback": human.elicit,
        "sampling_callback": human.sample,
        "list_roots_callback": human.roots,
        "logging_callback": human.log,
        "message_handler": human.message,
    }
    if transport == "stdio":
        with FaultyStdio(era=era) as stdio:
            async with Client(stdio_client(stdio.parameters()), **options) as client:
                yield stdio, client, human
    else:
        http = FaultyHttp(era=era, answers="sse" if transport == "sse" else "json")
        async with http, Client(streamable_http_client(http.url), **options) as client:
            yield http, client, human


@pytest.mark.processes
@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(("era", "mode", "version"), MODES)
def test_the_sdk_client_can_do_everything(transport, era, mode, version):
    async def main():
        async with no_leaks(), connected(transport, era, mode) as (server, client, human):
            assert client.protocol_version == version
            tools, cursor = [], None
            while True:
                page = await client.list_tools(cursor=cursor)
                tools += page.tools
                cursor = page.next_cursor
                if cursor is None:
                    break
            assert len(tools) == 11
            assert (await client.call_tool("echo", {"text": "tø"})).content[0].text == "tø"
            assert (await client.call_tool("add", {"a": 1, "b": 2.5})).structured_content == {"sum": 3.5}
            assert (await client.call_tool("fail", {})).is_error
            assert len((await client.call_tool("big", {"bytes": 100_000})).content[0].text) == 100_000
            assert (await client.call_tool("sleep", {"seconds": 0})).content[0].text == "slept"
            asked = [(await client.call_tool("ask", {"kind": kind})).content[0].text for kind in ("sampling", "roots")]
            assert '"text": "hi"' in asked[0]
            assert asked[1] == '{"roots": []}'
            assert '"answer": "42"' in (await client.call_tool("ask", {})).content[0].text
            await client.call_tool("progress", {"steps": 2}, progress_callback=human.step)
            assert human.progress == [1.0, 2.0]
            with pytest.raises(MCPError) as raised:
                await client.call_tool("rpc_error", {"code": -32050, "message": "no"})
            assert (raised.value.error.code, raised.value.error.message) == (-32050, "no")
            assert (await client.read_resource("test://alpha")).contents[0].text == "content of test://alpha"
            assert (await client.read_resource("test://items/7")).contents[0].text == "content of test://items/7"
            assert (await client.get_prompt("review", {"text": "x"})).messages[0].content.text == "x"
            assert len((await client.list_resources()).resources) == 3
            assert len((await client.list_resource_templates()).resource_templates) == 1
            assert len((await client.list_prompts()).prompts) == 2
            completed = await client.complete(types.PromptReference(name="review"), {"name": "text", "value": "a"})
            assert completed.completion.values == ["alpha", "beta"]
            counts = (await client.call_tool("count", {})).structured_content
            assert (counts["ask"], counts["echo"]) == (3, 1)
            assert (server.executions("ask"), server.executed("echo")) == (3, ["tø"])

    asyncio.run(main())


@pytest.mark.processes
@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
def test_what_does_not_exist_ends_in_a_jsonrpc_error(transport, mode):
    async def main():
        async with connected(transport, "dual", mode) as (server, client, _):
            found = []
            for attempt in (
                lambda: client.call_tool("nothing", {}),
                lambda: client.call_tool("echo", {}),
                lambda: client.call_tool("echo", {"text": 7}),
                lambda: client.call_tool("ask", {"kind": "anything"}),
                lambda: client.read_resource("test://nothing"),
                lambda: client.get_prompt("nothing"),
                lambda: client.list_tools(cursor="elsewhere"),
            ):
                with pytest.raises(MCPError) as raised:
                    await attempt()
                found.append(raised.value.error.code)
            missing = -32002 if mode == "legacy" else -32602
            assert found == [-32602, -32602, -32602, -32602, missing, -32602, -32602]
            assert server.executed() == [server.executed("ask")[0]]

    asyncio.run(main())


@pytest.mark.parametrize("version", HANDSHAKE_PROTOCOL_VERSIONS)
def test_every_handshake_version_is_agreed_to(version):
    async def main():
        async with FaultyHttp() as server, wire(server) as http:
            hello = initialize()
            hello["params"]["protocolVersion"] = version
            assert (await http.ask(hello)).messages[0]["result"]["protocolVersion"] == version

    asyncio.run(main())


def test_an_unknown_version_is_answered_with_the_latest():
    async def main():
        async with FaultyHttp() as server, wire(server) as http:
            hello = initialize()
            hello["params"]["protocolVersion"] = "1999-01-01"
            assert (await http.ask(hello)).messages[0]["result"]["protocolVersion"] == "2025-11-25"

    asyncio.run(main())


@pytest.mark.processes
@pytest.mark.parametrize("transport", ["http", "stdio"])
def test_a_legacy_client_hears_of_changes_and_logs(transport):
    async def main():
        async with connected(transport, "dual", "legacy") as (server, client, human):
            if transport == "http":
                await until(lambda: server.requests("GET"))
                server.extra = 2
                server.announce("notifications/tools/list_changed")
            else:
                server.extra = 2
                server.fault("list_changed_flood", count=1, times=1)
                await client.call_tool("write", {"text": "x"})
            await until(lambda: human.told)
            assert human.told == ["ToolListChangedNotification"]
            assert [tool.name for tool in (await client.list_tools(cursor="10")).tools] == [
                "count",
                "extra_1",
                "extra_2",
            ]
            assert server.extra == 2
            assert (await client.call_tool("extra_2", {"text": "more"})).content[0].text == "more"
            with pytest.raises(MCPError):
                await client.call_tool("extra_3", {"text": "more"})
            await client.session.send_request(
                types.SetLevelRequest(params=types.SetLevelRequestParams(level="info")), types.EmptyResult
            )
            await client.call_tool("progress", {"steps": 0})
            await until(lambda: human.logs)

    asyncio.run(main())


@pytest.mark.processes
@pytest.mark.parametrize("transport", ["http", "stdio"])
def test_a_modern_client_hears_of_the_changes_that_it_listens_for(transport):
    async def main():
        async with connected(transport, "dual", "2026-07-28") as (server, client, _):
            async with client.listen(tools_list_changed=True, resource_subscriptions=["test://alpha"]) as changes:
                if transport == "http":
                    server.announce("notifications/prompts/list_changed")
                    server.announce("notifications/tools/list_changed")
                    server.announce("notifications/resources/updated", {"uri": "test://alpha"})
                    found = [type(await anext(changes)).__name__ for _ in range(2)]
                    assert found == ["ToolsListChanged", "ResourceUpdated"]
                else:
                    server.fault("list_changed_flood", count=1, times=1)
                    await client.call_tool("write", {"text": "x"})
                    assert type(await anext(changes)).__name__ == "ToolsListChanged"
            if transport == "http":
                await until(lambda: server.cancelled)
            assert (await client.call_tool("echo", {"text": "x"})).content[0].text == "x"

    asyncio.run(main())


@pytest.mark.processes
@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
@pytest.mark.parametrize("transport", ["http", "stdio"])
def test_a_client_that_does_not_want_to_be_asked_is_told_so(transport, mode):
    async def main():
        server: Any = FaultyStdio() if transport == "stdio" else FaultyHttp()
        if transport == "http":
            await server.start()
        peer = stdio_client(server.parameters()) if transport == "stdio" else streamable_http_client(server.url)
        async with Client(peer, mode=mode) as client:
            if mode == "legacy":
                refused = await client.call_tool("ask", {})
                assert refused.is_error
                assert refused.content[0].text == "the client refused: Elicitation not supported"
            else:
                with pytest.raises(MCPError) as raised:
                    await client.call_tool("ask", {})
                assert raised.value.error.code == -32021
                assert raised.value.error.data == {"requiredCapabilities": {"elicitation": {}}}
        if transport == "http":
            await server.stop()
        else:
            server.close()

    asyncio.run(main())


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
def test_a_call_that_is_given_up_is_cancelled_at_the_server(mode):
    async def main():
        async with FaultyHttp() as server, Client(streamable_http_client(server.url), mode=mode) as client:
            given_up = asyncio.get_running_loop().create_task(client.call_tool("sleep", {"seconds": 3600}))
            await until(lambda: server.executions("sleep"))
            given_up.cancel()
            await until(lambda: server.cancelled)
            assert (await client.call_tool("echo", {"text": "x"})).content[0].text == "x"

    asyncio.run(main())


def test_every_message_is_kept_with_its_headers():
    async def main():
        async with FaultyHttp() as server, wire(server) as http:
            await http.ask(call("echo", {"text": "x"}), authorization="Bearer one")
            seen = server.seen[-1]
            assert (seen.method, seen.params["name"], seen.headers["authorization"]) == (
                "tools/call",
                "echo",
                "Bearer one",
            )
            assert server.requests("tools/call") == 1
            assert server.counters()["executions"] == {"echo": 1}
            assert (server.connections, server.sessions) == (1, 0)

    asyncio.run(main())


def test_a_message_of_another_shape_is_refused_and_its_connection_lives_on():
    async def main():
        async with FaultyHttp() as server, wire(server, modern=False) as http:
            for message in MISSHAPEN:
                refused = await http.ask(json.dumps(message).encode())
                assert (refused.status, refused.messages[0]["error"]["code"]) == (400, -32600), message
            wrong = await http.ask(request("tools/call", {"name": [1]}, modern=False))
            assert wrong.messages[0]["error"] == {"code": -32602, "message": "Invalid params: TypeError"}
            for which in ([1], "never came"):
                cancel = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": which}}
                assert (await http.ask(cancel)).status == 202
            assert (await http.ask(request("ping", modern=False))).messages[0]["result"] == {}

    asyncio.run(main())


def test_a_subscription_of_another_shape_is_refused():
    async def main():
        async with FaultyHttp() as server, wire(server) as http:
            wrong = await http.ask(request("subscriptions/listen", {"notifications": 3}))
            assert wrong.messages[0]["error"] == {"code": -32602, "message": "Invalid params: AttributeError"}
            assert (await http.ask(call("echo", {"text": "x"}))).text == "x"

    asyncio.run(main())
