"""One named server: its endpoints, the choice between them, and the pipeline of its calls."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import count
from typing import Any, Final

from recloser.call import Call, CallNext
from recloser.catalog import Listing
from recloser.connection import Callbacks
from recloser.endpoint import Endpoint
from recloser.errors import RouterError, error_for
from recloser.events import CircuitState, ConnectionState
from recloser.health import ServerHealth
from recloser.metrics import Reading
from recloser.observer import Observer
from recloser.options import Server
from recloser.pipeline import compose
from recloser.policies.budget import RetryBudget
from recloser.policies.deadline import TotalDeadline
from recloser.policies.retry import Retrying

__all__ = ["Upstream"]

PARTING: Final = 1.0
"""Seconds that calls have to end when they are cut off: for a loop that lags."""


class Upstream:
    """One server as the router sees it.

    `on_listing` hears what the server offers, `on_available` whether it may be called and, if not, why.
    """

    def __init__(
        self,
        server: Server,
        callbacks: Callbacks,
        *,
        observer: Observer,
        on_listing: Callable[[Upstream, Listing], None],
        on_available: Callable[[Upstream, bool, str | None], None],
        rng: Callable[[], float] = random.random,
        generations: Iterator[int] | None = None,
    ) -> None:
        self.server = server
        self.generations = count(1) if generations is None else generations
        self._on_listing = on_listing
        self._on_available = on_available
        self._listing: Listing | None = None
        self._state: ConnectionState = "idle"
        self._since = asyncio.get_running_loop().time()
        self._settled = asyncio.Event()
        self._available = True
        self._unavailable_for: str | None = None
        # The tasks of calls under way, each with its session, and those of them that closing has cut off.
        self._running: dict[object, tuple[asyncio.Task[Any], str | None]] = {}
        self._cut: set[asyncio.Task[Any]] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self.budget = RetryBudget(server.retry)
        self.endpoints = (
            Endpoint(
                f"{server.name}/0",
                server,
                callbacks,
                observer=observer,
                on_listing=self._listed,
                on_health=self._health_changed,
                rng=rng,
                generations=self.generations,
            ),
        )
        self._only: Endpoint | None = self.endpoints[0]
        self._pipeline: CallNext[Any] = compose(
            [
                TotalDeadline(server.timeouts),
                Retrying(server.retry, self.budget, rng=rng, emit=observer.emit, server=server.name),
            ],
            self._choose,
        )

    @property
    def circuit(self) -> CircuitState:
        """The state of the server's circuit."""
        return self.endpoints[0].circuit.state

    # --- calls

    async def send(self, call: Call[Any]) -> Any:
        """Make the call, with everything that guards it.

        Raises:
            RouterError: it failed.
        """
        task = asyncio.current_task()
        assert task is not None
        key = object()
        self._running[key] = task, call.session
        self._idle.clear()
        try:
            return await self._pipeline(call)
        except asyncio.CancelledError as error:
            if task not in self._cut or task.uncancel() > 0:
                raise  # somebody else's, or somebody else's too
            raise self._closed(call) from error
        finally:
            del self._running[key]
            self._cut.discard(task)
            if not self._running:
                self._idle.set()

    def _closed(self, call: Call[Any]) -> RouterError:
        name = self.server.name
        message = f"the connection to server {name!r} was closed before the call had ended"
        # `sent` is of the current attempt alone.
        sent = "maybe" if call.trail.sent or call.trail.attempts > 1 else "no"
        return error_for("connection_lost", message, server=name, delivered=sent, evidence=False)

    async def _choose(self, call: Call[Any]) -> Any:
        """Send the attempt to the endpoint that admits it and has the least to do; all open: reject at once."""
        # With one endpoint whose circuit is closed, as almost always, there is nothing to choose.
        if self._only is not None and self._only.circuit.state == "closed":
            endpoint = self._only
        else:
            endpoint = self._least_busy(asyncio.get_running_loop().time())
        call.trail.endpoint = endpoint.name
        return await endpoint.send(call)

    def _least_busy(self, now: float) -> Endpoint:
        admitting = [endpoint for endpoint in self.endpoints if endpoint.circuit.would_admit(now)]
        if not admitting:
            raise min(
                (endpoint.circuit for endpoint in self.endpoints), key=lambda circuit: circuit.retry_after(now) or 0.0
            ).rejection()
        return min(admitting, key=lambda one: one.load)

    # --- life

    def start(self) -> None:
        """Begin to connect; returns at once."""
        for endpoint in self.endpoints:
            endpoint.start()

    async def settled(self) -> None:
        """Wait until the server is ready or has failed once."""
        await self._settled.wait()

    async def ready(self) -> None:
        """Wait until the server may be used.

        Raises:
            RouterError: it could not be made ready.
        """
        await self.endpoints[0].shared.ready()

    async def probe(self) -> None:
        """Ask for a sign of life at protocol level.

        Raises:
            RouterError: there was none within the time of an attempt.
        """
        seconds = self.server.timeouts.attempt
        try:
            async with asyncio.timeout(seconds):
                await self.endpoints[0].probe()
        except TimeoutError as error:
            name = self.server.name
            message = f"server {name!r} gave no sign of life within {seconds:g} s; try again later"
            raise error_for("timeout", message, server=name, delivered="no") from error

    def isolate(self) -> None:
        """Let nothing through, by an operator's decision."""
        for endpoint in self.endpoints:
            endpoint.circuit.isolate()

    def release(self) -> None:
        """Let everything through again, by an operator's decision."""
        for endpoint in self.endpoints:
            endpoint.circuit.close()

    async def close_session(self, session: str) -> None:
        """Close the connections of one session, and end the calls that have come with it.

        These first: one that was left to try again, or to wait for its turn, would open the next connection.
        """
        self._cut_off(task for task, of in self._running.values() if of == session)
        await asyncio.gather(*(endpoint.close_session(session) for endpoint in self.endpoints))

    async def close(self, *, drain: bool = False) -> None:
        """Close; with `drain` when the calls in flight have ended, each by its own deadline at the latest."""
        if drain:
            await self._idle.wait()
        await asyncio.gather(*(endpoint.close() for endpoint in self.endpoints))
        # What was in flight has ended with its connection; what waits for its turn, or to try again, ends here.
        self._cut_off(task for task, _ in self._running.values())
        with suppress(TimeoutError):
            async with asyncio.timeout(PARTING):
                await self._idle.wait()

    def _cut_off(self, tasks: Iterable[asyncio.Task[Any]]) -> None:
        for task in {*tasks} - self._cut - {asyncio.current_task()}:
            self._cut.add(task)
            task.cancel()

    # --- what endpoints tell

    def _listed(self, listing: Listing) -> None:
        self._listing = listing
        self._on_listing(self, listing)

    def _health_changed(self) -> None:
        endpoint = self.endpoints[0]
        state = endpoint.shared.state
        if state != self._state:
            self._state = state
            self._since = asyncio.get_running_loop().time()
        if state in ("ready", "failed", "closed"):
            self._settled.set()
        before = self._available, self._unavailable_for
        if endpoint.circuit.state in ("open", "isolated"):
            self._available, self._unavailable_for = False, "circuit_open"
        elif state in ("ready", "idle"):
            self._available, self._unavailable_for = True, None
        elif state in ("failed", "closed"):
            failure = endpoint.last_failure
            self._available, self._unavailable_for = False, "unreachable" if failure is None else failure.code
        # A server that is reconnecting is what it was before: a respawn of a moment must not flicker in the listing.
        if (self._available, self._unavailable_for) != before:
            self._on_available(self, self._available, self._unavailable_for)

    def readings(self) -> Iterator[Reading]:
        """Yield what gauges show of each endpoint; only looks, so that any thread may ask."""
        for endpoint in self.endpoints:
            yield Reading(
                server=self.server.name,
                endpoint=endpoint.name,
                circuit=endpoint.circuit.state,
                failure_rate=endpoint.circuit.failure_rate,
                active=len(self._running),
                retry_tokens=self.budget.tokens,
            )

    def health(self) -> ServerHealth:
        """Return how the server is."""
        endpoint = self.endpoints[0]
        listing = self._listing
        return ServerHealth(
            name=self.server.name,
            kind=self.server.kind,
            state=self._state,
            available=self._available,
            since=asyncio.get_running_loop().time() - self._since,
            required=self.server.required,
            protocol_version=endpoint.shared.protocol_version,
            tools=0 if listing is None else len(listing.tools),
            resources=0 if listing is None else len(listing.resources),
            prompts=0 if listing is None else len(listing.prompts),
            retry_tokens=self.budget.tokens,
            endpoints=tuple(one.health() for one in self.endpoints),
            error=endpoint.last_failure,
            stderr=endpoint.stderr,
        )
