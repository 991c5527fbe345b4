"""mcp-use's client without an agent (https://mcp-use.com/docs/python/client/direct-tool-calls)."""

from contextlib import asynccontextmanager
from datetime import timedelta

from common import text_of
from common import versions as installed
from mcp_use import MCPClient


def versions():
    return installed("mcp-use", "mcp")


@asynccontextmanager
async def connect(servers, deadline, tuned):
    config = {"mcpServers": {server["name"]: {k: v for k, v in server.items() if k != "name"} for server in servers}}
    client = MCPClient.from_dict(config)
    try:
        await client.create_all_sessions()

        async def call(server, tool, arguments, timeout, safe):
            session = client.get_session(server)
            return text_of(await session.call_tool(tool, arguments, read_timeout_seconds=timedelta(seconds=timeout)))

        yield call
    finally:
        await client.close_all_sessions()
