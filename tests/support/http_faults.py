"""A hand-written HTTP MCP server, in both eras and over SSE, that misbehaves as told.

It is made of an asyncio stream server and nothing else, so that a test can send any bytes, or none, and close or reset
a connection at any moment. `on` maps a JSON-RPC method, a tool's name, a path or an HTTP verb to what happens instead
of an answer.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Self

from mcp.client import ClientSession
from mcp_types import DiscoverResult
from mcp_types.version import LATEST_MODERN_VERSION

ANSWER: dict[str, Any] = {"content": [{"type": "text", "text": "ok"}], "resultType": "complete"}


class Exchange:
    """One request, and the connection it came on."""

    def __init__(
        self,
        server: FaultServer,
        verb: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.server, self.verb, self.path, self.headers, self.body = server, verb, path, headers, body
        self.reader, self.writer = reader, writer
        self.message: dict[str, Any] = json.loads(body) if body.startswith(b"{") else {}
        self.id = self.message.get("id")
        self.method = self.message.get("method", "")

    async def raw(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def reply(
        self, status: int, body: bytes = b"", content_type: str | None = "application/json", **headers: str
    ) -> None:
        lines = [f"HTTP/1.1 {status} Told"]
        if content_type is not None:
            lines.append(f"content-type: {content_type}")
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        if "content_length" not in headers and "transfer_encoding" not in headers:
            lines.append(f"content-length: {len(body)}")
        await self.raw("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    async def result(self, result: Mapping[str, Any] = ANSWER, **headers: str) -> None:
        await self.reply(200, json.dumps({"jsonrpc": "2.0", "id": self.id, "result": result}).encode(), **headers)

    async def error(self, status: int, code: int, message: str, data: Any = None, **headers: str) -> None:
        error = {"code": code, "message": message} | ({} if data is None else {"data": data})
        await self.reply(status, json.dumps({"jsonrpc": "2.0", "id": self.id, "error": error}).encode(), **headers)

    async def events(self, *events: str) -> None:
        """Begin an event stream of chunked events; it stays open."""
        await self.reply(200, b"", "text/event-stream", transfer_encoding="chunked")
        for event in events:
            await self.event(event)

    async def event(self, event: str) -> None:
        data = f"{event}\n\n".encode()
        await self.raw(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    def reset(self) -> None:
        """Close the connection by a TCP reset."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(1, 13, b"\x01\x00\x00\x00\x00\x00\x00\x00")  # SOL_SOCKET, SO_LINGER: on, 0 s
        self.writer.transport.abort()

    def close(self) -> None:
        self.writer.close()

    async def hang(self) -> None:
        """Answer nothing until the client goes away."""
        await self.reader.read()


Fault = Callable[[Exchange], Awaitable[None]]


class FaultServer:
    """An MCP server whose every answer can be replaced; enter it to start it."""

    def __init__(
        self,
        *,
        on: Mapping[str, Fault] | None = None,
        session: bool = False,
        sse: bool = False,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.on: dict[str, Fault] = dict(on or {})
        self.session = session
        self.sse = sse
        self.tls = tls
        self.seen: list[Exchange] = []
        self.open_gate = asyncio.Event()
        self.stream: Exchange | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]
        scheme = "https" if self.tls else "http"
        self.url = f"{scheme}://127.0.0.1:{self.port}/{'sse' if self.sse else 'mcp'}"
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Stop listening and drop every connection."""
        self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def methods(self) -> list[str]:
        return [exchange.method or exchange.verb for exchange in self.seen]

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                first, *lines = head.decode().split("\r\n")
                verb, path, _ = first.split()
                headers = {name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines) if name}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                exchange = Exchange(self, verb, path, headers, body, reader, writer)
                self.seen.append(exchange)
                await self._answer(exchange)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            self._tasks.discard(task)

    async def _answer(self, exchange: Exchange) -> None:
        params = exchange.message.get("params") or {}
        names = (params.get("name"), exchange.method, exchange.path, exchange.verb)
        for name in names:
            if name in self.on:
                await self.on[name](exchange)
                return
        await self.behave(exchange)

    async def behave(self, exchange: Exchange) -> None:
        """Answer as a good server does."""
        if self.sse:
            await self._answer_sse(exchange)
        elif exchange.verb == "DELETE":
            await exchange.reply(200)
        elif exchange.verb != "POST":
            await exchange.reply(405)
        elif exchange.id is None or not exchange.method:
            await exchange.reply(202)
        else:
            headers = {"mcp_session_id": "s1"} if exchange.method == "initialize" and self.session else {}
            await exchange.result(await self._result(exchange), **headers)

    async def _answer_sse(self, exchange: Exchange) -> None:
        if exchange.verb == "GET":
            self.stream = exchange
            await exchange.events("event: endpoint\ndata: /messages?sessionId=1")
            await exchange.hang()
            return
        await exchange.reply(202, b"Accepted", "text/plain")
        if exchange.id is not None and exchange.method:
            result = {"jsonrpc": "2.0", "id": exchange.id, "result": await self._result(exchange)}
            await self.say(result)

    async def say(self, message: Any) -> None:
        """Send a message on the event stream."""
        assert self.stream is not None
        await self.stream.event(f"event: message\ndata: {message if isinstance(message, str) else json.dumps(message)}")

    async def _result(self, exchange: Exchange) -> Mapping[str, Any]:
        if exchange.method == "initialize":
            return {
                "protocolVersion": "2025-06-18",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "faults", "version": "1"},
            }
        if exchange.method == "server/discover":
            return {"supportedVersions": [LATEST_MODERN_VERSION], "capabilities": {"tools": {}}}
        if exchange.method == "tools/call":
            if exchange.message["params"]["name"] == "gate":
                await self.open_gate.wait()
            return ANSWER
        listed = {"tools": [], "resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
        return listed if exchange.method == "tools/list" else {}


@asynccontextmanager
async def open_session(transport: Any, era: str) -> AsyncIterator[ClientSession]:
    """Enter a transport and a session of one era."""
    async with transport as (read, write), ClientSession(read, write) as session:
        if era == "modern":
            session.adopt(DiscoverResult.model_validate(await session.send_discover(LATEST_MODERN_VERSION)))
        else:
            await session.initialize()
        await session.list_tools()
        yield session
