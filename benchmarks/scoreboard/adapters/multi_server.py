"""mcp-multi-server, over stdio only, as its README (docs/ of the package) shows it."""

from contextlib import asynccontextmanager
from datetime import timedelta

from common import text_of
from common import versions as installed
from mcp_multi_server import MultiServerClient


def versions():
    return installed("mcp-multi-server", "mcp")


@asynccontextmanager
async def connect(servers, deadline, tuned):
    config = {"mcpServers": {server["name"]: {k: v for k, v in server.items() if k != "name"} for server in servers}}
    async with MultiServerClient.from_dict(config) as client:

        async def call(server, tool, arguments, timeout, safe):
            limit = timedelta(seconds=timeout)
            return text_of(await client.call_tool(tool, arguments, read_timeout_seconds=limit, server_name=server))

        yield call
