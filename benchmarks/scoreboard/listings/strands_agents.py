"""strands-agents' MCPClient, one for each server: what it has loaded once it keeps."""

from contextlib import AsyncExitStack, asynccontextmanager

from common import versions as installed
from strands_agents import client_of


def versions():
    return installed("strands-agents", "mcp")


@asynccontextmanager
async def connect(servers, deadline, tuned):
    clients = [client_of(server, {}) for server in servers]
    async with AsyncExitStack() as stack:
        for client in clients:
            stack.callback(client.stop, None, None, None)

        async def count(server, tool, arguments, timeout, safe):
            return str(sum([len(await client.load_tools()) for client in clients]))

        yield count
