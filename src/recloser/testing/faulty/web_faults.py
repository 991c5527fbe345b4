"""What the faults do over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any, Final

from recloser.testing.faulty.connection import Exchange
from recloser.testing.faulty.deeds import DEEDS, Deed, Hit, encoded, garbage, pieces, spoiled
from recloser.testing.faulty.faults import STATUSES
from recloser.testing.faulty.plan import Order
from recloser.testing.faulty.protocol import failure, success
from recloser.testing.faulty.web import HttpServer, Refused
from recloser.testing.faulty.work import Json, RpcError

__all__ = ["HTTP_DEEDS", "act"]

_SERVER_ERROR: Final = -32000
_COMMENT_EVERY: Final = 0.5
READERS: Final = 5.0
"""Seconds that a server which is about to exit gives its clients to read what it has answered."""


class HttpHit(Hit):
    """A message that came by HTTP."""

    def __init__(self, server: HttpServer, order: Order, exchange: Exchange, message: Json) -> None:
        super().__init__(order, message)
        self.server = server
        self.exchange = exchange

    async def run(self) -> Json:
        """Serve the message, but keep the answer back."""
        answer = self.server.serve(self.exchange, self.message)
        if answer is not None and not isinstance(answer, dict):
            answer = await answer
        return success(None, {}) if answer is None else answer

    async def send(self, answer: Json) -> None:
        """Send an answer as it should be sent; a second one follows the first on an event stream."""
        if self.order.fault.name == "duplicate" and self.exchange.state == "open":
            self.exchange.event(answer)
        elif self.request_id is None:
            self.server.finish(self.exchange, None)
        else:
            self.server.finish(self.exchange, answer)

    async def written(self) -> None:
        """Wait until the answers to all calls have left, or for `READERS` seconds where a client does not read."""
        unread = [connection.written.wait() for connection in self.server.connections]
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*unread), READERS)

    def announce(self, method: str) -> None:
        """Send a notification on all streams, and where there are none, on that of the request."""
        if self.server.core.audience or self.exchange.headers.get("mcp-method"):
            self.server.core.announce(method)
        else:
            self.exchange.event({"jsonrpc": "2.0", "method": method, "params": {}})

    async def never(self) -> None:
        """Wait until the client has closed the connection."""
        await self.exchange.connection.gone.wait()

    def leave(self) -> None:
        """End the server."""
        self.server.leave(int(self.order.number("code")))

    def drop(self, *, reset: bool) -> None:
        """End the connection."""
        self.exchange.connection.drop(reset=reset)


async def act(server: HttpServer, order: Order, exchange: Exchange, message: Json) -> None:
    """Let an order strike a message; what could not be served anyway is refused as ever."""
    try:
        await HTTP_DEEDS[order.fault.name](HttpHit(server, order, exchange, message))
    except Refused as refused:
        server.refuse(exchange, message.get("id"), refused)


async def _serve(hit: HttpHit) -> None:
    await hit.send(await hit.run())


async def _slow_start(hit: HttpHit) -> None:
    served_from = hit.server.opened + hit.order.number("delay")
    await asyncio.sleep(served_from - asyncio.get_running_loop().time())
    await _serve(hit)


async def _no_answer(hit: HttpHit) -> None:
    await hit.prepare()
    while not hit.exchange.connection.gone.is_set():
        hit.exchange.chunk(b": still here\r\n\r\n")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(hit.exchange.connection.gone.wait(), _COMMENT_EVERY)


async def _never(hit: HttpHit) -> None:
    await hit.never()


async def _garbage(hit: HttpHit) -> None:
    await hit.prepare()
    hit.exchange.respond(200, garbage(hit.order), hit.order.text("content_type"))


async def _bad_byte(hit: HttpHit) -> None:
    hit.exchange.respond(200, spoiled(await hit.run()))


async def _accepted(hit: HttpHit) -> None:
    await hit.prepare()
    hit.exchange.respond(202)


async def _sse_cut(hit: HttpHit) -> None:
    await hit.prepare()
    hit.exchange.stream()
    if hit.order.settings["event_id"]:
        hit.exchange.event({}, event_id=hit.server.new_id("event"))
    hit.exchange.end()


async def _reset(hit: HttpHit) -> None:
    await hit.prepare()
    hit.drop(reset=True)


async def _close(hit: HttpHit) -> None:
    await hit.prepare()
    hit.drop(reset=False)


async def _truncated(hit: HttpHit) -> None:
    body = encoded(await hit.prepare()).encode()
    hit.exchange.respond(200, body[: len(body) // 2], length=len(body))
    hit.drop(reset=False)


async def _slow_drip(hit: HttpHit) -> None:
    body = encoded(await hit.run()).encode()
    hit.exchange.respond(200, b"", length=len(body))
    async for piece in pieces(body, hit.order):
        hit.exchange.connection.write(piece)


async def _status(hit: HttpHit) -> None:
    await hit.prepare()
    status = int(hit.order.settings.get("status") or hit.order.fault.name.removeprefix("status_"))
    for name, header in (("retry_after", "retry-after"), ("www_authenticate", "www-authenticate")):
        if value := hit.order.settings.get(name):
            hit.exchange.out[header] = str(value)
    text = f"the server answers {status}"
    if hit.order.settings["rpc"]:
        body = encoded(failure(hit.request_id, RpcError(_SERVER_ERROR, text))).encode()
        hit.exchange.respond(status, body)
    else:
        hit.exchange.respond(status, text.encode(), "text/plain")


async def _redirect(hit: HttpHit) -> None:
    await hit.prepare()
    hit.exchange.out["location"] = hit.order.text("location")
    hit.exchange.respond(int(hit.order.number("status")))


async def _session_lost(hit: HttpHit) -> None:
    hit.server.forget_sessions()
    if hit.order.settings["rpc"] or hit.message.get("method") == "initialize":
        await _serve(hit)
    else:
        hit.exchange.respond(404)


async def _restart(hit: HttpHit) -> None:
    await hit.server.restart(hit.order.number("down"))


async def _token_expiry(hit: HttpHit) -> None:
    token = hit.exchange.headers.get("authorization", "")
    if token == hit.server.lost_tokens.setdefault(hit.order.serial, token):
        hit.exchange.out["www-authenticate"] = hit.order.text("www_authenticate")
        hit.exchange.respond(401, b"token expired", "text/plain")
    else:
        await _serve(hit)


HTTP_DEEDS: Final[Mapping[str, Deed[Any]]] = {
    **DEEDS,
    "slow_start": _slow_start,
    "no_answer": _no_answer,
    "notify_hang": _never,
    "delete_hang": _never,
    "garbage": _garbage,
    "bad_byte": _bad_byte,
    "accepted": _accepted,
    "sse_cut": _sse_cut,
    "reset": _reset,
    "close": _close,
    "truncated": _truncated,
    "slow_drip": _slow_drip,
    **{f"status_{status}": _status for status in STATUSES},
    "status": _status,
    "redirect": _redirect,
    "session_lost": _session_lost,
    "restart": _restart,
    "token_expiry": _token_expiry,
}
"""What each fault does over HTTP; flapping is settled before."""
