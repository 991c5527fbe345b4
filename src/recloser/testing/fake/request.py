"""One request that a fake server got, and what a test does with it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from mcp_types import JSONRPCRequest
from pydantic import BaseModel

from recloser.testing.fake.answers import failure_of, plain, result_of, was_executed
from recloser.testing.fake.line import Line
from recloser.testing.faulty.protocol import failure, is_modern, stamped, success

__all__ = ["Request"]

_SHOWN = 200
"""Characters of a request's arguments that a message shows."""


class Request:
    """One request; answered, failed or held by the test, once.

    Written by its own methods, and by its server when the client cancels it.
    """

    def __init__(self, line: Line, message: JSONRPCRequest) -> None:
        self.method = message.method
        """The MCP method, such as `tools/call`."""
        self.params: dict[str, Any] = message.params or {}
        """All its parameters, `_meta` too."""
        self.id = message.id
        self.connection = line.number
        """Over which connection to the server it came, from 1."""
        self.at = asyncio.get_running_loop().time()
        """When it came, in seconds of the loop's clock."""
        self.modern = is_modern(self.params)
        """Whether it is one of the stateless era."""
        self.held = False
        """Whether it is meant to have no answer, or a late one."""
        self.answered = False
        """Whether it was answered, with a result or an error."""
        self.executed = True
        """Whether the tool counts as run: false once the request was refused before that."""
        self._line = line
        self._gone = asyncio.Event()

    @property
    def name(self) -> str:
        """What it is about: a tool's or prompt's name, a resource's URI."""
        return str(self.params.get("name", self.params.get("uri", "")))

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of a tool or prompt."""
        return dict(self.params.get("arguments") or {})

    @property
    def meta(self) -> dict[str, Any]:
        """Its `_meta`."""
        return dict(self.params.get("_meta") or {})

    @property
    def label(self) -> str:
        """What tells its call from others: the argument `text`, or else all arguments as JSON."""
        given = self.arguments
        return str(given["text"]) if "text" in given else json.dumps(given, sort_keys=True)

    @property
    def cancelled(self) -> bool:
        """Whether the client has said that it waits no more, or has ended the connection."""
        return self._gone.is_set()

    def __str__(self) -> str:
        arguments = json.dumps(self.params.get("arguments", {}), sort_keys=True)
        if len(arguments) > _SHOWN:
            arguments = f"{arguments[:_SHOWN]}…"
        return f"{self.method} {self.name!r} {arguments} at {self.at:g} s over connection {self.connection}"

    def __repr__(self) -> str:
        state = "answered" if self.answered else "held" if self.held else "open"
        return f"<Request {self}, {state}>"

    # --- what a test does with it

    def answer(
        self,
        text: str = "",
        *,
        structured: Mapping[str, Any] | None = None,
        is_error: bool = False,
        raw: Mapping[str, Any] | BaseModel | None = None,
    ) -> None:
        """Answer with a result; it goes nowhere if the client has gone.

        Args:
            text: What a tool, prompt or resource says, or the one value of a completion.
            structured: A tool's structured content.
            is_error: Whether the tool says that it failed.
            raw: The whole result as it goes over the wire, or as one of the SDK's models, instead of all that.

        Raises:
            RuntimeError: the request has been answered.
        """
        self._once()
        if raw is not None:
            result = plain(raw)
        else:
            result = result_of(self.method, self.name, text, structured=structured, is_error=is_error)
        self._line.write(success(self.id, stamped(self.method, result) if self.modern else result))

    def fail(
        self,
        code: int | str = -32603,
        message: str = "failed on purpose",
        *,
        data: Any = None,
        retry_after: float | None = None,
    ) -> None:
        """Answer with an error.

        Args:
            code: A code of JSON-RPC, or one of the error table that a server can cause, such as `overloaded`: the
                router then sees what it sees over HTTP.
            message: The error's text, which recloser shows nobody.
            data: The error's data.
            retry_after: Seconds after which the server says that trying again makes sense; with a code of the table.

        Raises:
            RuntimeError: the request has been answered.
            ValueError: no server causes the code.
        """
        error = failure_of(code, message, data, retry_after)
        self._once()
        self.executed = was_executed(code)
        self._line.write(failure(self.id, error))

    def hold(self) -> Request:
        """Leave it without an answer, on purpose; it may be answered later. Returns the request."""
        self.held = True
        return self

    def progress(self, progress: float, total: float | None = None, message: str | None = None) -> None:
        """Tell the client how far it is.

        Raises:
            RuntimeError: the client has asked for no progress.
        """
        token = self.meta.get("progressToken")
        if token is None:
            raise RuntimeError(f"the client has asked for no progress of {self}")
        told = {"progressToken": token, "progress": progress, "total": total, "message": message}
        known = {name: value for name, value in told.items() if value is not None}
        self._line.notify("notifications/progress", known)

    async def ask(self, method: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Ask the client something while it waits (`sampling/createMessage`, `roots/list`, …); return its result.

        Only in the handshake era; in the stateless one, answer with `raw={"resultType": "input_required", …}`.

        Raises:
            recloser.testing.faulty.work.RpcError: the client refused.
            ConnectionError: the connection ended first.
        """
        return await self._line.ask(method, dict(params or {}))

    async def until_cancelled(self, timeout: float = 5.0) -> None:
        """Wait until the client waits no more.

        Raises:
            AssertionError: it still does after `timeout` seconds of the loop.
        """
        try:
            async with asyncio.timeout(timeout):
                await self._gone.wait()
        except TimeoutError:
            raise AssertionError(f"was not cancelled within {timeout:g} s: {self}") from None

    def cancel(self) -> None:
        """Note that the client waits no more; called by the server."""
        self._gone.set()

    def _once(self) -> None:
        if self.answered:
            raise RuntimeError(f"was answered already: {self}")
        self.answered = True
