"""The stdio server: one JSON-RPC message a line, in the era that the client opens with."""

from __future__ import annotations

import asyncio
import json
import os
import select
import sys
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from recloser.testing.faulty.control import ControlFile
from recloser.testing.faulty.deeds import encoded
from recloser.testing.faulty.plan import Order, Plan
from recloser.testing.faulty.protocol import (
    CAPABILITIES_KEY,
    INVALID_REQUEST,
    LEVEL_KEY,
    PARSE_ERROR,
    Core,
    failure,
    is_message,
    is_modern,
)
from recloser.testing.faulty.work import Json, RpcError

__all__ = ["PipePeer", "StdioServer", "write_all"]


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of it, waiting where the pipe is full, as a simple server does."""
    left = memoryview(data)
    while left:
        try:
            left = left[os.write(descriptor, left) :]
        except BlockingIOError:
            select.select([], [descriptor], [])


class PipePeer:
    """The sender of one request."""

    __slots__ = ("_server", "capabilities", "level", "modern", "request_id")

    def __init__(self, server: StdioServer, message: Json) -> None:
        meta = (message.get("params") or {}).get("_meta") or {}
        self._server = server
        self.modern = server.era == "modern"
        self.capabilities: Mapping[str, Any] = meta.get(CAPABILITIES_KEY, {}) if self.modern else server.capabilities
        self.level = meta.get(LEVEL_KEY) if self.modern else server.level
        self.request_id = message["id"]

    def notify(self, method: str, params: Json) -> None:
        """Send a notification."""
        self._server.write({"jsonrpc": "2.0", "method": method, "params": params})

    async def ask(self, method: str, params: Json) -> Json:
        """Send a request and return its result."""
        return await self._server.ask(method, params)


class StdioServer:
    """Serves one client, from the start of the process to the end of its stdin."""

    def __init__(
        self,
        core: Core,
        plan: Plan,
        act: Callable[[StdioServer, Order, Json], Coroutine[Any, Any, None]],
        *,
        control: ControlFile | None = None,
        leave: Callable[[int], None] = os._exit,
        stdout: int = 1,
        sleepers: str | None = None,
    ) -> None:
        self.core = core
        self.plan = plan
        self.leave = leave
        self.stdout = stdout
        self.era: str | None = None if core.era == "dual" else core.era
        self.capabilities: Mapping[str, Any] = {}
        self.level: str | None = None
        self._pause: Callable[[], None] | None = None
        self._wedged = False
        self.lives_after_eof = 0.0
        self._act = act
        self._control = control
        self._sleepers = sleepers
        self._asked: dict[str, asyncio.Future[Json]] = {}
        self._running: dict[object, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._questions = 0

    async def serve(self, reader: asyncio.StreamReader, pause: Callable[[], None] | None = None) -> None:
        """Answer what comes until the end of the input; `pause` makes the reader's transport stop reading."""
        self._pause = pause
        self._poll()
        try:
            if (order := self.plan.due("start", {})) is not None:
                await self._act(self, order, {"method": "start"})
            while line := await reader.readline():
                if self._received(line):
                    # A fault strikes before the next line is served, however many have come together.
                    await asyncio.sleep(0)
                if self._wedged:
                    await asyncio.Event().wait()
            await asyncio.sleep(self.lives_after_eof)
        finally:
            # One turn: a task that has not begun would never await what it was given.
            await asyncio.sleep(0)
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def write(self, message: Json) -> None:
        """Send a message."""
        self.write_bytes(encoded(message).encode() + b"\n")

    def write_bytes(self, data: bytes) -> None:
        """Send bytes as they are."""
        try:
            write_all(self.stdout, data)
        except BrokenPipeError:
            self.leave(0)

    async def ask(self, method: str, params: Json) -> Json:
        """Send a request to the client and return its result.

        Raises:
            RpcError: the client answered with an error.
        """
        self._questions += 1
        question = f"ask-{self._questions}"
        waiting = self._asked[question] = asyncio.get_running_loop().create_future()
        self.write({"jsonrpc": "2.0", "id": question, "method": method, "params": params})
        try:
            answer: Json = await waiting
        finally:
            del self._asked[question]
        if "error" in answer:
            raise RpcError(answer["error"]["code"], answer["error"]["message"])
        result: Json = answer["result"]
        return result

    def note_sleeper(self, pid: int) -> None:
        """Write down a child that is left behind, for whoever will end it."""
        complain(f"left behind: {pid}")
        if self._sleepers is not None:
            write_line(self._sleepers, str(pid))

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something that ends with the server at the latest."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _poll(self) -> None:
        if self._control is not None:
            self._control.poll()

    def _received(self, line: bytes) -> bool:
        """Serve one line; return whether a fault strikes it."""
        self._poll()
        try:
            message = json.loads(line)
        except ValueError:
            self.write(failure(None, RpcError(PARSE_ERROR, "Parse error")))
            return False
        if not is_message(message):
            self.write(failure(None, RpcError(INVALID_REQUEST, "Invalid request")))
            return False
        order = self.plan.due(message.get("method", "response"), message.get("params") or {})
        if order is None:
            self.serve_message(message)
            return False
        if order.fault.name == "wedged_stdin":
            # At once: further lines may have been read already.
            self._wedged = True
            if self._pause is not None:
                self._pause()
        self.spawn(self._act(self, order, message))
        return True

    def serve_message(self, message: Json) -> None:
        """Serve a message properly."""
        answer = self.answer(message)
        if answer is None:
            return
        if isinstance(answer, dict):
            self.write(answer)
            return
        request_id = message["id"]

        async def wait() -> None:
            self.write(await answer)

        task = self._running[request_id] = self.spawn(wait())
        task.add_done_callback(lambda _: self._running.pop(request_id, None))

    def answer(self, message: Json) -> Json | Coroutine[Any, Any, Json] | None:
        """Return the answer to a message, None where there is none, or what will return it."""
        method, params = message.get("method"), message.get("params") or {}
        if "id" not in message:
            self._notified(str(method), params)
            return None
        if method is None:
            waiting = self._asked.get(str(message["id"]))
            if waiting is not None and not waiting.done():
                waiting.set_result(message)
            return None
        if (error := self._refused(message)) is not None:
            return failure(message["id"], error)
        if method == "initialize":
            self.capabilities = params.get("capabilities") or {}
            self.core.audience.add(self.write)
        elif method == "logging/setLevel":
            self.level = params.get("level")
        return self.core.answer(message, PipePeer(self, message))

    def _refused(self, message: Json) -> RpcError | None:
        """Settle the era by the first request; return why a request does not belong to it."""
        params = message.get("params") or {}
        modern = is_modern(params) and message["method"] != "initialize"
        if self.era is None:
            self.era = "modern" if modern else "legacy"
        if self.era == "modern":
            if message["method"] == "initialize":
                return self.core.unsupported(params.get("protocolVersion"))
            return self.core.refuse(message, None)
        if modern and self.core.era == "dual":
            return RpcError(INVALID_REQUEST, "this connection serves the handshake era")
        return None

    def _notified(self, method: str, params: Json) -> None:
        which = params.get("requestId")
        if method != "notifications/cancelled" or not isinstance(which, str | int | float):
            return
        if (task := self._running.get(which)) is not None:
            # Never before its first step: what it was going to await would never be awaited.
            task.get_loop().call_soon(task.cancel)


def write_line(path: str, text: str) -> None:
    """Append a line to a file."""
    with open(path, "ab", buffering=0) as file:  # noqa: PTH123 - pathlib is not loaded by a server's start
        file.write(f"{text}\n".encode())


def complain(text: str) -> None:
    """Write a line to stderr."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - a server's stderr is its log
