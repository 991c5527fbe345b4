"""One address of a server: its circuit, its bulkhead, and its connections."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Final

from opentelemetry.trace import SpanContext

from recloser.call import Call, CallNext
from recloser.catalog import Listing
from recloser.classify import standard_error
from recloser.connection import Callbacks, Connection
from recloser.errors import ErrorPayload, RouterError, disown, error_for
from recloser.events import AttemptFinished, ConnectionChanged, ConnectionState, Event, made
from recloser.health import EndpointHealth
from recloser.observer import Observer, answered_code
from recloser.options import Server
from recloser.pipeline import compose
from recloser.policies.attempt import AttemptTimeout
from recloser.policies.breaker import CircuitBreaker
from recloser.policies.bulkhead import BulkheadLimit
from recloser.redact import Redactor
from recloser.spans import current, detached

__all__ = ["Endpoint"]

PROBE_FIRST: Final = 1.0
"""Seconds before a lost server is probed again; doubles up to thirty, with equal jitter."""

PROBE_CAP: Final = 30.0


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
        redactor: Redactor,
        rng: Callable[[], float] = random.random,
    ) -> None:
        self.name = name
        self._server = server
        self._callbacks = callbacks
        self._observer = observer
        self._emit = observer.emit
        self._on_listing = on_listing
        self._on_health = on_health
        self._redactor = redactor
        self._rng = rng
        self._connections: dict[str | None, Connection] = {}
        self._stderr: deque[str] = deque()
        self._stderr_size = 0
        self._stderr_cut = False
        self._recovery: asyncio.Task[None] | None = None
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
                on_change=self._connection_changed if session is None else lambda _state, _error: None,
                on_listing=self._on_listing if session is None else lambda _listing: None,
                on_stderr=self._on_stderr,
                rng=self._rng,
                observer=self._observer,
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
            self._note(error)
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
            failed = error.payload
            code = failed.code
            self._note(error)
            raise
        except asyncio.CancelledError:
            code = "cancelled"
            raise
        else:
            return result
        finally:
            done = made(
                AttemptFinished,
                call_id=call.call_id,
                server=self._server.name,
                endpoint=self.name,
                method=call.method,
                name=call.name,
                known=call.known,
                attempt=call.attempt,
                kind="retry" if call.attempt > 1 else "primary",
                duration=loop.time() - begun,
                code=code,
                jsonrpc_code=answered_code(failed),
                is_error=bool(getattr(result, "is_error", False)),
                protocol_version=self.shared.protocol_version,
            )
            if span is not None:
                spans.end_attempt(span, done, call, time.time_ns())
            if self._observer.audit is not None:
                call.trail.tries.append(done)
            if self._emit:
                self._emit(done)

    def _note(self, error: RouterError) -> None:
        if error.evidence:
            self._failed(error.payload)

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
        """Hear of a change of the circuit."""
        self._emit(event)
        if self._is_open and not self._closed:
            self._begin_recovery()
        self._on_health()

    def _begin_recovery(self) -> None:
        if self._recovery is not None:
            self._recovery.cancel()  # what it has seen of the break before says nothing about this one
        self._recovery = asyncio.get_running_loop().create_task(
            self._recover(current()), name=f"recloser:{self._server.name}:recovery", context=detached()
        )

    @property
    def _is_open(self) -> bool:
        return self.circuit.state == "open"

    async def _recover(self, cause: SpanContext | None) -> None:
        """While the circuit is open, look for the server to come back, and half-open the circuit when it does.

        Only a server that was gone at protocol level can come back there: one that answers a probe while its calls
        fail waits for the break to end, or each probe would undo the break's growth.
        """
        delay = PROBE_FIRST
        # The failure that has opened the circuit; if it never reached the server, that was gone without any probe.
        failure = self.last_failure
        gone = failure is not None and failure.code == "unreachable"
        while self._is_open:
            if await self._sign_of_life(cause):
                if gone:
                    self.circuit.half_open("reconnected")
                return
            gone = True
            await asyncio.sleep(delay / 2 + delay / 2 * self._rng())
            delay = min(delay * 2, PROBE_CAP)

    async def _sign_of_life(self, cause: SpanContext | None) -> bool:
        try:
            async with asyncio.timeout(self._server.timeouts.attempt):
                await self.probe(cause)
        except TimeoutError:
            # Nobody gets an answer over this session, and over a pipe only a new process can change that.
            self.shared.renew()
            return False
        except RouterError:
            return False
        return True

    async def probe(self, cause: SpanContext | None = None) -> None:
        """Ask for a sign of life, without hurrying a connection that waits for its next try.

        Raises:
            RouterError: there was none.
        """
        await self._probed(self.shared.probe(hurry=False), cause or current())

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
            )
        )
        if state == "ready" and self.circuit.state == "open":
            self.circuit.half_open("reconnected")
        self._on_health()

    def _on_stderr(self, line: str) -> None:
        # Kept as it came: a server may say a hundred thousand lines a second, and redacting one costs 50 µs. And with a
        # margin, so that a secret at the cut is not what is left of the cut.
        most = self._server.limits.stderr_tail + self._redactor.margin
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
        return self._redactor.tail("\n".join(self._stderr), most, severed=self._stderr_cut) or None

    def _failed(self, payload: ErrorPayload) -> None:
        # A resource's URI may hold anything, and health is shown to anybody.
        shown = None if payload.tool is None else self._redactor.name(payload.tool)
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
        connection = self._connections.pop(session, None)
        if connection is not None:
            await connection.close()

    async def close(self) -> None:
        """Close every connection."""
        self._closed = True
        recovery = self._recovery
        if recovery is not None:
            recovery.cancel()
        await asyncio.gather(*(connection.close() for connection in self._connections.values()))
        if recovery is not None:
            # Only now: a probe under way tells the server that it is given up, and a closed connection cannot stop it.
            await asyncio.wait({recovery})
