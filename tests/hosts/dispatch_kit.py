"""The toolbox that the tests of the dispatchers use: one server of this process, one subprocess, one that is down."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from mcp.server import MCPServer
from mcp_types import ImageContent

from recloser import Server

PNG = "iVBORw0KGgo="


class Meeting:
    """A tool whose calls wait for each other: it answers only once `size` of them run at the same time."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.here = 0
        self.all_here = asyncio.Event()

    async def meet(self, who: str) -> str:
        self.here += 1
        if self.here == self.size:
            self.all_here.set()
        await self.all_here.wait()
        return f"{who} met {self.size - 1}"


def local(size: int = 2) -> Server:
    """A server object of this process."""
    server = MCPServer("local", log_level="WARNING")
    meeting = Meeting(size)

    @server.tool()
    async def meet(who: str) -> str:
        """Meet the others."""
        return await meeting.meet(who)

    @server.tool()
    async def hang() -> str:
        """Never answer."""
        await asyncio.Event().wait()
        raise AssertionError

    @server.tool()
    async def now() -> str:
        """Tell the time."""
        return "noon"

    @server.tool()
    async def picture() -> ImageContent:
        """Show a picture."""
        return ImageContent(data=PNG, mime_type="image/png")

    @server.tool(name="get user")
    async def get_user() -> str:
        """Return the user; by a name that no model API takes."""
        return "Ada"

    return Server("local", server, tags=frozenset({"here"}))


def math() -> Server:
    """A process; the router waits for it, so that its tools are in the first list."""
    arguments = ["-P", "-m", "recloser.demo.servers.math_server"]
    return Server("math", command=sys.executable, args=arguments, required=True)


@contextmanager
def nobody() -> Iterator[Server]:
    """A server at an address where nobody listens, and nobody else can begin to."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield Server("down", f"http://127.0.0.1:{held.getsockname()[1]}/mcp")
