"""Whether anybody is there at the other end of one connection, and a new session where nobody is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

from opentelemetry.trace import SpanContext

from recloser.call import Call
from recloser.connection.supervisor import Connection
from recloser.errors import ErrorPayload, RouterError
from recloser.options import Server
from recloser.spans import current, detached

__all__ = ["Lookout"]

PROBE_FIRST: Final = 1.0
"""Seconds before a lost server is probed again; doubles up to thirty, with equal jitter."""

PROBE_CAP: Final = 30.0


class Lookout:
    """Looks for a sign of life over one connection whose calls fail, until there is one or nobody wants it any more.

    Written by `failed`, `look` and its own task, all on the loop.

    Args:
        connection: the one that is looked at.
        server: its options.
        probe: asks for a sign of life over it; raises if there is none, and may take for ever.
        wanted: whether it is still looked for after a look in vain.
        on_back: is called when it was gone and is back.
        rng: random numbers from 0 to 1, for the jitter of the waits.
    """

    def __init__(
        self,
        connection: Connection,
        server: Server,
        *,
        probe: Callable[[Connection, SpanContext | None], Awaitable[None]],
        wanted: Callable[[], bool],
        on_back: Callable[[], None],
        rng: Callable[[], float],
    ) -> None:
        self._connection = connection
        self._server = server
        self._probe = probe
        self._wanted = wanted
        self._on_back = on_back
        self._rng = rng
        self._failure: ErrorPayload | None = None
        # How many answers there had been at that failure.
        self._answers = 0
        # Calls that have waited in vain since the last answer: one that tries many times counts once.
        self._in_vain: set[str] = set()
        self._task: asyncio.Task[None] | None = None
        self._gone = False
        self._delay = PROBE_FIRST
        self._again = asyncio.Event()
        self._closed = False

    @property
    def suspected(self) -> bool:
        """Whether the connection's last word was a failure that speaks against the server."""
        return self._failure is not None and self._answers == self._connection.answers

    def failed(self, call: Call[Any], payload: ErrorPayload) -> None:
        """Hear of a failure that speaks against the server; many calls in a row without an answer begin a look.

        Whatever the circuit says: the answers that others get over connections of their own keep it closed.
        """
        self._failure = payload
        if self._answers != self._connection.answers:
            self._answers = self._connection.answers
            self._in_vain.clear()
        if payload.code == "timeout":
            self._in_vain.add(call.call_id)
            if len(self._in_vain) >= self._server.breaker.consecutive and not self._looking:
                self.look()

    @property
    def _looking(self) -> bool:
        return self._task is not None and not self._task.done()

    def look(self) -> None:
        """Begin to look for a sign of life, or begin anew; a look that is under way goes on, and ends in its time."""
        if self._closed:
            return
        # What never reached the server tells without any look that it was gone; what was seen in an earlier break says
        # nothing about this one.
        self._gone = self._failure is not None and self._failure.code == "unreachable"
        self._delay = PROBE_FIRST
        self._again.set()
        if not self._looking:
            self._task = asyncio.get_running_loop().create_task(
                self._look(current()), name=f"recloser:{self._server.name}:recovery", context=detached()
            )

    async def _look(self, cause: SpanContext | None) -> None:
        """Look until there is a sign of life.

        Only a server that was gone at protocol level can come back there: one that answers a probe while its calls
        fail waits for the break to end, or each probe would undo the break's growth.
        """
        while not await self._sign_of_life(cause):
            self._gone = True
            delay, self._delay = self._delay, min(self._delay * 2, PROBE_CAP)
            self._again.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(delay / 2 + delay / 2 * self._rng()):
                    await self._again.wait()
            if not self._wanted():
                return
        if self._gone:
            self._on_back()

    async def _sign_of_life(self, cause: SpanContext | None) -> bool:
        connection = self._connection
        answers, before = connection.answers, connection.waiting
        try:
            async with asyncio.timeout(self._server.timeouts.attempt):
                await self._answer(cause)
        except TimeoutError:
            # A server that does one thing at a time answers no probe while a tool runs: it may go on as long as it
            # answers anything, or somebody still waits for what it had begun before. Otherwise nobody gets an answer
            # over this session, and over a pipe only a new process can change that.
            if connection.answers == answers and not before & connection.waiting:
                self._in_vain.clear()
                connection.renew()
            return False
        except RouterError:
            return False
        self._in_vain.clear()
        return True

    async def _answer(self, cause: SpanContext | None) -> None:
        """Ask until there is an answer or an error: the SDK gives up its wait for some answers sooner than we do."""
        while True:
            try:
                await self._probe(self._connection, cause)
            except RouterError as error:
                if error.payload.code != "timeout":
                    raise
            else:
                return
            await asyncio.sleep(PROBE_FIRST)

    async def close(self) -> None:
        """Look no more, and close the connection."""
        self._closed = True
        task = self._task
        if task is not None:
            task.cancel()
        await self._connection.close()
        if task is not None:
            # Only now: a probe under way tells the server that it is given up, and a closed connection cannot stop it.
            await asyncio.wait({task})
