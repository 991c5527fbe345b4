"""What a router has done in the last minute, for people who watch it: two lines, no OpenTelemetry, no set-up.

    stats = Stats()
    router = Router(..., listeners=[stats])

and, on the router's loop, `stats.snapshot(router.health(), router.servers)`: the JSON document whose fields are
explained in `recloser.telemetry.document`. `serve_status(router, stats)` shows it to `recloser top`. One `Stats`
belongs to one router.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from recloser.errors import CODES
from recloser.events import (
    AttemptFinished,
    CallFinished,
    CircuitChanged,
    ConnectionChanged,
    Event,
    FanOutFinished,
    RequestFinished,
    RetrySuppressed,
)
from recloser.health import ServerHealth
from recloser.options import Server
from recloser.redact import Redactor
from recloser.telemetry import document
from recloser.telemetry.window import Numbers, Window
from recloser.version import __version__

__all__ = ["CHANGES", "PARTS", "SERVERS", "WINDOW", "Stats"]

WINDOW: Final = 60.0
"""Seconds that a number counts: what a person means by now, and what a circuit looks at."""
PARTS: Final = 12
"""Steps in which the window moves on; of 60 s, at least 55 are covered."""
CHANGES: Final = 20
"""Changes that are kept: what fits on a screen."""
SERVERS: Final = 4096
"""Servers that are counted for; one more pushes out the one that was heard of least recently."""

# What only somebody who lives can answer; 502 to 504 may come from whoever stands before a server that does not.
_ANSWERS: Final = frozenset(
    {
        None,
        "overloaded",
        "unauthenticated",
        "forbidden",
        "server_fault",
        "invalid_request",
        "protocol_violation",
        "invalid_result",
    }
)


class _Seen:
    """What was heard of one server. Written by `Stats` alone; times are the loop's."""

    __slots__ = ("answered", "asked", "failure", "heard", "window")

    def __init__(self, width: float) -> None:
        self.window = Window(width, PARTS)
        self.heard = 0.0
        self.answered: float | None = None
        self.asked: tuple[float, RequestFinished] | None = None
        self.failure: document.Failure | None = None


