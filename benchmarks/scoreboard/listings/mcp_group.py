"""The official SDK's ClientSessionGroup, which lists when it connects and never again."""

from contextlib import asynccontextmanager

from common import versions as installed
from mcp import ClientSessionGroup
from mcp_group import parameters


def versions():
    return installed("mcp")


@asynccontextmanager
async def connect(servers, deadline, tuned):
    async with ClientSessionGroup(component_name_hook=lambda name, info: f"{current}_{name}") as group:
        for server in servers:
            current = server["name"]
            await group.connect_to_server(parameters(server))

        async def count(server, tool, arguments, timeout, safe):
            return str(len(group.tools))

        yield count
