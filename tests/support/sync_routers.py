"""What tests of the router for code without an event loop share: the router, and a server within its loop."""

import asyncio
import threading

from mcp.server import MCPServer

from recloser import Server, SyncRouter


class Local:
    """A server in the router's own loop that can be looked into from the test's thread."""

    def __init__(self):
        self.entered = threading.Event()
        self.cancelled = threading.Event()
        self.server = MCPServer("local", log_level="ERROR")

        @self.server.tool()
        async def echo(text: str) -> str:
            return text

        @self.server.tool()
        async def hang() -> str:
            self.entered.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
            return "never"

        @self.server.prompt()
        async def brief() -> str:
            return "do it"

        @self.server.resource("note://1")
        async def note() -> str:
            return "inside"

    def options(self, name="local", **more):
        return Server(name, self.server, **more)


def router(local=None, **options):
    return SyncRouter((local or Local()).options(), **options)
