"""FastMCP's client on a configuration of several servers, as a host asks it for its tools."""

from contextlib import asynccontextmanager

from common import versions as installed
from fastmcp import Client


def versions():
    return installed("fastmcp", "mcp")


@asynccontextmanager
async def connect(servers, deadline, tuned):
    config = {"mcpServers": {server["name"]: {"url": server["url"]} for server in servers}}
    async with Client(config) as client:

        async def count(server, tool, arguments, timeout, safe):
            return str(len(await client.list_tools()))

        yield count
