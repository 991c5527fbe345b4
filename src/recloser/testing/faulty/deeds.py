"""The faults that do not depend on the transport, and what every fault may use."""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar

from recloser.testing.faulty.plan import Order
from recloser.testing.faulty.protocol import failure, success
from recloser.testing.faulty.work import Json, RpcError, said

__all__ = ["DEEDS", "Deed", "Hit", "encoded", "garbage", "pieces", "spoiled"]

encoded: Final = json.JSONEncoder(separators=(",", ":")).encode


class Hit(ABC):
    """One message that a fault strikes, and what can be done with it."""

    def __init__(self, order: Order, message: Json) -> None:
        self.order = order
        self.message = message

    @property
    def request_id(self) -> object:
        """The message's JSON-RPC id; None for a notification and for HTTP's GET and DELETE."""
        return self.message.get("id")

    @abstractmethod
    async def run(self) -> Json:
        """Serve the message as if nothing were wrong, but keep the answer back."""

    async def prepare(self) -> Json:
        """Serve the message if the fault strikes after that; return the answer, or an empty one."""
        return await self.run() if self.order.executes else success(self.request_id, {})

    @abstractmethod
    async def send(self, answer: Json) -> None:
        """Send an answer as it should be sent."""

    @abstractmethod
    async def written(self) -> None:
        """Wait until what was sent has left this process, but not for ever."""

    @abstractmethod
    def announce(self, method: str) -> None:
        """Send a notification to everybody who listens, the sender of the message included."""

    @abstractmethod
    async def never(self) -> None:
        """Wait until the other side is gone."""

    @abstractmethod
    def leave(self) -> None:
        """End the server as a crash would, with the order's exit code."""


HitT = TypeVar("HitT", bound=Hit)
Deed = Callable[[HitT], Awaitable[None]]


def spoiled(answer: Json) -> bytes:
    """Return an answer with a byte in it that is not UTF-8."""
    return b'{"x":"\xff",' + encoded(answer).encode()[1:]


def garbage(order: Order) -> bytes:
    """Return the text of an order as it goes out: any text, half a character too."""
    return order.text("text").encode(errors="surrogatepass")


async def pieces(data: bytes, order: Order) -> AsyncIterator[bytes]:
    """Cut data into pieces, with a pause after each."""
    size = max(1, int(order.number("chunk")))
    for start in range(0, len(data), size):
        yield data[start : start + size]
        await asyncio.sleep(order.number("delay"))


async def _hang(hit: Hit) -> None:
    await hit.prepare()
    await hit.never()


async def _late(hit: Hit) -> None:
    answer = await hit.run()
    await asyncio.sleep(hit.order.number("delay"))
    await hit.send(answer)


async def _leave(hit: Hit) -> None:
    await hit.prepare()
    hit.leave()


async def _leave_later(hit: Hit) -> None:
    await hit.send(await hit.run())
    # The end of the process would cut off what has not left it yet.
    await hit.written()
    await asyncio.sleep(float(hit.order.settings.get("delay", 0)))
    hit.leave()


async def _malformed(hit: Hit) -> None:
    await hit.prepare()
    keys = ("content", "contents", "messages", "tools", "resources", "resourceTemplates", "prompts", "capabilities")
    await hit.send(success(hit.request_id, {"resultType": "complete", **dict.fromkeys(keys, "wrong")}))


async def _wrong_id(hit: Hit) -> None:
    answer = await hit.prepare()
    wrong = answer["id"] + 1_000_000 if isinstance(answer["id"], int) else f"not {answer['id']}"
    await hit.send({**answer, "id": wrong})


async def _duplicate(hit: Hit) -> None:
    answer = await hit.run()
    await hit.send(answer)
    await hit.send(answer)


async def _big(hit: Hit) -> None:
    answer = await hit.run()
    text = "x" * int(hit.order.number("bytes"))
    await hit.send(success(hit.request_id, {**answer.get("result", {}), **said(text)}))


async def _is_error(hit: Hit) -> None:
    answer = await hit.prepare()
    result = {"resultType": "complete", **answer.get("result", {}), **said(hit.order.text("text"), isError=True)}
    result.pop("structuredContent", None)
    await hit.send(success(hit.request_id, result))


async def _error(hit: Hit) -> None:
    if hit.order.executes:
        await hit.run()
    error = RpcError(int(hit.order.number("code")), hit.order.text("message"))
    await hit.send(failure(hit.request_id, error))


async def _endless(hit: Hit) -> None:
    # The pages themselves do not get on: it is always the first one.
    cursor = (hit.message.get("params") or {}).pop("cursor", "0")
    answer = await hit.run()
    answer.get("result", {})["nextCursor"] = str(int(cursor) + 1)
    await hit.send(answer)


async def _flood(hit: Hit) -> None:
    answer = await hit.run()
    for _ in range(int(hit.order.number("count"))):
        hit.announce(hit.order.text("method"))
    await hit.send(answer)


DEEDS: Final[Mapping[str, Deed[Any]]] = {
    "hang_initialize": _hang,
    "hang_list": _hang,
    "hang_call": _hang,
    "late_answer": _late,
    "exit_before_call": _leave,
    "exit_mid_call": _leave,
    "exit_after": _leave_later,
    "exit_idle": _leave_later,
    "malformed": _malformed,
    "wrong_id": _wrong_id,
    "duplicate": _duplicate,
    "big_answer": _big,
    "is_error_storm": _is_error,
    "jsonrpc_error": _error,
    "page_loss": _error,
    "endless_pages": _endless,
    "list_changed_flood": _flood,
}
