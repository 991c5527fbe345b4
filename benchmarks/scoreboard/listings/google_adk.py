"""google-adk's McpToolset, one for each server: an agent lists all of them before it asks its model."""

from contextlib import AsyncExitStack, asynccontextmanager

from common import versions as installed
from google.adk.tools.mcp_tool import McpToolset
from google_adk import parameters


def versions():
    return installed("google-adk", "mcp")


@asynccontextmanager
async def connect(servers, deadline, tuned):
    async with AsyncExitStack() as stack:
        toolsets = [McpToolset(connection_params=parameters(server, {})) for server in servers]
        for toolset in toolsets:
            stack.push_async_callback(toolset.close)

        async def count(server, tool, arguments, timeout, safe):
            return str(sum([len(await toolset.get_tools()) for toolset in toolsets]))

        yield count
