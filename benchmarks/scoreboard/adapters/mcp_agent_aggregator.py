"""mcp-agent's MCPAggregator with connections that last (https://docs.mcp-agent.com/mcp-agent-sdk/mcp/overview)."""

from contextlib import asynccontextmanager

from common import text_of
from common import versions as installed
from mcp_agent.app import MCPApp
from mcp_agent.config import LoggerSettings, MCPServerSettings, MCPSettings, Settings
from mcp_agent.mcp.mcp_aggregator import SEP, MCPAggregator


def versions():
    return installed("mcp-agent", "mcp")


def spec(server, more):
    if "url" in server:
        return MCPServerSettings(transport="streamable_http", url=server["url"], **more)
    return MCPServerSettings(transport="stdio", command=server["command"], args=server["args"], **more)


@asynccontextmanager
async def connect(servers, deadline, tuned):
    more = {"read_timeout_seconds": max(1, int(deadline))} if tuned else {}
    settings = Settings(
        execution_engine="asyncio",
        logger=LoggerSettings(type="none"),
        mcp=MCPSettings(servers={server["name"]: spec(server, more) for server in servers}),
    )
    async with MCPApp(name="scoreboard", settings=settings).run() as app:
        names = [server["name"] for server in servers]
        async with MCPAggregator(names, connection_persistence=True, context=app.context) as aggregator:

            async def call(server, tool, arguments, timeout, safe):
                return text_of(await aggregator.call_tool(f"{server}{SEP}{tool}", arguments))

            yield call
