"""One address of a server: its circuit, its bulkhead, and its connections."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from opentelemetry.trace import SpanContext

from recloser.call import Call, CallNext
from recloser.catalog import Listing
from recloser.classify import standard_error
from recloser.connection import Callbacks, Connection, Lookout
from recloser.errors import ErrorPayload, RouterError, disown, error_for
from recloser.events import AttemptFinished, ConnectionChanged, ConnectionState, Event, made
from recloser.health import EndpointHealth
from recloser.observer import Observer, answered_code, as_told
from recloser.options import Server
from recloser.pipeline import compose
from recloser.policies.attempt import AttemptTimeout
from recloser.policies.breaker import CircuitBreaker
from recloser.policies.bulkhead import BulkheadLimit
from recloser.spans import current, target_attributes

__all__ = ["Endpoint"]


class Endpoint:
    """One address, with what guards it.

    Its connections are keyed by session: None is the one that all callers share. Written by its own methods and by
    the callbacks of its connections, all on the loop.
    """

    def __init__(
        self,
        name: str,
        server: Server,
        callbacks: Callbacks,
        *,
        observer: Observer,
        on_listing: Callable[[Listing], None],
        on_health: Callable[[], None],
        rng: Callable[[], float] = random.random,
        generations: Iterator[int] | None = None,
    ) -> None:
        self.name = name
        self._server = server
        self._where = tuple(target_attributes(server).items())
        self._callbacks = callbacks
        self._observer = observer
        self._emit = observer.emit
        self._on_listing = on_listing
        self._on_health = on_health
        self._rng = rng
        # Numbers for the generations of the connection that all share: the others are told of nowhere.
        self._generations = generations
        self._connections: dict[str | None, Connection] = {}
        self._lookouts: dict[str | None, Lookout] = {}
        self._stderr: deque[str] = deque()
        self._stderr_size = 0
        self._stderr_cut = False
        self._last_failure: tuple[ErrorPayload, float] | None = None
        self._closed = False
        self.circuit = CircuitBreaker(
            server.breaker,
            server=server.name,
            endpoint=name,
            rng=rng,
            emit=self._heard,
            # Longer than the probe itself may take, or its place could be given away in the moment that it times out.
            lease=server.timeouts.attempt + 1.0,
        )
        self._bulkhead = BulkheadLimit(server.bulkhead, server=server.name, endpoint=name, circuit=self.circuit)
        self.send: CallNext[Any] = compose(
            [self._bulkhead, self.circuit, self._observe, AttemptTimeout(server.timeouts), *server.chaos],
            self._to_connection,
        )

    @property
    def load(self) -> int:
        """How many attempts are in flight or wait for a place."""
        return self._bulkhead.in_flight + self._bulkhead.waiting

    @property
    def shared(self) -> Connection:
        """The connection that all callers share."""
        return self.connection(None)

    def connection(self, session: str | None) -> Connection:
        """Return the connection of a session, made on first use.

        Raises:
            TransientError: the endpoint is closed.
        """
        connection = self._connections.get(session)
        if connection is None:
            if self._closed:
                name = self._server.name
                raise error_for("unreachable", f"server {name!r} is closed", server=name, evidence=False)
            connection = self._connections[session] = Connection(
                self._server,
                self._callbacks,
                on_change=self._connection_changed if session is None else partial(self._session_changed, session),
                on_listing=self._on_listing if session is None else lambda _listing: None,
                on_stderr=self._on_stderr,
                rng=self._rng,
                observer=self._observer,
                generations=self._generations if session is None else None,
            )
            self._lookouts[session] = Lookout(
                connection,
                self._server,
                probe=self._look_at,
                wanted=lambda: self.circuit.state == "open",
                on_back=self.circuit.half_open,
                rng=self._rng,
            )
        return connection

    def start(self) -> None:
        """Begin to connect."""
        self.shared.start()

    # --- the way of one attempt

    async def _observe(self, call: Call[Any], call_next: CallNext[Any]) -> Any:
        call.trail.attempts += 1
        if self._observer.watching:
            return await self._watched(call, call_next)
        try:
            return await call_next(call)
        except RouterError as error:
            self._note(call, error)
            raise

    async def _watched(self, call: Call[Any], call_next: CallNext[Any]) -> Any:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        spans = self._observer.spans
        version = self.shared.protocol_version
        span = (
            spans.attempt(call, self._server, self.name, circuit=self.circuit.state, version=version)
            if spans.active
            else None
        )
        result: Any = None
        code: str | None = None
        failed: ErrorPayload | None = None
        try:
            result = await call_next(call)
        except RouterError as error:
            failed, code = error.payload, error.payload.code
            self._note(call, error)
            raise
        except asyncio.CancelledError:
            code = "cancelled"
            raise
        else:
            return result
        finally:
            told = as_told(call)
            done = made(
                AttemptFinished,
                call_id=call.call_id,
                server=self._server.name,
                endpoint=self.name,
                method=call.method,
                name=told.name,
                known=told.known,
                attempt=call.attempt,
                kind="retry" if call.attempt > 1 else "primary",
                duration=loop.time() - begun,
                code=code,
                jsonrpc_code=answered_code(failed),
                is_error=bool(getattr(result, "is_error", False)),
                delivered=None if failed is None else failed.delivered,
                retry_after=None if failed is None else failed.retry_after,
                protocol_version=self.shared.protocol_version,
                where=self._where,
            )
            if span is not None:
                spans.end_attempt(span, done, call, time.time_ns())
            if self._observer.audit is not None:
                call.trail.tries.append(done)
            if self._emit:
                self._emit(done)

    def _note(self, call: Call[Any], error: RouterError) -> None:
        if error.evidence:
            self._failed(error.payload)
            lookout = self._lookouts.get(call.session)
            if lookout is not None:
                lookout.failed(call, error.payload)

    async def _to_connection(self, call: Call[Any]) -> Any:
        connection = self._connections.get(call.session) or self.connection(call.session)
        if call.settle is not None:
            await connection.ready(listed=False)
            call = call.settle(call)
        if self.circuit.state == "half_open":
            # A circuit that opened because the server was gone is not tried with a caller's request first: a sign of
            # life at protocol level costs the caller nothing when it fails.
            await self._probed(connection.probe(), current())
        result = await connection.send(call)
        if call.method == "tools/call":
            self._look_into(result)
        return result

    def _look_into(self, result: Any) -> None:
        """Raise what a tool's result says that it really is: by the user's own hook, or in the standardized shape."""
        disown(result)
        hook = self._server.classify
        told = hook(result) if hook is not None else None
        if told is None and result.is_error:
            told = standard_error(result, server=self._server.name)
        if told is not None:
            raise told

    # --- recovery

    def _heard(self, event: Event) -> None:
        """Hear of a change of the circuit; one that opens is looked into where the failures came from."""
        self._emit(event)
        if self.circuit.state == "open":
            for lookout in self._lookouts.values():
                if lookout.suspected:
                    lookout.look()
        self._on_health()

    async def _look_at(self, connection: Connection, cause: SpanContext | None) -> None:
        await self._probed(connection.probe(hurry=False), cause)

    async def probe(self) -> None:
        """Ask for a sign of life, without hurrying a connection that waits for its next try.

        Raises:
            RouterError: there was none.
        """
        await self._look_at(self.shared, current())

    async def _probed(self, probe: Awaitable[None], cause: SpanContext | None) -> None:
        """Await a look for a sign of life, seen as work of its own: it is no part of what it was begun for."""
        seen = self._observer.spans.background("recloser.probe", self._server, cause)
        code: str | None = "timeout"
        try:
            with seen.within():
                await probe
            code = None
        except RouterError as error:
            code = error.payload.code
            raise
        finally:
            seen.end(code)

    # --- what connections tell

    def _connection_changed(self, state: ConnectionState, error: RouterError | None) -> None:
        if error is not None:
            self._failed(error.payload)
        self._emit(
            ConnectionChanged(
                server=self._server.name,
                endpoint=self.name,
                state=state,
                generation=self.shared.number,
                code=None if error is None else error.payload.code,
                protocol_version=self.shared.protocol_version,
                lasted=self.shared.lasted,
                where=self._where,
            )
        )
        if state == "ready" and self.circuit.state == "open":
            self.circuit.half_open("reconnected")
        self._on_health()

    def _session_changed(self, session: str, state: ConnectionState, _error: RouterError | None) -> None:
        # The circuit may have opened for it alone. One that had no part in that says nothing about those that had.
        if state == "ready" and self._lookouts[session].suspected:
            self.circuit.half_open("reconnected")

    def _on_stderr(self, line: str) -> None:
        # Kept as it came: a server may say a hundred thousand lines a second, and redacting one costs 50 µs. And with a
        # margin, so that a secret at the cut is not what is left of the cut.
        most = self._server.limits.stderr_tail + self._observer.redactor().margin
        self._stderr.append(line[-most:])
        self._stderr_size += len(self._stderr[-1]) + 1
        self._stderr_cut = self._stderr_cut or len(line) > most
        while self._stderr_size > most + 1:
            self._stderr_size -= len(self._stderr.popleft()) + 1
            self._stderr_cut = True

    @property
    def stderr(self) -> str | None:
        """The last of what the server's process said on stderr, redacted."""
        most = self._server.limits.stderr_tail
        return self._observer.redactor().tail("\n".join(self._stderr), most, severed=self._stderr_cut) or None

    def _failed(self, payload: ErrorPayload) -> None:
        # A resource's URI may hold anything, and health is shown to anybody.
        shown = None if payload.tool is None else self._observer.shown(payload.tool)
        self._last_failure = replace(payload, tool=shown), asyncio.get_running_loop().time()

    @property
    def last_failure(self) -> ErrorPayload | None:
        """The last failure that speaks against the server."""
        return None if self._last_failure is None else self._last_failure[0]

    def health(self) -> EndpointHealth:
        """Return how the endpoint is."""
        now = asyncio.get_running_loop().time()
        return EndpointHealth(
            name=self.name,
            state=self.shared.state,
            circuit=self.circuit.snapshot(),
            in_flight=self._bulkhead.in_flight,
            waiting=self._bulkhead.waiting,
            generation=self.shared.number,
            pid=self.shared.pid,
            last_failure=self.last_failure,
            last_failure_ago=None if self._last_failure is None else now - self._last_failure[1],
        )

    # --- the end

    async def close_session(self, session: str) -> None:
        """Close the connection of one session, if there is one."""
        self._connections.pop(session, None)
        lookout = self._lookouts.pop(session, None)
        if lookout is not None:
            await lookout.close()

    async def close(self) -> None:
        """Close every connection."""
        self._closed = True
        await asyncio.gather(*(lookout.close() for lookout in self._lookouts.values()))
