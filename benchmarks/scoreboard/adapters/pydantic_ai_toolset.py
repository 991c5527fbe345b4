"""pydantic-ai's MCPToolset, entered as an agent enters its toolsets (https://ai.pydantic.dev/mcp/client/)."""

from contextlib import AsyncExitStack, asynccontextmanager

from common import versions as installed
from fastmcp.client.transports import StdioTransport
from pydantic_ai.mcp import MCPToolset


def versions():
    return installed("pydantic-ai-slim", "mcp")


def target(server):
    return server.get("url") or StdioTransport(command=server["command"], args=server["args"])


@asynccontextmanager
async def connect(servers, deadline, tuned):
    more = {"init_timeout": 2.0, "read_timeout": deadline} if tuned else {}
    async with AsyncExitStack() as stack:
        toolsets = {server["name"]: MCPToolset(target(server), **more) for server in servers}
        for toolset in toolsets.values():
            await stack.enter_async_context(toolset)

        async def call(server, tool, arguments, timeout, safe):
            return await toolsets[server].direct_call_tool(tool, arguments)

        yield call
