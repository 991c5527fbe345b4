"""Bare clients for the faulty servers: they see what goes over the wire, good or broken."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

MODERN = "2026-07-28"
META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": {"elicitation": {}},
}
_ids = count(1)


def request(method: str, params: dict[str, Any] | None = None, *, modern: bool = True) -> dict[str, Any]:
    given = {**(params or {}), "_meta": {**META, **(params or {}).get("_meta", {})}} if modern else params or {}
    return {"jsonrpc": "2.0", "id": next(_ids), "method": method, "params": given}


def call(tool: str, arguments: dict[str, Any] | None = None, *, modern: bool = True, **more: Any) -> dict[str, Any]:
    return request("tools/call", {"name": tool, "arguments": arguments or {}, **more}, modern=modern)


def write(text: str, *, modern: bool = True) -> dict[str, Any]:
    return call("write", {"text": text}, modern=modern)


def initialize(**capabilities: Any) -> dict[str, Any]:
    params = {
        "protocolVersion": "2025-11-25",
        "capabilities": capabilities,
        "clientInfo": {"name": "t", "version": "1"},
    }
    return request("initialize", params, modern=False)


MISSHAPEN: tuple[Any, ...] = (
    call("sleep", {"seconds": 0}, modern=False) | {"id": [1]},
    call("echo", modern=False) | {"method": ["tools/call"]},
    request("tools/list", {"_meta": 3}, modern=False),
    request("tools/list", modern=False) | {"params": 3},
    [],
)
"""Messages that no server can make sense of."""


async def until(condition: Callable[[], object]) -> None:
    """Let other tasks and processes run until something is true."""
    for _ in range(10_000):
        if condition():
            return
        await asyncio.sleep(0.002)
    raise AssertionError("it never became true")


@dataclass
class Answer:
    """What came back for one HTTP request, as far as it came."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    broken: str | None = None
    """`reset`, or `end` where the connection ended too early."""

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The JSON-RPC messages in it."""
        if "event-stream" not in self.headers.get("content-type", ""):
            return [json.loads(self.body)]
        lines = self.body.decode().split("\r\n")
        return [json.loads(line[6:]) for line in lines if line.startswith("data: ") and line != "data: "]

    @property
    def text(self) -> str:
        """The text of a tool's result."""
        return str(self.messages[-1]["result"]["content"][0]["text"])


class Wire:
    """One TCP connection to a faulty HTTP server."""

    def __init__(self, server: Any) -> None:
        self.server = server
        self.session: str | None = None

    async def open(self) -> None:
        self.reader, self.writer = await asyncio.open_connection(self.server.server.host, self.server.server.port)

    async def close(self) -> None:
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except OSError:
            return

    async def send(self, message: Any, *, verb: str = "POST", path: str = "/mcp", **headers: str) -> None:
        body = message if isinstance(message, bytes) else b"" if message is None else json.dumps(message).encode()
        head = {"content-length": str(len(body)), **{name.replace("_", "-"): value for name, value in headers.items()}}
        if isinstance(message, dict) and "_meta" in message.get("params", {}):
            params = message["params"]
            head |= (
                {"mcp-protocol-version": MODERN, "mcp-method": message["method"]}
                | ({"mcp-name": params["name"]} if "name" in params else {})
                | {name.replace("_", "-"): value for name, value in headers.items()}
            )
        if self.session is not None:
            head["mcp-session-id"] = self.session
        lines = "".join(f"{name}: {value}\r\n" for name, value in head.items() if value)
        self.writer.write(f"{verb} {path} HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode() + body)

    async def receive(self) -> Answer:
        answer = Answer()
        try:
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            answer.status = int(head[0].split(" ")[1])
            answer.headers = dict(line.split(": ", 1) for line in head[1:] if line)
            self.session = answer.headers.get("mcp-session-id", self.session)
            if "transfer-encoding" in answer.headers:
                while size := int(await self.reader.readuntil(b"\r\n"), 16):
                    answer.body += (await self.reader.readexactly(size + 2))[:-2]
                await self.reader.readexactly(2)
            else:
                answer.body = await self.reader.readexactly(int(answer.headers["content-length"]))
        except ConnectionResetError:
            answer.broken = "reset"
        except asyncio.IncompleteReadError as error:
            answer.broken = "end"
            answer.body += error.partial
        return answer

    async def event(self) -> dict[str, Any]:
        """Return the next message of a stream whose head was read by `head`."""
        while True:
            size = int(await self.reader.readuntil(b"\r\n"), 16)
            data = (await self.reader.readexactly(size + 2)).decode()
            for line in data.split("\r\n"):
                if line.startswith("data: "):
                    found: dict[str, Any] = json.loads(line[6:])
                    return found

    async def head(self) -> bytes:
        return await self.reader.readuntil(b"\r\n\r\n")

    async def ask(self, message: Any, **headers: str) -> Answer:
        await self.send(message, **headers)
        return await self.receive()


@asynccontextmanager
async def wire(server: Any, *, modern: bool = True, **capabilities: Any) -> AsyncIterator[Wire]:
    """One connection; in the handshake era with a session of its own."""
    connection = Wire(server)
    await connection.open()
    try:
        if not modern:
            await connection.ask(initialize(**capabilities))
        yield connection
    finally:
        await connection.close()


class Lines:
    """The client's side of a stdio server's pipes."""

    def __init__(self, write: Callable[[bytes], None], reader: asyncio.StreamReader) -> None:
        self._write = write
        self.reader = reader

    def send(self, message: Any) -> None:
        self._write(message if isinstance(message, bytes) else json.dumps(message).encode() + b"\n")

    async def line(self) -> bytes:
        return await self.reader.readline()

    async def receive(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(await self.line())
        return found

    async def ask(self, message: dict[str, Any]) -> dict[str, Any]:
        self.send(message)
        return await self.receive()


async def read_pipe(descriptor: int) -> tuple[asyncio.StreamReader, asyncio.ReadTransport]:
    reader = asyncio.StreamReader(limit=2**26)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb", 0)
    )
    return reader, transport


@asynccontextmanager
async def process(faulty: Any) -> AsyncIterator[tuple[Lines, asyncio.subprocess.Process]]:
    """A stdio server as a process of its own."""
    started = await asyncio.create_subprocess_exec(
        faulty.command, *faulty.args, stdin=-1, stdout=-1, stderr=-1, limit=2**26
    )
    assert started.stdin is not None and started.stdout is not None
    try:
        yield Lines(started.stdin.write, started.stdout), started
    finally:
        if started.returncode is None:
            started.kill()
        await started.wait()
        # All pipes, also one that a child of the server holds: left open, it would be a warning in some later test.
        started._transport.close()  # type: ignore[attr-defined]
        await asyncio.sleep(0)
