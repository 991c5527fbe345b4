"""Turns events into measurements."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeAlias

from opentelemetry.context import Context, get_current
from opentelemetry.metrics import MeterProvider, get_meter_provider

from recloser.apart import apart
from recloser.events import (
    AttemptFinished,
    CallFinished,
    CatalogChanged,
    CircuitChanged,
    ConnectionChanged,
    Event,
    FanOutFinished,
    RequestFinished,
    RetrySuppressed,
)
from recloser.later import Later, at_once
from recloser.metrics.names import CIRCUIT, ENDPOINT, METHOD, PROMPT, SERVER, TOOL
from recloser.metrics.observed import Reading
from recloser.metrics.shared import Shared, Source, shared
from recloser.redact import Redactor
from recloser.spans import OTHER, error_type

__all__ = ["Metrics"]

REMEMBERED: Final = 4096
"""Sets of attributes that are kept ready; making one costs as much as the rest of an event."""

LONGEST: Final = 128
"""Characters of a name, as the specification of MCP bounds them; a longer one is `_OTHER`."""

Attributes: TypeAlias = dict[str, str | int]

_TARGETS: Final[Mapping[str, str]] = {"tools/call": TOOL, "prompts/get": PROMPT}

_log = logging.getLogger("recloser")


def _nothing() -> None:
    pass


class Metrics:
    """Hears the events of one router and measures; `active` says whether anybody records that.

    Written by `begin`, `end` and its own methods, on the loop; a thread that collects does first what waits, and reads
    the router's state by `readings`.

    Args:
        provider: where the meter comes from; None means the global one, looked up by `begin`.
        readings: returns how each endpoint is now; called from any thread.
        redactor: returns what redacts names; asked each time, since a reload brings new secrets. None means one that
            knows none.
        later: does what is done for every call when there is time; None does it at once.
    """

    def __init__(
        self,
        provider: MeterProvider | None = None,
        *,
        readings: Callable[[], Iterable[Reading]],
        redactor: Callable[[], Redactor] | None = None,
        later: Later | None = None,
    ) -> None:
        self._provider = provider
        self._later: Callable[..., None] = at_once if later is None else later
        self._drain: Callable[[], None] = _nothing if later is None else later.drain
        self._readings = readings
        plain = Redactor()
        self._redactor = redactor or (lambda: plain)
        self._shared: Shared | None = None
        self._source: Source | None = None
        self._ready: dict[tuple[Any, ...], Attributes] = {}
        self._by: Redactor | None = None
        """What the names among them were redacted by."""
        self._often: Mapping[type[Event], Callable[[Shared, Any, Context], None]] = {
            AttemptFinished: self._attempt,
            CallFinished: self._call,
        }
        self._handlers: Mapping[type[Event], Callable[[Shared, Any], None]] = {
            RequestFinished: self._request,
            RetrySuppressed: self._suppressed,
            CircuitChanged: self._circuit,
            ConnectionChanged: self._connection,
            FanOutFinished: self._fan_out,
            CatalogChanged: self._catalog,
        }
        self.active = False
        """Written by `begin` and `end`."""

    def begin(self) -> None:
        """Look up the provider; where there is none of an SDK, nothing will be recorded."""
        self.end()
        self._shared = shared(self._provider or get_meter_provider())
        if self._shared is not None:
            self._source = Source(self._read)
            self._shared.add(self._source)
            self.active = True

    def end(self) -> None:
        """Record nothing any more, and be asked nothing."""
        if self._shared is not None and self._source is not None:
            self._shared.remove(self._source)
        self._shared = self._source = None
        self._ready.clear()
        self.active = False

    def __call__(self, event: Event) -> None:
        """Measure what an event tells; never raises."""
        if self._shared is None:
            return
        often = self._often.get(type(event))
        if often is not None:
            # With the context of the call, which an exemplar is to name.
            self._later(self._measure, event, often, get_current())
        elif (handler := self._handlers.get(type(event))) is not None:
            self._measure(event, handler)

    def _measure(self, event: Event, handler: Callable[..., None], *more: Context) -> None:
        if self._shared is None:
            return
        under_way = sys.exception()
        try:
            handler(self._shared, event, *more)
        except Exception as error:  # noqa: BLE001 - boundary: no measurement may fail what it measures
            _log.error("%s could not be measured", type(event).__name__, exc_info=apart(error, under_way))

    def _read(self) -> Iterable[Reading]:
        """Return how each endpoint is, when somebody collects: what still waits to be measured is measured first."""
        self._drain()
        return self._readings()

    # --- the two levels

    def _attempt(self, into: Shared, event: AttemptFinished, context: Context) -> None:
        name = event.name if event.known else None
        failure = event.code, event.jsonrpc_code, event.is_error
        key = (event.server, event.method, name, failure, event.protocol_version, event.where)
        attributes = self._kept().get(key)
        if attributes is None:
            wrong = error_type(event.code, event.jsonrpc_code, is_error=event.is_error)
            attributes = self._keep(key, self._operation(into, event, wrong) | self._target(into, event))
        into.operation.record(event.duration, attributes, context)

    def _request(self, into: Shared, event: RequestFinished) -> None:
        key = (event.server, event.method, event.code, event.jsonrpc_code, event.protocol_version, event.where)
        attributes = self._kept().get(key)
        if attributes is None:
            wrong = error_type(event.code, event.jsonrpc_code, is_error=False)
            attributes = self._keep(key, self._operation(into, event, wrong))
        into.operation.record(event.duration, attributes)

    def _call(self, into: Shared, event: CallFinished, context: Context) -> None:
        name = event.name if event.known else None
        key = (event.server, event.method, name, event.outcome, event.code, event.type, CallFinished)
        attributes = self._kept().get(key)
        if attributes is None:
            attributes = self._asked(into, event) | {"recloser.outcome": event.outcome}
            if event.code is not None:
                attributes["error.type"] = event.code
            if event.type is not None:
                attributes["recloser.error.class"] = event.type
            self._keep(key, attributes)
        into.call.record(event.duration, attributes, context)
        if event.retries:
            into.retries.record(event.retries, self._asked(into, event))
            into.retry_delay.record(event.delay, {SERVER: event.server or OTHER})
        if event.code == "circuit_open":
            into.rejections.add(1, {SERVER: event.server or OTHER})

    def _operation(self, into: Shared, event: AttemptFinished | RequestFinished, wrong: str | None) -> Attributes:
        found: Attributes = {METHOD: event.method, SERVER: event.server, **dict(event.where)}
        if event.protocol_version is not None:
            found["mcp.protocol.version"] = event.protocol_version
        if event.jsonrpc_code is not None:
            # The same for both: they are the same number, and `_OTHER` for the same reason.
            code = into.codes(event.server, str(event.jsonrpc_code))
            wrong = code if wrong == str(event.jsonrpc_code) else wrong
            found["rpc.response.status_code"] = code
        if wrong is not None:
            found["error.type"] = wrong
        return found

    def _asked(self, into: Shared, event: CallFinished) -> Attributes:
        found: Attributes = {METHOD: event.method, SERVER: event.server or OTHER}
        found |= self._target(into, event)
        found.pop("gen_ai.operation.name", None)  # of requests, by the conventions; `mcp.method.name` says the same
        return found

    def _target(self, into: Shared, event: AttemptFinished | CallFinished) -> Attributes:
        """Return what was asked for, in as many series as the server's list has names, and no more."""
        found: Attributes = {} if event.method != "tools/call" else {"gen_ai.operation.name": "execute_tool"}
        target = _TARGETS.get(event.method)
        if target is not None:
            found[target] = OTHER
            if event.known and event.server is not None and len(event.name) <= LONGEST:
                found[target] = into.names(event.server, self._redactor().text(event.name))
        return found

    def _kept(self) -> dict[tuple[Any, ...], Attributes]:
        if (redactor := self._redactor()) is not self._by:
            self._by = redactor  # a reload has brought new secrets
            self._ready.clear()
        return self._ready

    def _keep(self, key: tuple[Any, ...], attributes: Attributes) -> Attributes:
        if len(self._ready) >= REMEMBERED:
            self._ready.clear()
        self._ready[key] = attributes
        return attributes

    # --- the rest: rare enough to be made anew each time

    def _suppressed(self, into: Shared, event: RetrySuppressed) -> None:
        into.suppressed.add(1, {SERVER: event.server, "recloser.retry.suppress_reason": event.reason})

    def _circuit(self, into: Shared, event: CircuitChanged) -> None:
        attributes = {
            SERVER: event.server,
            ENDPOINT: event.endpoint,
            CIRCUIT: event.state,
            "recloser.circuit_breaker.previous_state": event.previous,
            "recloser.circuit_breaker.reason": event.reason,
        }
        into.transitions.add(1, attributes)

    def _connection(self, into: Shared, event: ConnectionChanged) -> None:
        if event.lasted is None:
            return
        attributes: Attributes = {SERVER: event.server, **dict(event.where)}
        if event.protocol_version is not None:
            attributes["mcp.protocol.version"] = event.protocol_version
        if event.code is not None:
            attributes["error.type"] = event.code
        into.session.record(event.lasted, attributes)

    def _fan_out(self, into: Shared, event: FanOutFinished) -> None:
        attributes = {"recloser.fan_out.result": event.outcome}
        into.fan_out.record(event.duration, attributes)
        into.fan_out_size.record(event.size, attributes)

    def _catalog(self, into: Shared, event: CatalogChanged) -> None:
        for change, names in (("added", event.added), ("removed", event.removed)):
            if names:
                into.catalog.add(len(names), {SERVER: event.server, "recloser.catalog.change": change})
