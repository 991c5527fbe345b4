"""Every public name and method in use, for type checkers only: nothing runs this file."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, assert_type

import mcp_types as types
from mcp import StdioServerParameters
from mcp.client import ClientRequestContext
from mcp.server import MCPServer
from mcp.server import Server as LowLevelServer

from recloser import (
    AuthError,
    Breaker,
    Bulkhead,
    Call,
    Cause,
    CircuitOpen,
    CriticalError,
    EndpointHealth,
    ErrorPayload,
    FanOut,
    Limits,
    Reply,
    Retry,
    Router,
    RouterError,
    Server,
    ServerHealth,
    SyncRouter,
    Timeouts,
    TransientError,
    error_of,
)
from recloser.catalog import Listing
from recloser.config import ConfigurationError
from recloser.events import CallFinished, CircuitChanged, Event, RetryScheduled
from recloser.session import ServerSession, SyncServerSession
from recloser.telemetry import Configured, Stats, configure, serve_status

# --- servers and their knobs

servers = [
    Server("search", "https://search.example/mcp", timeouts=Timeouts(attempt=2, total=10, ceiling=20)),
    Server("files", command="files-mcp", args=["--root", "."], env={"HOME": "/"}, cwd=".", required=True),
    Server("params", StdioServerParameters(command="files-mcp")),
    Server("local", MCPServer("local"), tags=frozenset({"finance"}), tool_tags={"pay": ["money"]}),
    Server("low", LowLevelServer("low"), enabled=False, lazy=True, priority=1),
    Server("old", url="https://old.example/sse", transport="sse", headers={"x-key": "1"}, era="legacy", verify=True),
    Server("trusted", url="https://t.example/mcp", trusted=True, idempotent=["get"], include=["get*"], exclude=["x"]),
    Server(
        "all",
        "https://all.example/mcp",
        retry=Retry(attempts=2, backoff=0.1, budget=100),
        breaker=Breaker(window=60, rate=0.5, consecutive=3, open_for=5),
        bulkhead=Bulkhead(limit=5),
        limits=Limits(message=1024, arguments=1024, stderr_tail=0),
        classify=lambda _result: None,
    ),
]


# --- what a host hands in


def listener(event: Event) -> None:
    """Hear everything."""
    if isinstance(event, CallFinished):
        assert_type(event.code, str | None)
    elif isinstance(event, RetryScheduled):
        assert_type(event.delay, float)
    elif isinstance(event, CircuitChanged):
        assert_type(event.retry_after, float | None)


async def sampling(_context: ClientRequestContext, _params: types.CreateMessageRequestParams) -> types.ErrorData:
    """Answer a server's request for a model's words."""
    return types.ErrorData(code=-1, message="no model here")


async def elicitation(_context: ClientRequestContext, _params: types.ElicitRequestParams) -> types.ElicitResult:
    """Answer a server's question to the user."""
    return types.ElicitResult(action="decline")


async def roots(_context: ClientRequestContext) -> types.ListRootsResult:
    """Tell a server which folders it may use."""
    return types.ListRootsResult(roots=[])


async def on_log(server: str, params: types.LoggingMessageNotificationParams) -> None:
    """Hear what a server logs."""
    print(server, params.level)


async def progress(done: float, total: float | None, message: str | None) -> None:
    """Hear how far a tool is."""
    print(done, total, message)


# --- the router


