"""mcp-use's client without an agent: each of its sessions is asked."""

from contextlib import asynccontextmanager

from common import versions as installed
from mcp_use import MCPClient


def versions():
    return installed("mcp-use", "mcp")


@asynccontextmanager
async def connect(servers, deadline, tuned):
    client = MCPClient.from_dict({"mcpServers": {server["name"]: {"url": server["url"]} for server in servers}})
    try:
        sessions = await client.create_all_sessions()

        async def count(server, tool, arguments, timeout, safe):
            return str(sum([len(await session.list_tools()) for session in sessions.values()]))

        yield count
    finally:
        await client.close_all_sessions()
