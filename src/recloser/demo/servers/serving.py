"""The command line that all four servers share, and how they are served over each transport."""

from __future__ import annotations

import argparse
import asyncio
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import uvicorn
from mcp.server import MCPServer
from mcp.server.sse import SseServerTransport
from mcp.server.stdio import stdio_server
from mcp.server.transport_security import TransportSecuritySettings
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from recloser.demo.servers.era import Era, HandshakeOverHttp, HandshakeStream, modern_only
from recloser.demo.servers.sign_in import SignIn

HOST: Final = "127.0.0.1"
GRACE: Final = 1
"""Seconds that open requests get when a server ends."""

PATHS: Final = {"http": "/mcp", "sse": "/sse"}

# What the SDK's own applications allow where they listen on loopback: no web page may reach them by another name.
LOOPBACK: Final = TransportSecuritySettings(
    enable_dns_rebinding_protection=True,
    allowed_hosts=["127.0.0.1:*", "localhost:*"],
    allowed_origins=["http://127.0.0.1:*", "http://localhost:*"],
)


@dataclass(frozen=True, kw_only=True)
class Serving:
    """How a server is served."""

    transport: Literal["stdio", "http", "sse"] = "stdio"
    port: int = 0
    """Where it listens on loopback; 0 takes a free one."""
    era: Era = "both"
    token_file: Path | None = None
    """A file that holds the token which every HTTP request must bring."""
    until_stdin_closes: bool = False
    """Whether an HTTP server ends when its stdin does, so that it never outlives who started it."""


def main(server: MCPServer[Any], argv: Sequence[str] | None = None) -> None:
    """Serve until the client leaves (stdio) or the process is ended (HTTP, SSE)."""
    serving = parse(server.name, argv)
    if serving.transport == "stdio":
        # The SDK reads stdin in a thread that nothing can wake, so Ctrl-C has to end the process itself.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        asyncio.run(serve(server, serving))
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def parse(name: str, argv: Sequence[str] | None = None) -> Serving:
    """Read the command line.

    Raises:
        SystemExit: it makes no sense, or asks for help.
    """
    parser = argparse.ArgumentParser(description=f"{name}, an MCP server to try things with; listens on loopback only.")
    parser.add_argument("--transport", choices=("stdio", "http", "sse"), default="stdio")
    parser.add_argument("--port", type=int, default=0, help="where to listen; 0, the default, takes a free port")
    parser.add_argument("--era", choices=("both", "legacy", "modern"), default="both", help="protocol to speak")
    parser.add_argument("--token-file", type=Path, help="answer 401 to requests without the token in this file")
    parser.add_argument("--until-stdin-closes", action="store_true", help="end when stdin does (HTTP and SSE)")
    return Serving(**vars(parser.parse_args(argv)))


async def serve(server: MCPServer[Any], serving: Serving) -> None:
    """Serve over one transport until it ends."""
    if serving.era == "modern":
        server.middleware.append(modern_only)
    if serving.transport == "stdio":
        await _over_stdio(server, serving)
    else:
        await _over_http(server, serving)


async def _over_stdio(server: MCPServer[Any], serving: Serving) -> None:
    async with stdio_server() as (read, write):
        await _speak(server, serving, read, write)


async def _speak(server: MCPServer[Any], serving: Serving, read: Any, write: Any) -> None:
    core = server._lowlevel_server  # noqa: SLF001 - the SDK's server has no public switch for its era
    stream: Any = HandshakeStream(read) if serving.era == "legacy" else read
    await core.run(stream, write, core.create_initialization_options())


async def _over_http(server: MCPServer[Any], serving: Serving) -> None:
    app: ASGIApp
    if serving.transport == "http":
        app = server.streamable_http_app(streamable_http_path=PATHS["http"], host=HOST)
        app = HandshakeOverHttp(app) if serving.era == "legacy" else app
    else:
        app = _sse_app(server, serving)
    if serving.token_file is not None:
        app = SignIn(app, serving.token_file)
    with socket.create_server((HOST, serving.port)) as listener:
        config = uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=GRACE)
        web = uvicorn.Server(config)
        ending = asyncio.create_task(_end_with_stdin(web)) if serving.until_stdin_closes else None
        # Connections queue from here on, so whoever reads this line may connect at once.
        print(f"http://{HOST}:{listener.getsockname()[1]}{PATHS[serving.transport]}", flush=True)  # noqa: T201 - data of this command
        try:
            await web.serve(sockets=[listener])
        finally:
            if ending is not None:
                ending.cancel()


def _sse_app(server: MCPServer[Any], serving: Serving) -> ASGIApp:
    messages = SseServerTransport("/messages/", security_settings=LOOPBACK)

    async def connect(request: Request) -> Response:
        send = request._send  # noqa: SLF001 - Starlette gives a route no other way to its own answer
        async with messages.connect_sse(request.scope, request.receive, send) as (read, write):
            await _speak(server, serving, read, write)
        return Response()

    return Starlette(
        routes=[Route(PATHS["sse"], connect, methods=["GET"]), Mount("/messages/", app=messages.handle_post_message)]
    )


async def _end_with_stdin(web: uvicorn.Server) -> None:
    reader = asyncio.StreamReader()
    pipe, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    try:
        while await reader.read(4096):
            pass
        web.should_exit = True
    finally:
        pipe.close()
