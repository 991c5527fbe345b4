"""FastMCP's ClientGroup, which asks all its clients at once."""

from contextlib import asynccontextmanager

from common import versions as installed
from fastmcp import Client
from fastmcp.client.group import ClientGroup
from fastmcp_group import transport


def versions():
    return installed("fastmcp", "mcp")


@asynccontextmanager
async def connect(servers, deadline, tuned):
    async with ClientGroup({server["name"]: Client(transport(server)) for server in servers}) as group:

        async def count(server, tool, arguments, timeout, safe):
            return str(len(await group.list_tools()))

        yield count