class Stats:
    """Counts what a router does; a listener of its events, a few microseconds each.

    Written by the events, and read by `snapshot`, on the router's loop. Memory is bounded by the number of servers.

    Args:
        window: seconds that a number counts.
        secrets: values that must not appear in a snapshot, whatever they look like: those that the router was given.

    Raises:
        ValueError: the window is not longer than nothing.
    """

    def __init__(self, *, window: float = WINDOW, secrets: Iterable[str] = ()) -> None:
        if not window > 0:
            raise ValueError(f"window must be more than 0 s, got {window!r}")
        self._seconds = window
        self._width = window / PARTS
        self._redactor = Redactor(secrets)
        self._since: float | None = None
        self._servers: dict[str, _Seen] = {}
        self._unrouted = Window(self._width, PARTS)
        self._spreads = Window(self._width, PARTS)
        self._changes: deque[tuple[float, CircuitChanged | ConnectionChanged]] = deque(maxlen=CHANGES)
        # What is not here is told by the others: a retry by its attempt, a catalog by the health of its server.
        self._heard: dict[type[Any], Callable[[Any, float], None]] = {
            CallFinished: self._call,
            AttemptFinished: self._attempt,
            RequestFinished: self._request,
            RetrySuppressed: self._suppressed,
            CircuitChanged: self._circuit,
            ConnectionChanged: self._connection,
            FanOutFinished: self._fan_out,
        }

    def __call__(self, event: Event) -> None:
        """Hear an event."""
        now = asyncio.get_running_loop().time()
        if self._since is None:
            self._since = now
        heard = self._heard.get(type(event))
        if heard is not None:
            heard(event, now)

    # --- events

    def _call(self, event: CallFinished, now: float) -> None:
        numbers = self._unrouted.at(now) if event.server is None else self._seen(event.server, now).window.at(now)
        numbers.count("calls")
        if event.outcome == "cancelled":
            numbers.count("cancelled")
            return
        if event.attempts:
            numbers.took(event.duration)
        if event.code is None:
            numbers.count("success")
            if event.is_error:
                numbers.count("tool_errors")
            return
        numbers.count((event.type or CODES[event.code].type, event.code))
        if not event.attempts:
            numbers.count("rejected")

    def _attempt(self, event: AttemptFinished, now: float) -> None:
        seen = self._seen(event.server, now)
        numbers = seen.window.at(now)
        numbers.count("attempts")
        numbers.count(event.kind)
        if event.code in _ANSWERS:
            seen.answered = now
        if event.code is not None and event.code != "cancelled":
            numbers.count(("attempt", event.code))
            # A name that is not in the list is a caller's text, and may be anything.
            seen.failure = document.Failure(now, event.code, event.name if event.known else None)

    def _request(self, event: RequestFinished, now: float) -> None:
        seen = self._seen(event.server, now)
        numbers = seen.window.at(now)
        numbers.count("requests")
        seen.asked = now, event
        if event.code in _ANSWERS:
            seen.answered = now
        if event.code is not None:
            numbers.count(("request", event.code))

    def _suppressed(self, event: RetrySuppressed, now: float) -> None:
        self._seen(event.server, now).window.at(now).count(("suppressed", event.reason))

    def _circuit(self, event: CircuitChanged, now: float) -> None:
        self._seen(event.server, now).window.at(now).count(("circuit", event.state))
        self._changes.append((now, event))

    def _connection(self, event: ConnectionChanged, now: float) -> None:
        self._seen(event.server, now).window.at(now).count(("connection", event.state))
        if event.state in ("ready", "failed") or event.code is not None:
            self._changes.append((now, event))

    def _fan_out(self, event: FanOutFinished, now: float) -> None:
        self._spreads.at(now).count(event.outcome)

    def _seen(self, server: str, now: float) -> _Seen:
        seen = self._servers.get(server)
        if seen is None:
            if len(self._servers) >= SERVERS:
                del self._servers[min(self._servers, key=lambda name: self._servers[name].heard)]
            seen = self._servers[server] = _Seen(self._width)
        seen.heard = now
        return seen

    # --- the document

    def snapshot(
        self, health: Mapping[str, ServerHealth], servers: Mapping[str, Server] | None = None
    ) -> dict[str, Any]:
        """Return what there is to see as one JSON document; its fields stand in `recloser.telemetry.document`.

        Args:
            health: `router.health()`; its servers are shown, in its order.
            servers: `router.servers`, which knows the sizes of budgets and bulkheads.

        Raises:
            RuntimeError: no loop runs here.
        """
        now = asyncio.get_running_loop().time()
        covered = self._covered(now)
        total = Numbers()
        rows = []
        for name, one in health.items():
            row = document.server_of(one, None if servers is None else servers.get(name), now)
            seen = self._servers.get(name) or _Seen(self._width)
            numbers = seen.window.total(now)
            total.add(numbers)
            row["traffic"] = document.traffic_of(numbers, covered)
            row["answered_ago"] = None if seen.answered is None else document.seconds_of(now - seen.answered)
            row["last_request"] = (
                None if seen.asked is None else document.request_of(seen.asked[1], now - seen.asked[0])
            )
            row["last_failure"] = document.failure_of(one, seen.failure, now, self._redactor)
            rows.append(row)
        spreads = self._spreads.total(now).counts
        return {
            "schema": document.SCHEMA,
            "version": __version__,
            "uptime": None if self._since is None else document.seconds_of(now - self._since),
            "window": {"seconds": self._seconds, "covered": document.seconds_of(covered)},
            "in_flight": sum(row["in_flight"] for row in rows),
            "waiting": sum(row["waiting"] for row in rows),
            "traffic": document.traffic_of(total, covered),
            "unrouted": document.traffic_of(self._unrouted.total(now), covered),
            "fan_outs": {outcome: spreads.get(outcome, 0) for outcome in ("complete", "degraded", "failed")},
            "changes": [document.change_of(change, now - at) for at, change in reversed(tuple(self._changes))],
            "servers": rows,
        }

    def _covered(self, now: float) -> float:
        """Return the seconds that the numbers stand for: from the window's first step, or the first event, to now."""
        first = (now // self._width - PARTS + 1) * self._width
        return 0.0 if self._since is None else now - max(first, self._since)
