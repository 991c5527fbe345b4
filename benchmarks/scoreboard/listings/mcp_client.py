"""The official SDK's client, one for each server: each is asked for its tools."""

from contextlib import AsyncExitStack, asynccontextmanager

from common import versions as installed
from mcp import Client
from mcp_client import target


def versions():
    return installed("mcp")


@asynccontextmanager
async def connect(servers, deadline, tuned):
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(Client(target(server))) for server in servers]

        async def count(server, tool, arguments, timeout, safe):
            return str(sum([len((await client.list_tools(cache_mode="refresh")).tools) for client in clients]))

        yield count