async def asynchronous(config: Path) -> None:
    """Use everything that the router has."""
    router = Router(
        *servers,
        names="bare",
        raise_on_error=True,
        listeners=[listener],
        sampling=sampling,
        elicitation=elicitation,
        roots=roots,
        on_log=on_log,
        snapshot=config.with_name("catalog.json"),
        secrets=["s3cr3t"],
        rng=lambda: 0.5,
    )
    assert_type(Router.from_config("mcp.json", listeners=[listener]), Router)
    assert_type(Router.from_dict({"mcpServers": {}}), Router)
    await router.open()
    await router.close()
    async with router as same:
        assert_type(same, Router)
        assert_type(await router.list_tools(tags={"finance"}, server="files"), list[types.Tool])
        assert_type(await router.list_resources(server="files"), list[types.Resource])
        assert_type(await router.list_resource_templates(), list[types.ResourceTemplate])
        assert_type(await router.list_prompts(), list[types.Prompt])
        assert_type(router.listing("files"), Listing)
        assert_type(router.servers, Mapping[str, Server])
        await router.ready("search")
        await router.probe("search")
        router.isolate("search")
        router.release("search")
        await router.close_session("alice")
        await router.add_server(Server("more", command="more-mcp"))
        await router.remove_server("more")
        await router.reload(config)
        router.disable("search")
        router.enable("search")
        await _calls(router)
        await _spreads(router)
        await _session(router.session("search"))
        _health(router.health())


async def _calls(router: Router) -> None:
    result = await router.call_tool(
        "search__web",
        {"q": "tower"},
        timeout=5,
        idempotent=True,
        caller="alice",
        meta={"a": 1},
        progress=progress,
        server_name="search",
        session="mine",
        raise_on_error=False,
    )
    assert_type(result, types.CallToolResult)
    assert_type(error_of(result), ErrorPayload | None)
    read = await router.read_resource("files:file:///a.txt", timeout=1, caller="a", meta={}, server_name="files")
    assert_type(read, types.ReadResourceResult)
    prompt = await router.get_prompt("files__review", {"lang": "en"}, timeout=1, session="mine")
    assert_type(prompt, types.GetPromptResult)
    reference = types.PromptReference(type="ref/prompt", name="files__review")
    done = await router.complete(reference, {"name": "lang", "value": "e"}, context={"a": "b"}, timeout=1)
    assert_type(done, types.CompleteResult)


async def _spreads(router: Router) -> None:
    calls = [Call.tool("search__web", {"q": "x"}, timeout=1), Call.tool("files__grep", {"p": "x"}, idempotent=True)]
    assert_type(calls, list[Call[types.CallToolResult]])
    spread = await router.fan_out(calls, quorum=1, timeout=3)
    assert_type(spread, FanOut)
    assert_type(spread.results, Mapping[str, types.CallToolResult])
    assert_type(spread.errors, Mapping[str, ErrorPayload])
    assert_type((spread.degraded, spread.complete, spread.met), tuple[bool, bool, bool])
    assert_type(spread.summary(), str)
    async for reply in router.stream(calls, timeout=3):
        assert_type(reply, Reply)
        assert_type(reply.result, types.CallToolResult | None)


async def _session(session: ServerSession) -> None:
    assert_type(session.protocol_version, str | None)
    assert_type((await session.list_tools(cursor=None)).tools, list[types.Tool])
    assert_type(await session.list_tools(meta={"a": 1}, cache_mode="bypass"), types.ListToolsResult)
    assert_type(await session.send_ping(), types.EmptyResult)
    assert_type((await session.list_resources()).resources, list[types.Resource])
    assert_type((await session.list_resource_templates()).resource_templates, list[types.ResourceTemplate])
    assert_type((await session.list_prompts()).prompts, list[types.Prompt])
    assert_type(await session.call_tool("web", {"q": "x"}, 5, progress, meta={"a": 1}), types.CallToolResult)
    assert_type(await session.read_resource("file:///a.txt", meta=None), types.ReadResourceResult)
    assert_type(await session.get_prompt("review", {"lang": "en"}), types.GetPromptResult)
    reference = types.ResourceTemplateReference(type="ref/resource", uri="file:///{path}")
    assert_type(await session.complete(reference, {"name": "path", "value": "a"}), types.CompleteResult)


def _health(health: dict[str, ServerHealth]) -> None:
    for name, server in health.items():
        assert_type(name, str)
        assert_type(server.endpoints, tuple[EndpointHealth, ...])
        assert_type(server.to_dict(), dict[str, Any])
        assert_type(server.error, ErrorPayload | None)


# --- without a loop


