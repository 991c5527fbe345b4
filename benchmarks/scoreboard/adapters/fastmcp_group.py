"""FastMCP's ClientGroup, a client of its own for each server (https://gofastmcp.com/clients/client)."""

from contextlib import asynccontextmanager

from common import text_of
from common import versions as installed
from fastmcp import Client
from fastmcp.client.group import ClientGroup
from fastmcp.client.transports import StdioTransport, StreamableHttpTransport


def versions():
    return installed("fastmcp", "mcp")


def transport(server):
    if "url" in server:
        return StreamableHttpTransport(server["url"])
    return StdioTransport(command=server["command"], args=server["args"])


@asynccontextmanager
async def connect(servers, deadline, tuned):
    more = {"timeout": deadline, "init_timeout": deadline} if tuned else {}
    async with ClientGroup({server["name"]: Client(transport(server), **more) for server in servers}) as group:

        async def call(server, tool, arguments, timeout, safe):
            name = f"{server}_{tool}"
            return text_of(await group.call_tool(name, arguments, timeout=timeout, raise_on_error=False))

        yield call
