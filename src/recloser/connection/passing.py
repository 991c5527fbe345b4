"""What passes between an SDK session and its transport: told to the call that it is of, and put right on its way."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Final, Self

import anyio
from mcp.client import ClientSession
from mcp.shared.dispatcher import CallOptions, OnNotify, OnRequest
from mcp.shared.jsonrpc_dispatcher import JSONRPCDispatcher
from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCRequest
from mcp_types.methods import parse_server_notification
from mcp_types.version import LATEST_HANDSHAKE_VERSION
from pydantic import ValidationError

from recloser.call import Call, Trail
from recloser.connection.sound import sound
from recloser.options import Server
from recloser.spans import names_current
from recloser.transport.asked import LEAVE, Leaving
from recloser.transport.readable import plain

__all__ = ["UNTOLD", "Dispatcher", "Plain", "Sending"]

_log = logging.getLogger("recloser")

UNTOLD: Final[Mapping[str, frozenset[str]]] = {
    "none": frozenset({"traceparent", "tracestate", "baggage"}),
    "trace": frozenset({"baggage"}),
    "trace+baggage": frozenset(),
}
"""What a server is not told, by `Server.propagate`."""


class Sending:
    """A write stream that notes in the trail of a call of this session whether its request went out.

    The SDK turns a refused write and an answer that never came into the same error; what was never written may be sent
    again whatever it does, the other not. Over HTTP a message that was taken is not out yet, since there may be no
    connection: our client asks before the request leaves. What the SDK has written into the request of the trace, and
    the server is not to be told, is taken out again.
    """

    def __init__(
        self, inner: Any, sending: Callable[[], Call[Any] | None], *, untold: frozenset[str], asks: bool
    ) -> None:
        self._inner = inner
        self._sending = sending
        self._untold = untold
        self._asks = asks

    async def send(self, item: SessionMessage, /) -> None:
        """Hand a message on to the transport."""
        _leave_out(item, self._untold)
        call = self._sending()
        if call is None or not isinstance(item.message, JSONRPCRequest):
            await self._hand_on(item, None)
            return
        trail = call.trail
        trail.sent = trail.begun or not self._asks
        trail.headers = getattr(item.metadata, "headers", None) or {}
        try:
            await self._hand_on(item, _leaving(call.trail))
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            trail.sent = trail.begun
            raise

    async def _hand_on(self, item: SessionMessage, leaving: Leaving | None) -> None:
        # Set for every message: a request may be made in the context of another, to which this would belong.
        outer = LEAVE.set(leaving)
        try:
            await self._inner.send(item)
        finally:
            LEAVE.reset(outer)

    async def aclose(self) -> None:
        """Close the transport's stream."""
        await self._inner.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        await self.aclose()


def _leaving(trail: Trail) -> Leaving:
    """Return what our client asks before the request of the current attempt leaves, and tells if it was refused.

    An attempt that has been given up was told to have sent nothing, and may be made anew: from then on it must not.
    """
    attempt = asyncio.current_task()
    assert attempt is not None

    def may() -> bool:
        if attempt.done() or attempt.cancelling():
            return False
        trail.sent = True
        return True

    def back() -> None:
        if not attempt.done() and not attempt.cancelling():
            trail.sent = trail.begun

    return Leaving(may, back)


def _leave_out(item: SessionMessage, untold: frozenset[str]) -> None:
    params = getattr(item.message, "params", None)
    meta = params.get("_meta") if params else None
    if not isinstance(meta, dict):
        return
    for key in untold & meta.keys():
        del meta[key]
    # The SDK writes the ids of the span in force, and a state only where that has one: a caller's would be left.
    if "tracestate" in meta and names_current(meta.get("traceparent")):
        del meta["tracestate"]


class Dispatcher(JSONRPCDispatcher[Any]):
    """The SDK's dispatcher, that also says when its peer's stream has ended, and hands on only what is sound."""

    ended: asyncio.Event
    server: Server
    session: ClientSession

    async def send_raw_request(
        self, method: str, params: Mapping[str, Any] | None, opts: CallOptions | None = None, **more: Any
    ) -> dict[str, Any]:
        """Return a result in which nothing is unreadable."""
        if opts and self.session.protocol_version is None:
            # The SDK gives its first question ten seconds, however long the start may take, which is limited already.
            opts.pop("timeout", None)
        answer = await super().send_raw_request(method, params, opts, **more)
        if self.server.kind in ("transport", "in_process"):
            answer = plain(answer)  # our own transports see to it where they read bytes
        version = self.session.protocol_version or LATEST_HANDSHAKE_VERSION
        return sound(self.server.name, method, version, answer)

    async def run(self, on_request: OnRequest, on_notify: OnNotify, *args: Any, **kwargs: Any) -> None:
        """Read until the peer's stream ends."""

        async def notified(context: Any, method: str, params: Mapping[str, Any] | None) -> None:
            if self._takes(method, params):
                await on_notify(context, method, params)

        try:
            await super().run(on_request, notified, *args, **kwargs)
        finally:
            self.ended.set()

    def _takes(self, method: str, params: Mapping[str, Any] | None) -> bool:
        """Return whether the SDK's session can read a notification; what it cannot, it would quote in the log."""
        try:
            parse_server_notification(method, self.session.protocol_version or LATEST_HANDSHAKE_VERSION, params)
        except KeyError:
            return True  # unknown to this version, which the SDK passes over
        except ValidationError:
            _log.debug("a %s of server %s is no such notification, and is left out", method, self.server.name)
            return False
        return True


class Plain:
    """The dispatcher of a server in this process, whose values never were bytes, without halves of characters."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def send_raw_request(self, *args: Any, **kwargs: Any) -> Any:
        """Return a result without halves of characters."""
        return plain(await self._inner.send_raw_request(*args, **kwargs))