def synchronous(config: Path) -> None:
    """Use everything that the router without a loop has."""
    router = SyncRouter(*servers, names="qualified", raise_on_error=False, listeners=[listener], on_log=on_log)
    assert_type(SyncRouter.from_config("mcp.json", listeners=[listener]), SyncRouter)
    assert_type(SyncRouter.from_dict({"mcpServers": {}}), SyncRouter)
    router.open()
    router.close()
    with router as same:
        assert_type(same, SyncRouter)
        assert_type(router.list_tools(tags={"finance"}, server="files"), list[types.Tool])
        assert_type(router.list_resources(server="files"), list[types.Resource])
        assert_type(router.list_resource_templates(), list[types.ResourceTemplate])
        assert_type(router.list_prompts(), list[types.Prompt])
        assert_type(router.listing("files"), Listing)
        assert_type(router.servers, Mapping[str, Server])
        assert_type(router.health(), dict[str, ServerHealth])
        router.ready("search")
        router.probe("search")
        router.isolate("search")
        router.release("search")
        router.close_session("alice")
        router.add_server(Server("more", command="more-mcp"))
        router.remove_server("more")
        router.reload(config)
        router.disable("search")
        router.enable("search")
        result = router.call_tool("search__web", {"q": "tower"}, timeout=5, progress=progress, server_name="search")
        assert_type(result, types.CallToolResult)
        assert_type(router.read_resource("file:///a.txt", server_name="files"), types.ReadResourceResult)
        assert_type(router.get_prompt("files__review", {"lang": "en"}), types.GetPromptResult)
        reference = types.PromptReference(type="ref/prompt", name="files__review")
        assert_type(router.complete(reference, {"name": "lang", "value": "e"}), types.CompleteResult)
        calls = [Call.tool("search__web", {"q": "x"})]
        assert_type(router.fan_out(calls, quorum=1, timeout=3), FanOut)
        for reply in router.stream(calls, timeout=3):
            assert_type(reply, Reply)
        session = router.session("search")
        assert_type(session, SyncServerSession)
        assert_type(session.protocol_version, str | None)
        assert_type(session.list_tools(), types.ListToolsResult)
        assert_type(session.send_ping(), types.EmptyResult)
        assert_type(session.list_resources(), types.ListResourcesResult)
        assert_type(session.list_resource_templates(), types.ListResourceTemplatesResult)
        assert_type(session.list_prompts(), types.ListPromptsResult)
        assert_type(session.call_tool("web", {"q": "x"}, 5, progress), types.CallToolResult)
        assert_type(session.read_resource("file:///a.txt"), types.ReadResourceResult)
        assert_type(session.get_prompt("review"), types.GetPromptResult)
        assert_type(session.complete(reference, {"name": "lang", "value": "e"}), types.CompleteResult)


# --- who watches


async def watched() -> None:
    """Let a router be seen, in a terminal and by a collector."""
    stats = Stats()
    with configure(otlp_endpoint="http://127.0.0.1:4318", logs="json", metrics_every=10) as telemetry:
        assert_type(telemetry, Configured)
        async with Router(*servers, listeners=[stats, telemetry.listener]) as router:
            async with serve_status(router, stats, host="127.0.0.1", port=0, path="/status") as url:
                assert_type(url, str)
            assert_type(stats.snapshot(router.health(), router.servers), dict[str, Any])


# --- errors


def told(error: RouterError) -> str:
    """Say what became of a call."""
    payload = error.payload
    assert_type(payload, ErrorPayload)
    assert_type(payload.retry_after, float | None)
    assert_type(payload.cause, Cause | None)
    assert_type(ErrorPayload.from_dict(payload.to_dict()), ErrorPayload)
    if isinstance(error, CircuitOpen):
        return "rejected"
    if isinstance(error, TransientError):
        return "later"
    if isinstance(error, AuthError):
        return "sign in"
    return "never" if isinstance(error, CriticalError) else payload.code


def main() -> None:
    """Use it both ways."""
    try:
        asyncio.run(asynchronous(Path("mcp.json")))
        synchronous(Path("mcp.json"))
    except ConfigurationError as error:
        print(error)
    except RouterError as error:
        print(told(error))
