"""One connection to a fake server, as the server sees it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

import anyio
from anyio.lowlevel import checkpoint
from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCError, JSONRPCNotification, JSONRPCRequest, JSONRPCResponse, jsonrpc_message_adapter

from recloser.testing.faulty.work import Json, RpcError

__all__ = ["Line", "Writing"]


class Line:
    """One connection; its messages are handed over in the moment in which they are written.

    Written by the client's writes, by the server, and by the connection's end.
    """

    def __init__(self, number: int, received: Callable[[Line, JSONRPCRequest | JSONRPCNotification], None]) -> None:
        self.number = number
        """The how manieth of its server, from 1."""
        self.capabilities: Mapping[str, Any] = {}
        self.ended = False
        self.leave: list[Callable[[], None]] = []
        """What is called when the connection ends."""
        self._received = received
        self._asked: dict[object, asyncio.Future[Json]] = {}
        self._sender, self.reading = anyio.create_memory_object_stream[SessionMessage | Exception](math.inf)
        self.writing = Writing(self)

    def write(self, message: Json) -> None:
        """Send a message to the client; without effect when the connection has ended, as in life."""
        if not self.ended:
            self._sender.send_nowait(SessionMessage(jsonrpc_message_adapter.validate_python(message)))

    def notify(self, method: str, params: Json) -> None:
        """Send a notification."""
        self.write({"jsonrpc": "2.0", "method": method, "params": params})

    async def ask(self, method: str, params: Json) -> Json:
        """Send a request to the client and return its result.

        Raises:
            RpcError: the client answered with an error.
            ConnectionError: the connection ended before it did.
        """
        question = f"ask-{self.number}-{len(self._asked) + 1}"
        waiting = self._asked[question] = asyncio.get_running_loop().create_future()
        self.write({"jsonrpc": "2.0", "id": question, "method": method, "params": params})
        result: Json = await waiting
        return result

    def take(self, message: Any) -> None:
        """Take a message of the client."""
        if isinstance(message, JSONRPCRequest | JSONRPCNotification):
            self._received(self, message)
            return
        waiting = self._asked.get(message.id)
        if waiting is None or waiting.done():
            return
        if isinstance(message, JSONRPCError):
            waiting.set_exception(RpcError(message.error.code, message.error.message, message.error.data))
        else:
            assert isinstance(message, JSONRPCResponse)
            waiting.set_result(message.result)

    def end(self) -> None:
        """End the connection: the client reads no more and can write no more; without effect when it has ended."""
        if self.ended:
            return
        self.ended = True
        self._sender.close()
        for leave in self.leave:
            leave()
        for waiting in self._asked.values():
            if not waiting.done():
                waiting.set_exception(ConnectionError("the connection has ended"))

    def close(self) -> None:
        """End the connection for good."""
        self.end()
        self.reading.close()


class Writing:
    """The stream that the client writes to."""

    def __init__(self, line: Line) -> None:
        self._line = line

    async def send(self, item: SessionMessage, /) -> None:
        """Hand a message over.

        Raises:
            anyio.BrokenResourceError: the connection has ended.
        """
        await checkpoint()
        if self._line.ended:
            raise anyio.BrokenResourceError
        self._line.take(item.message)

    async def aclose(self) -> None:
        """End the connection."""
        self._line.end()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
