"""langchain-mcp-adapters, which opens a session with each server to list its tools, all at once."""

from contextlib import asynccontextmanager

from common import versions as installed
from langchain_adapters import connection
from langchain_mcp_adapters.client import MultiServerMCPClient


def versions():
    return installed("langchain-mcp-adapters", "mcp")


@asynccontextmanager
async def connect(servers, deadline, tuned):
    client = MultiServerMCPClient(
        {server["name"]: connection(server, deadline, tuned) for server in servers}, tool_name_prefix=True
    )

    async def count(server, tool, arguments, timeout, safe):
        return str(len(await client.get_tools()))

    yield count
