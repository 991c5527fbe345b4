"""A connection: the generations of one session with one server, one after the other, by one supervisor task."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from typing import Any, Final

import mcp_types as types
from opentelemetry.trace import SpanContext

from recloser.call import Call
from recloser.catalog import Listing
from recloser.classify import classify
from recloser.connection.asks import Callbacks
from recloser.connection.generation import Generation
from recloser.errors import RouterError, error_for, error_from
from recloser.events import ConnectionState, Emitter
from recloser.observer import Observer
from recloser.options import Era, Server
from recloser.spans import Background, current, detached

__all__ = ["Connection"]

BACKOFF: Final = 0.1
"""Seconds of the first wait before a reconnect; doubles, with equal jitter: half of it is random."""

BACKOFF_CAP: Final = 30.0

STABLE: Final = 5.0
"""Seconds that a generation must have lived for its end not to count as part of a crash loop."""

CRASHES: Final = 3
"""Processes in a row that were well and ended within `STABLE`; then the start of the next one is put off."""

REST: Final = 2.0
"""Times what the start took, for which the next one is put off, even if a call waits for it: so a server that ends
after every call, whose calls succeed and open no circuit, takes a third of a core from its neighbours at the most."""

REST_CAP: Final = 5.0

MARGIN: Final = 2.0
"""Seconds that closing may take beyond what the transport is given: for a loop that lags."""

_UNANSWERED: Final = frozenset({"timeout", "unreachable", "connection_lost", "cannot_start", "internal"})
"""What fails without a word of the server."""

_log = logging.getLogger("recloser")


class Connection:
    """One session with one server, kept up.

    Written by its supervisor task and by `close`. Calls come from any task of the loop.
    """

    def __init__(
        self,
        server: Server,
        callbacks: Callbacks,
        *,
        on_change: Callable[[ConnectionState, RouterError | None], None],
        on_listing: Callable[[Listing], None],
        on_stderr: Callable[[str], None],
        rng: Callable[[], float] = random.random,
        observer: Observer | None = None,
        generations: Iterator[int] | None = None,
    ) -> None:
        self._server = server
        self._callbacks = callbacks
        self._on_change = on_change
        self._on_listing = on_listing
        self._on_stderr = on_stderr
        self._rng = rng
        self._observer = Observer(emit=Emitter(())) if observer is None else observer
        # The span that the next try to connect is made for, if a call waits for it.
        self._cause: SpanContext | None = None
        self._background: Background | None = None
        self._ready_at: float | None = None
        self._era: Era = server.era
        # Whether that is only what silence suggests, or a refusal after it, so that a failure makes it void.
        self._guessed = False
        self._current: Generation | None = None
        # One that takes calls and is not ready, since its lists have not come yet.
        self._early: Generation | None = None
        # What callers wait for: a usable generation, or why there is none. A result either way, since an exception that
        # many of them raise would collect all their tracebacks. By whether they need its lists.
        self._opening: dict[bool, asyncio.Future[Generation | RouterError]] = {}
        self._kick = asyncio.Event()
        self._owners: dict[asyncio.Task[None], Generation] = {}
        # Attempts under way, added and removed by `send`; one that was given up stays until its task has ended.
        self._sending: set[asyncio.Task[Any]] = set()
        self.answers = 0
        """How many attempts the server has answered, with whatever it was."""
        self._supervisor: asyncio.Task[None] | None = None
        self._closed = False
        self._generations = count(1) if generations is None else generations
        self.state: ConnectionState = "idle"
        self.number = 0
        """The number of its last generation; 0 before the first."""
        self.error: RouterError | None = None
        """Why the last generation could not be opened."""
        self.lasted: float | None = None
        """Seconds that the session was ready that has just ended; None at every other change."""
        self.pid: int | None = None
        self.protocol_version: str | None = None

    def start(self) -> None:
        """Begin to connect, and keep the connection up from now on."""
        if self._supervisor is None and not self._closed:
            supervisor = asyncio.get_running_loop().create_task(
                self._supervise(), name=f"recloser:{self._server.name}:supervisor", context=detached()
            )
            supervisor.add_done_callback(self._supervisor_done)
            self._supervisor = supervisor

    # --- calls

    @property
    def waiting(self) -> frozenset[asyncio.Task[Any]]:
        """The attempts under way whose callers still wait."""
        return frozenset(task for task in self._sending if not task.cancelling())

    async def send(self, call: Call[Any]) -> Any:
        """Send one attempt, over a connection that is up or comes up in time.

        Raises:
            RouterError: whatever went wrong, classified.
        """
        task = asyncio.current_task()
        assert task is not None
        self._sending.add(task)
        try:
            result = await self._sent(call)
        except RouterError as error:
            if error.payload.code not in _UNANSWERED:
                self.answers += 1
            raise
        finally:
            self._sending.discard(task)
        self.answers += 1
        return result

    async def _sent(self, call: Call[Any]) -> Any:
        """Send it, and once more over a new session if it was refused because the server has lost ours.

        It provably did not run.
        """
        generation = self._current
        if generation is None or not generation.usable:
            generation = await self.ready(listed=False)
        try:
            return await generation.send(call)
        except RouterError as error:
            refused = error.payload.code == "connection_lost" and error.payload.delivered == "no"
            if not (generation.lost and refused):
                raise
        call.trail.sent = False
        return await (await self.ready(listed=False)).send(call)

    async def probe(self, *, hurry: bool = True) -> None:
        """Connect if need be, and ask the server for a sign of life at protocol level.

        Without `hurry` the next try to connect comes when it is due, or a server that dies of its calls would be
        started again as often as they come.

        Raises:
            RouterError: there was none.
        """
        generation = self._current
        if generation is None or not generation.usable:
            await self.ready(hurry=hurry, listed=False)  # opening one is a probe in itself
        else:
            await generation.probe()

    async def ready(self, *, hurry: bool = True, listed: bool = True) -> Generation:
        """Return a usable generation: the current one, or the one that the running or next try to connect makes.

        With `hurry` a next try comes at once. Without `listed` one is enough that takes calls while its lists are long
        in coming.

        Raises:
            RouterError: that try failed, or its lists did not come in time; every waiter gets an error of its own.
        """
        generation = self._current if listed else self._current or self._early
        if generation is not None and generation.usable:
            return self._listed(generation) if listed else generation
        if self._closed:
            raise self._closed_error()
        opening = self._opening.get(listed)
        if opening is None:
            opening = self._opening[listed] = asyncio.get_running_loop().create_future()
        self.start()
        if hurry:
            self._cause = current() or self._cause
            self._kick.set()
        outcome = await asyncio.shield(opening)
        if isinstance(outcome, RouterError):
            raise error_from(outcome.payload, outcome.evidence) from outcome
        return self._listed(outcome) if listed else outcome

    @staticmethod
    def _listed(generation: Generation) -> Generation:
        unlisted = generation.unlisted
        if unlisted is not None:
            raise error_from(unlisted.payload, unlisted.evidence) from unlisted
        return generation

    def _closed_error(self) -> RouterError:
        name = self._server.name
        return error_for("unreachable", f"the connection to server {name!r} is closed", server=name, evidence=False)

    # --- the supervisor

    async def _supervise(self) -> None:
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            began = loop.time()
            generation = self._open()
            if await self._opened(generation):
                born = loop.time()
                await generation.over.wait()
                self._current = None
                if generation.error is not None:
                    self.error = generation.error
                self._tell("connecting", generation.error)
                if loop.time() - born >= STABLE:
                    failures = 0
                    continue
                failures += 1
                if generation.lost and failures == 1:
                    continue  # the server is well and has only forgotten us
                if self._server.command is not None and failures >= CRASHES:
                    await asyncio.sleep(min(REST_CAP, REST * (born - began)))
            elif generation.era != self._era:
                # It stayed silent when asked for its era: that is remembered if it proves right, and costs no back-off.
                self._era, self._guessed = generation.era, True
                continue
            else:
                failures += 1
                self._suppose(newer=_speaks_newer(self.error))
            await self._back_off(failures)

    def _suppose(self, *, newer: bool) -> None:
        """Choose the era of the next try after one has failed."""
        if newer and self._guessed and self._era == "legacy":
            # It was silent since it is slow to start. Asked for its era it would be silent again.
            self._era = "modern"
        elif newer or self._guessed:
            # It was silent for another reason, or has been replaced by one of the other era: it is asked again.
            self._era, self._guessed = self._server.era, False

    def _open(self) -> Generation:
        self.number = next(self._generations)
        spans, server = self._observer.spans, self._server
        cause, self._cause = self._cause, None
        background = spans.background("recloser.connect", server, cause, generation=self.number)
        self._background = background
        generation = Generation(
            self.number,
            self._server,
            self._era,
            self._callbacks,
            on_listing=self._on_listing,
            on_stderr=self._on_stderr,
            observer=self._observer,
            on_admitted=self._admit,
            opening=background.within,
        )
        owner = generation.start()
        self._owners[owner] = generation
        owner.add_done_callback(self._owner_done)
        self._tell("connecting", None)
        return generation

    def _owner_done(self, owner: asyncio.Task[None]) -> None:
        generation = self._owners.pop(owner)
        if not owner.cancelled() and (error := owner.exception()) is not None:
            kind = type(error).__name__
            _log.error("server %s: generation %d ended in %s", self._server.name, generation.number, kind)

    def _supervisor_done(self, supervisor: asyncio.Task[None]) -> None:
        """Leave nobody waiting when the supervisor ends, also if it fails in a way that nobody has foreseen."""
        self._supervisor = None
        self._end_background(None)
        outcome = self._closed_error()
        if not supervisor.cancelled() and (error := supervisor.exception()) is not None:
            _log.error("server %s: its supervisor failed", self._server.name, exc_info=error)
            outcome = classify(error, server=self._server.name, sent=False)
            self._current = None
            for generation in self._owners.values():
                generation.retire()
        self._resolve(outcome)

    async def _opened(self, generation: Generation) -> bool:
        error = await asyncio.shield(generation.ready)
        self._end_background(error)
        if error is not None:
            if self._guessed and self._era == "legacy" and _speaks_newer(error):
                # It keeps to its era; what went wrong is that it stayed silent when it was asked for that.
                name, cause = self._server.name, error.payload.cause
                error = error_for("unreachable", f"server {name!r} did not answer; try again later", server=name)
                error.annotate(cause=cause)
            self.error = error
            if generation.era == self._era:
                self._tell("failed", error)
                self._resolve(error)
            return False
        # The handshake proves its era; one that is modern by its own word may be replaced by an older one.
        self._guessed = self._guessed and self._era == "modern"
        self.pid = generation.pid
        self.protocol_version = generation.protocol_version
        self._current = generation
        self._tell("ready", None)
        self._resolve(generation)
        return True

    def _end_background(self, error: RouterError | None) -> None:
        background, self._background = self._background, None
        if background is not None:
            background.end(None if error is None else error.payload.code)

    def _admit(self, generation: Generation) -> None:
        """Let the calls go on that wait for a generation whose lists are long in coming."""
        self._early = generation
        opening = self._opening.pop(False, None)
        if opening is not None:
            opening.set_result(generation)

    def _resolve(self, outcome: Generation | RouterError) -> None:
        """Answer all who wait. What they have kicked for is done: a kick that comes later is for the next try."""
        self._kick.clear()
        self._early = None
        waiting, self._opening = self._opening, {}
        for opening in waiting.values():
            opening.set_result(outcome)

    async def _back_off(self, failures: int) -> None:
        """Wait before the next try; a call that needs the connection ends the wait."""
        base = min(BACKOFF_CAP, BACKOFF * 2 ** min(failures - 1, 16))
        with suppress(TimeoutError):
            async with asyncio.timeout(base / 2 + base / 2 * self._rng()):
                await self._kick.wait()

    def _tell(self, state: ConnectionState, error: RouterError | None) -> None:
        self.state = state
        now = asyncio.get_running_loop().time()
        self.lasted = None if self._ready_at is None else now - self._ready_at
        self._ready_at = now if state == "ready" else None
        self._on_change(state, error)

    # --- the end

    def renew(self) -> None:
        """Give up a session that answers nothing any more, and its calls with it; the next one is opened at once."""
        if self._current is not None:
            self._current.retire(silent=True)

    async def close(self) -> None:
        """Close for good; returns when nothing is left, or when what is left has had its time."""
        self._closed = True
        waiting: set[asyncio.Task[None]] = set(self._owners)
        if self._supervisor is not None:
            waiting.add(self._supervisor)
            self._supervisor.cancel()
        self._resolve(self._closed_error())
        self._current = None
        for generation in tuple(self._owners.values()):
            generation.retire()
        if waiting:
            _, left = await asyncio.wait(waiting, timeout=self._server.timeouts.shutdown + MARGIN)
            for owner in left:
                _log.error("server %s: %s did not end in time", self._server.name, owner.get_name())
        if self.state != "closed":
            self._tell("closed", None)


def _speaks_newer(error: RouterError | None) -> bool:
    """Return whether a server refused the handshake because it is of the stateless era."""
    cause = None if error is None else error.payload.cause
    return cause is not None and cause.jsonrpc_code == types.UNSUPPORTED_PROTOCOL_VERSION
