"""The official SDK's ClientSessionGroup (https://py.sdk.modelcontextprotocol.io/client/)."""

from contextlib import asynccontextmanager

from common import text_of
from common import versions as installed
from mcp import ClientSessionGroup, StdioServerParameters
from mcp.client.session_group import StreamableHttpParameters


def versions():
    return installed("mcp")


def parameters(server):
    if "url" in server:
        return StreamableHttpParameters(url=server["url"])
    return StdioServerParameters(command=server["command"], args=server["args"])


@asynccontextmanager
async def connect(servers, deadline, tuned):
    async with ClientSessionGroup(component_name_hook=lambda name, info: f"{current}_{name}") as group:
        for server in servers:
            current = server["name"]
            await group.connect_to_server(parameters(server))

        async def call(server, tool, arguments, timeout, safe):
            return text_of(await group.call_tool(f"{server}_{tool}", arguments, read_timeout_seconds=timeout))

        yield call
