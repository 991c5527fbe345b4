"""Many servers in one process, each with many tools of the size that tools have, over streamable HTTP.

python benchmarks/servers/stocked.py SERVERS TOOLS: prints its port; server number N is at /N/mcp.
"""

import contextlib
import functools
import socket
import sys
from collections.abc import AsyncIterator

import uvicorn
from mcp.server import MCPServer
from mcp.server.mcpserver.tools import Tool
from starlette.applications import Starlette
from starlette.routing import Mount


@functools.cache
def tools(count: int) -> tuple[Tool, ...]:
    """Return so many tools; made once, since that takes longer than all the rest."""

    async def answer(text: str, limit: int = 10, exact: bool = False) -> str:
        return text

    return tuple(
        Tool.from_function(
            answer, name=f"tool_{number}", description=f"Does thing number {number}, and says how it went. " * 4
        )
        for number in range(count)
    )


def stocked(name: str, count: int) -> MCPServer:
    """Return a server with many tools."""
    return MCPServer(name, log_level="ERROR", tools=list(tools(count)))


def app(servers: int, count: int) -> Starlette:
    """Return all of them, each below its number."""
    every = [stocked(f"s{number}", count) for number in range(servers)]
    mounts = [Mount(f"/{number}", each.streamable_http_app(json_response=True)) for number, each in enumerate(every)]

    @contextlib.asynccontextmanager
    async def running(_: Starlette) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            for each in every:
                await stack.enter_async_context(each.session_manager.run())
            yield

    return Starlette(routes=mounts, lifespan=running)


if __name__ == "__main__":
    served = app(int(sys.argv[1]), int(sys.argv[2]))
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(1024)  # whoever comes before the server is up waits
        print(listening.getsockname()[1], flush=True)
        uvicorn.Server(uvicorn.Config(served, log_level="error")).run(sockets=[listening])
