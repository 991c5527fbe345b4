"""An MCP server in memory that does what its script says: for tests that need every turn, on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCError, JSONRPCNotification, JSONRPCRequest, JSONRPCResponse

from recloser import Server

MODERN = "2026-07-28"
LEGACY = "2025-11-25"
ALL = {
    "tools": {"listChanged": True},
    "resources": {"listChanged": True},
    "prompts": {"listChanged": True},
    "completions": {},
}


class Refusal(Exception):
    """A request ends in a JSON-RPC error."""

    def __init__(self, code: int, message: str = "no", data: Any = None) -> None:
        super().__init__(message)
        self.error = {"code": code, "message": message, **({} if data is None else {"data": data})}


class Silence(Exception):
    """A request is never answered."""


def tool(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "inputSchema": {"type": "object"}, **more}


def said(text: str, **more: Any) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": text}], **more}


class Line:
    """One connection to a peer, seen from the peer."""

    def __init__(self, peer: Peer, number: int) -> None:
        self.peer = peer
        self.number = number
        self.modern = False
        self.seen: list[JSONRPCRequest | JSONRPCNotification] = []
        self.running: dict[Any, asyncio.Task[None]] = {}
        self.answers: dict[Any, asyncio.Future[Any]] = {}
        self.to_client, self.client_reads = anyio.create_memory_object_stream[SessionMessage | Exception](1000)
        self.client_writes, self.from_client = anyio.create_memory_object_stream[SessionMessage](1000)

    def write(self, message: Any) -> None:
        self.to_client.send_nowait(SessionMessage(message))

    def notify(self, method: str, params: Mapping[str, Any] | None = None) -> None:
        self.write(JSONRPCNotification(jsonrpc="2.0", method=method, params=dict(params or {})))

    async def ask(self, method: str, params: Mapping[str, Any]) -> Any:
        """Ask our side, and return its result or raise its error."""
        number = f"q{len(self.answers)}"
        self.answers[number] = asyncio.get_running_loop().create_future()
        self.write(JSONRPCRequest(jsonrpc="2.0", id=number, method=method, params=dict(params)))
        return await self.answers[number]

    def end(self) -> None:
        """Go away, as a process that dies."""
        self.to_client.close()
        self.from_client.close()

    async def serve(self) -> None:
        try:
            async for item in self.from_client:
                message = item.message
                if isinstance(message, JSONRPCRequest):
                    self.seen.append(message)
                    task = asyncio.ensure_future(self._answer(message))
                    self.running[message.id] = task
                    task.add_done_callback(lambda _, number=message.id: self.running.pop(number))
                elif isinstance(message, JSONRPCNotification):
                    self.seen.append(message)
                    if message.method == "notifications/cancelled":
                        self.peer.cancelled += 1
                        task = self.running.get((message.params or {}).get("requestId"))
                        if task is not None:
                            task.cancel()
                elif isinstance(message, JSONRPCResponse):
                    self.answers[message.id].set_result(message.result)
                else:
                    self.answers[message.id].set_exception(Refusal(message.error.code, message.error.message))
        except anyio.ClosedResourceError:
            pass
        finally:
            for task in tuple(self.running.values()):
                task.cancel()

    async def _answer(self, request: JSONRPCRequest) -> None:
        try:
            result = await self.peer.answer(self, request)
        except Refusal as refusal:
            answer: Any = JSONRPCError(jsonrpc="2.0", id=request.id, error=refusal.error)
        except Silence:
            return
        else:
            answer = JSONRPCResponse(jsonrpc="2.0", id=request.id, result=result)
        with suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):
            self.write(answer)


Handler = Callable[[Line, dict[str, Any]], Awaitable[dict[str, Any]]]


class Peer:
    """A server; calling it opens a connection to it. `on` maps a method or a tool to what it does instead."""

    def __init__(self, *, modern: bool = True, legacy: bool = True, on: Mapping[str, Handler] | None = None) -> None:
        self.modern = modern
        self.legacy = legacy
        self.on: dict[str, Handler] = dict(on or {})
        self.tools: list[dict[str, Any]] = [tool("echo")]
        self.capabilities: dict[str, Any] = {"tools": {}}
        self.lines: list[Line] = []
        self.cancelled = 0
        self.down: Exception | None = None
        """What opening a connection raises."""

    def server(self, name: str = "peer", **options: Any) -> Server:
        return Server(name, self, **options)

    @property
    def line(self) -> Line:
        return self.lines[-1]

    @property
    def methods(self) -> list[str]:
        """All that came in, over all connections."""
        return [message.method for line in self.lines for message in line.seen]

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[Any]:
        if self.down is not None:
            raise self.down
        line = Line(self, len(self.lines) + 1)
        self.lines.append(line)
        serving = asyncio.ensure_future(line.serve())
        try:
            yield line.client_reads, line.client_writes
        finally:
            serving.cancel()
            await asyncio.wait({serving})
            for stream in (line.to_client, line.client_reads, line.client_writes, line.from_client):
                stream.close()

    async def answer(self, line: Line, request: JSONRPCRequest) -> dict[str, Any]:
        params: dict[str, Any] = request.params or {}
        line.modern = "io.modelcontextprotocol/protocolVersion" in params.get("_meta", {})
        for name in (params.get("name"), request.method):
            if name in self.on:
                result = await self.on[name](line, params)
                break
        else:
            result = self.behave(line, request.method, params)
        return stamped(request.method, result) if line.modern else result

    def behave(self, line: Line, method: str, params: dict[str, Any]) -> dict[str, Any]:
        if method == "initialize" and self.legacy:
            return {"protocolVersion": LEGACY, "capabilities": self.capabilities, "serverInfo": INFO}
        if method == "server/discover" and self.modern:
            return {"supportedVersions": [MODERN], "capabilities": self.capabilities}
        if method == "ping" and not line.modern:
            return {}
        if method == "tools/list":
            listed = {each["name"] for each in self.tools} | {"ping", "initialize"}
            return {"tools": self.tools + [tool(name) for name in self.on if "/" not in name and name not in listed]}
        if method == "tools/call":
            return said(str(params.get("arguments", {}).get("text", params["name"])))
        empty = {
            "resources/list": "resources",
            "resources/templates/list": "resourceTemplates",
            "prompts/list": "prompts",
        }
        if method in empty:
            return {empty[method]: []}
        raise Refusal(-32601, f"Method not found: {method}")


INFO = {"name": "peer", "version": "1"}
_LISTS = (
    "server/discover",
    "tools/list",
    "resources/list",
    "resources/templates/list",
    "prompts/list",
    "resources/read",
)


def stamped(method: str, result: dict[str, Any]) -> dict[str, Any]:
    hints = {"ttlMs": 0, "cacheScope": "private"} if method in _LISTS else {}
    return {"resultType": "complete", **hints, **result}
