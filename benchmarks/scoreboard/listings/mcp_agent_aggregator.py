"""mcp-agent's MCPAggregator, which lists when it connects and answers from that."""

from contextlib import asynccontextmanager

from common import versions as installed
from mcp_agent.app import MCPApp
from mcp_agent.config import LoggerSettings, MCPSettings, Settings
from mcp_agent.mcp.mcp_aggregator import MCPAggregator
from mcp_agent_aggregator import spec


def versions():
    return installed("mcp-agent", "mcp")


@asynccontextmanager
async def connect(servers, deadline, tuned):
    settings = Settings(
        execution_engine="asyncio",
        logger=LoggerSettings(type="none"),
        mcp=MCPSettings(servers={server["name"]: spec(server, {}) for server in servers}),
    )
    async with MCPApp(name="scoreboard", settings=settings).run() as app:
        names = [server["name"] for server in servers]
        async with MCPAggregator(names, connection_persistence=True, context=app.context) as aggregator:

            async def count(server, tool, arguments, timeout, safe):
                return str(len((await aggregator.list_tools()).tools))

            yield count
