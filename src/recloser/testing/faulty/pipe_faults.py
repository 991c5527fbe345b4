"""What the faults do over stdio."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping
from typing import Any, Final

from recloser.testing.faulty.deeds import DEEDS, Deed, Hit, encoded, garbage, pieces, spoiled
from recloser.testing.faulty.pipe import StdioServer, complain, write_all
from recloser.testing.faulty.plan import Order
from recloser.testing.faulty.protocol import success
from recloser.testing.faulty.work import Json

__all__ = ["STDIO_DEEDS", "act"]

_STDERR: Final = 2


class PipeHit(Hit):
    """A message that came over stdin, or the start of the server."""

    def __init__(self, server: StdioServer, order: Order, message: Json) -> None:
        super().__init__(order, message)
        self.server = server

    async def run(self) -> Json:
        """Serve the message, but keep the answer back."""
        answer = self.server.answer(self.message)
        if answer is None:
            return success(None, {})
        return answer if isinstance(answer, dict) else await answer

    async def send(self, answer: Json) -> None:
        """Send an answer as it should be sent; a notification has none."""
        if self.request_id is not None:
            self.server.write(answer)

    async def written(self) -> None:
        """Return at once: what is sent over a pipe has left when `send` returns."""

    def announce(self, method: str) -> None:
        """Send a notification to the client, if it listens."""
        self.server.core.announce(method)

    async def never(self) -> None:
        """Wait for the end of the server."""
        await asyncio.Event().wait()

    def leave(self) -> None:
        """End the process."""
        self.server.leave(int(self.order.number("code")))


async def act(server: StdioServer, order: Order, message: Json) -> None:
    """Let an order strike a message."""
    await STDIO_DEEDS[order.fault.name](PipeHit(server, order, message))


async def _slow_start(hit: PipeHit) -> None:
    if hit.message["method"] == "start":
        await asyncio.sleep(hit.order.number("delay"))
    else:
        # The start has waited already; over HTTP there is none.
        await hit.send(await hit.run())


async def _no_answer(hit: PipeHit) -> None:
    await hit.prepare()


async def _wedged(hit: PipeHit) -> None:
    await asyncio.sleep(hit.order.number("lives"))
    hit.leave()


async def _exit_at_start(hit: PipeHit) -> None:
    complain("cannot start: this server is meant to fail")
    hit.leave()


async def _crash_loop(hit: PipeHit) -> None:
    async def crash() -> None:
        await asyncio.sleep(hit.order.number("delay"))
        complain("crashed")
        hit.leave()

    hit.server.spawn(crash())


async def _forks_sleeper(hit: PipeHit) -> None:
    # Nothing to wait for: the server ends at once, and the child stays behind.
    child = os.posix_spawnp("sleep", ["sleep", hit.order.text("lives")], os.environ)  # noqa: ASYNC221 - see above
    hit.server.note_sleeper(child)
    hit.leave()


async def _ignores_eof(hit: PipeHit) -> None:
    hit.server.lives_after_eof = hit.order.number("lives")
    if hit.order.settings["term"]:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


async def _garbage(hit: PipeHit) -> None:
    await hit.prepare()
    hit.server.write_bytes(garbage(hit.order) + b"\n")


async def _banner(hit: PipeHit) -> None:
    answer = await hit.run()
    hit.server.write_bytes(garbage(hit.order) + b"\n\n{not json\n")
    await hit.send(answer)


async def _bad_byte(hit: PipeHit) -> None:
    hit.server.write_bytes(spoiled(await hit.run()) + b"\n")


async def _partial_line(hit: PipeHit) -> None:
    line = encoded(await hit.prepare()).encode()
    hit.server.write_bytes(line[: len(line) // 2])
    if hit.order.settings["exits"]:
        hit.server.leave(1)


async def _slow_drip(hit: PipeHit) -> None:
    line = encoded(await hit.run()).encode() + b"\n"
    async for piece in pieces(line, hit.order):
        hit.server.write_bytes(piece)


async def _stderr_flood(hit: PipeHit) -> None:
    answer = await hit.run()
    line = f"{hit.order.text('text')}\n".encode()
    write_all(_STDERR, line * (int(hit.order.number("bytes")) // len(line) + 1))
    await hit.send(answer)


STDIO_DEEDS: Final[Mapping[str, Deed[Any]]] = {
    **DEEDS,
    "slow_start": _slow_start,
    "no_answer": _no_answer,
    "wedged_stdin": _wedged,
    "exit_at_start": _exit_at_start,
    "crash_loop": _crash_loop,
    "forks_sleeper": _forks_sleeper,
    "ignores_eof": _ignores_eof,
    "garbage": _garbage,
    "banner": _banner,
    "bad_byte": _bad_byte,
    "partial_line": _partial_line,
    "slow_drip": _slow_drip,
    "stderr_flood": _stderr_flood,
}
"""What each fault does over stdio; flapping is settled before."""
