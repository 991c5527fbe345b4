"""google-adk's McpToolset, one for each server (https://google.github.io/adk-docs/tools/mcp-tools/)."""

from contextlib import AsyncExitStack, asynccontextmanager
from types import SimpleNamespace

from common import ToolError
from common import versions as installed
from google.adk.tools.mcp_tool import McpToolset, StdioConnectionParams, StreamableHTTPConnectionParams
from mcp import StdioServerParameters


def versions():
    return installed("google-adk", "mcp")


def parameters(server, more):
    if "url" in server:
        return StreamableHTTPConnectionParams(url=server["url"], **more)
    command = StdioServerParameters(command=server["command"], args=server["args"])
    return StdioConnectionParams(server_params=command, **more)


@asynccontextmanager
async def connect(servers, deadline, tuned):
    more = {"timeout": deadline} if tuned else {}
    context = SimpleNamespace(custom_metadata={}, state={}, tool_confirmation=None)
    async with AsyncExitStack() as stack:
        tools = {}
        for server in servers:
            toolset = McpToolset(connection_params=parameters(server, more))
            stack.push_async_callback(toolset.close)
            # An agent lists all its toolsets before it asks its model.
            tools |= {(server["name"], tool.name): tool for tool in await toolset.get_tools()}

        async def call(server, tool, arguments, timeout, safe):
            result = await tools[server, tool].run_async(args=arguments, tool_context=context)
            if "error" in result or result.get("isError"):
                raise ToolError(str(result)[:200])
            return "".join(block.get("text", "") for block in result["content"])

        yield call
