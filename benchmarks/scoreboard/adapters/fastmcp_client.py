"""FastMCP's client on a configuration of several servers (https://gofastmcp.com/clients/client)."""

from contextlib import asynccontextmanager

from common import text_of
from common import versions as installed
from fastmcp import Client


def versions():
    return installed("fastmcp", "mcp")


@asynccontextmanager
async def connect(servers, deadline, tuned):
    config = {"mcpServers": {server["name"]: {k: v for k, v in server.items() if k != "name"} for server in servers}}
    more = {"timeout": deadline, "init_timeout": deadline} if tuned else {}
    async with Client(config, **more) as client:

        async def call(server, tool, arguments, timeout, safe):
            name = f"{server}_{tool}"
            return text_of(await client.call_tool(name, arguments, timeout=timeout, raise_on_error=False))

        yield call
