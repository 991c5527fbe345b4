"""strands-agents' MCPClient, one for each server (https://strandsagents.com/docs/user-guide/sdk/tools/mcp-tools/)."""

from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

from common import ToolError
from common import versions as installed
from mcp import StdioServerParameters, stdio_client
from strands.tools.mcp import MCPClient


def versions():
    return installed("strands-agents", "mcp")


def client_of(server, more):
    if "url" in server:
        return MCPClient(url=server["url"], **more)
    parameters = StdioServerParameters(command=server["command"], args=server["args"])
    return MCPClient(lambda: stdio_client(parameters), **more)


@asynccontextmanager
async def connect(servers, deadline, tuned):
    more = {"startup_timeout": 2, "continue_on_error": True} if tuned else {}
    clients = {server["name"]: client_of(server, more) for server in servers}
    async with AsyncExitStack() as stack:
        for client in clients.values():
            stack.callback(client.stop, None, None, None)
            await client.load_tools()

        async def call(server, tool, arguments, timeout, safe):
            limit = timedelta(seconds=timeout)
            result = await clients[server].call_tool_async("use", tool, arguments, read_timeout_seconds=limit)
            text = "".join(block.get("text", "") for block in result["content"])
            if result["status"] != "success":
                raise ToolError(text)
            return text

        yield call
