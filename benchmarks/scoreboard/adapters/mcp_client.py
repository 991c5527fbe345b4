"""The official SDK's client, one for each server (https://py.sdk.modelcontextprotocol.io/client/)."""

from contextlib import AsyncExitStack, asynccontextmanager

from common import text_of
from common import versions as installed
from mcp import Client, StdioServerParameters


def versions():
    return installed("mcp")


def target(server):
    return server.get("url") or StdioServerParameters(command=server["command"], args=server["args"])


@asynccontextmanager
async def connect(servers, deadline, tuned):
    async with AsyncExitStack() as stack:
        clients = {server["name"]: await stack.enter_async_context(Client(target(server))) for server in servers}

        async def call(server, tool, arguments, timeout, safe):
            return text_of(await clients[server].call_tool(tool, arguments, read_timeout_seconds=timeout))

        yield call
