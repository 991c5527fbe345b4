"""FastMCP's proxies, one for each server, mounted into one front, asked by FastMCP's client."""

from contextlib import asynccontextmanager

from common import versions as installed
from fastmcp import Client, FastMCP
from fastmcp.server import create_proxy


def versions():
    return installed("fastmcp", "mcp")


@asynccontextmanager
async def connect(servers, deadline, tuned):
    front = FastMCP("front")
    for server in servers:
        name = server["name"]
        front.mount(create_proxy({"mcpServers": {name: {"url": server["url"]}}}, name=name), namespace=name)
    async with Client(front, mode="legacy") as client:

        async def count(server, tool, arguments, timeout, safe):
            return str(len(await client.list_tools()))

        yield count
