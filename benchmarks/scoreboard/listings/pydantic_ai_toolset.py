"""pydantic-ai's MCPToolset, one for each server, which keeps its list until the server says that it has changed."""

from contextlib import AsyncExitStack, asynccontextmanager

from common import versions as installed
from pydantic_ai.mcp import MCPToolset
from pydantic_ai_toolset import target


def versions():
    return installed("pydantic-ai-slim", "mcp")


@asynccontextmanager
async def connect(servers, deadline, tuned):
    async with AsyncExitStack() as stack:
        toolsets = [await stack.enter_async_context(MCPToolset(target(server))) for server in servers]

        async def count(server, tool, arguments, timeout, safe):
            return str(sum([len(await toolset.list_tools()) for toolset in toolsets]))

        yield count
