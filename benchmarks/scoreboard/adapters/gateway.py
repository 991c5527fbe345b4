"""What adapters of gateways share: the gateway's process, and the official SDK's client in front of it."""

import asyncio
import contextlib
import os
import signal
import socket
from datetime import timedelta

try:
    import httpx2
    from mcp import Client
    from mcp.client.streamable_http import streamable_http_client
except ImportError:  # the SDK's first generation
    from mcp import ClientSession
    from mcp.client.streamable_http import streamablehttp_client

    Client = None


def free_port():
    """Return a loopback port that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.asynccontextmanager
async def process(*command, port, patience=40.0, **environment):
    """Run a gateway until it is not needed any more; yield when its port is open."""
    running = await asyncio.create_subprocess_exec(*command, env={**os.environ, **environment}, stdout=2)
    try:
        async with asyncio.timeout(patience):
            while True:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    break
                if running.returncode is not None:
                    raise RuntimeError(f"the gateway ended with {running.returncode}")
                await asyncio.sleep(0.05)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            running.send_signal(signal.SIGTERM)
        await running.wait()


class Session:
    """The session of the SDK's first generation, asked as the client of the second is."""

    def __init__(self, session):
        self._session = session

    async def call_tool(self, name, arguments, *, read_timeout_seconds):
        """Call a tool."""
        return await self._session.call_tool(name, arguments, timedelta(seconds=read_timeout_seconds))


@contextlib.asynccontextmanager
async def client(url, **headers):
    """Open the SDK's client to a gateway."""
    if Client is None:
        async with streamablehttp_client(url, headers) as (read, write, _), ClientSession(read, write) as session:
            await session.initialize()
            yield Session(session)
        return
    async with (
        httpx2.AsyncClient(headers=headers, timeout=60.0) as http,
        Client(streamable_http_client(url, http_client=http)) as opened,
    ):
        yield opened
