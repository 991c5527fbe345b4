"""The JSON document that `recloser top` shows, schema `recloser.top/1`: how it is written.

Durations are seconds; `ago` counts back from the moment of the document; what cannot be known is null.

- `schema`; `version` of recloser; `uptime` since the first event.
- `window`: the `seconds` that numbers count at most, and how many of them are `covered` by now.
- `in_flight`, `waiting`: attempts under way, and those that wait for a place, of all servers.
- `traffic` of all servers; `unrouted`: that of calls that named no server that there is.
- `fan_outs`: how many were `complete`, `degraded`, `failed`.
- `changes`: the last ones of circuits and connections, the newest first: `ago`, `server`, `endpoint`, `what` (circuit
  or connection), `state`, `previous`, `reason`, `code`.
- `servers`, a list: `name`, `kind`, `state`, `available`, `since`, `required`, `protocol_version`, `tools`,
  `resources`, `prompts`, `in_flight`, `waiting`, `traffic`, and
  - `retry_budget`: the `tokens` that are left, and the `size` of the bucket.
  - `answered_ago`: since the server has answered anything, a refusal too: its last sign of life.
  - `last_request`: the last one of ours that no caller asked for: `ago`, `method`, `duration`, `code` if it failed.
  - `last_failure`: `ago`, `type`, `code`, `tool` if its server lists it, `message`.
  - `endpoints`, a list: `name`, `state`, `circuit`, `circuit_for` (since it changed), `retry_after` (until an open one
    lets a call through), `opened` (how often), `failures` of `samples` that count now, `consecutive` failures,
    `in_flight` of at most `limit`, `waiting`, `generation`, `pid`.

A `traffic` counts what ended within the window:

- `calls`, and how many a second: `rate`. Each is a `success`, an error, or `cancelled` by its caller.
- `errors`: by type (transient, auth, critical), then by code; `rejected`: those that no attempt was made for.
- `tool_errors`: the successes in which the tool itself answered with an error.
- `p50`, `p95`: what calls took, right to 2.5 %; `longest`: exactly. Failed calls count, since their callers waited too;
  those that were cancelled or rejected do not.
- `attempts`; of them `retries` and `hedges`; `attempt_errors` by code, those that a retry has mended included.
- `suppressed`: failed attempts that were not tried again, by reason.
- `requests` of our own that no caller asked for; `request_errors` of them by code.
- `circuit`: changes, by the state that was reached; `connection`: the same.

Nothing in it is an argument, a result, or a text of a server but the names of its tools.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

from recloser.errors import CODES
from recloser.events import CircuitChanged, ConnectionChanged, RequestFinished
from recloser.health import EndpointHealth, ServerHealth
from recloser.options import Server
from recloser.redact import Redactor
from recloser.telemetry.window import Numbers

__all__ = ["SCHEMA", "Failure", "change_of", "failure_of", "request_of", "seconds_of", "server_of", "traffic_of"]

SCHEMA: Final = "recloser.top/1"

_DIGITS: Final = 6


@dataclass(frozen=True, slots=True)
class Failure:
    """A server's last failed attempt, as events tell it."""

    at: float
    """The moment, of the event loop."""
    code: str
    tool: str | None


def seconds_of(value: float) -> float:
    """Return a duration as it is written; the clock that another thread reads may be a moment behind."""
    return round(max(0.0, value), _DIGITS)


def traffic_of(numbers: Numbers, covered: float) -> dict[str, Any]:
    """Write what happened in the `covered` seconds."""
    counts = numbers.counts
    calls = counts.get("calls", 0)
    p50, p95 = numbers.quantiles(0.50, 0.95)
    return {
        "calls": calls,
        # A fraction of a second says nothing about calls a second.
        "rate": round(calls / max(covered, 1.0), 3),
        "success": counts.get("success", 0),
        "cancelled": counts.get("cancelled", 0),
        "errors": {kind: codes for kind in ("transient", "auth", "critical") if (codes := numbers.within(kind))},
        "rejected": counts.get("rejected", 0),
        "tool_errors": counts.get("tool_errors", 0),
        "p50": _maybe(p50),
        "p95": _maybe(p95),
        "longest": _maybe(numbers.longest if numbers.durations else None),
        "attempts": counts.get("attempts", 0),
        "retries": counts.get("retry", 0),
        "hedges": counts.get("hedge", 0),
        "attempt_errors": numbers.within("attempt"),
        "suppressed": numbers.within("suppressed"),
        "requests": counts.get("requests", 0),
        "request_errors": numbers.within("request"),
        "circuit": numbers.within("circuit"),
        "connection": numbers.within("connection"),
    }


def server_of(health: ServerHealth, options: Server | None, now: float) -> dict[str, Any]:
    """Write how a server is; `options` knows the sizes of its budget and its bulkheads."""
    limit = None if options is None else options.bulkhead.limit
    return {
        "name": health.name,
        "kind": health.kind,
        "state": health.state,
        "available": health.available,
        "since": seconds_of(health.since),
        "required": health.required,
        "protocol_version": health.protocol_version,
        "tools": health.tools,
        "resources": health.resources,
        "prompts": health.prompts,
        "in_flight": sum(endpoint.in_flight for endpoint in health.endpoints),
        "waiting": sum(endpoint.waiting for endpoint in health.endpoints),
        "retry_budget": {"tokens": health.retry_tokens, "size": None if options is None else options.retry.budget},
        "endpoints": [_endpoint(endpoint, limit, now) for endpoint in health.endpoints],
    }


def _endpoint(health: EndpointHealth, limit: int | None, now: float) -> dict[str, Any]:
    circuit = health.circuit
    return {
        "name": health.name,
        "state": health.state,
        "circuit": circuit.state,
        "circuit_for": None if circuit.since is None else seconds_of(now - circuit.since),
        "retry_after": _maybe(circuit.retry_after),
        "opened": circuit.open_count,
        "failures": circuit.failures,
        "samples": circuit.samples,
        "consecutive": circuit.consecutive,
        "in_flight": health.in_flight,
        "limit": limit,
        "waiting": health.waiting,
        "generation": health.generation,
        "pid": health.pid,
    }


def failure_of(health: ServerHealth, told: Failure | None, now: float, redactor: Redactor) -> dict[str, Any] | None:
    """Write the newest failure that is known.

    Health has the sentence, but of what speaks against the server only; events have the rest, but of attempts only.
    """
    seen = [
        (one.last_failure_ago, one.last_failure)
        for one in health.endpoints
        if one.last_failure is not None and one.last_failure_ago is not None
    ]
    ago, payload = min(seen, key=lambda one: one[0], default=(math.inf, None))
    told_ago = math.inf if told is None else now - told.at
    same = told is not None and payload is not None and told.code == payload.code
    tool = None if told is None or told.tool is None else redactor.text(told.tool)
    if told is not None and not same and told_ago <= ago:
        kind = CODES[told.code].type
        return {"ago": seconds_of(told_ago), "type": kind, "code": told.code, "tool": tool, "message": None}
    if payload is None:
        return None
    return {
        "ago": seconds_of(min(ago, told_ago) if same else ago),
        "type": payload.type,
        "code": payload.code,
        "tool": tool if same else None,
        "message": redactor.text(payload.message),
    }


def request_of(event: RequestFinished, ago: float) -> dict[str, Any]:
    """Write a request of our own."""
    return {
        "ago": seconds_of(ago),
        "method": event.method,
        "duration": seconds_of(event.duration),
        "code": event.code,
    }


def change_of(event: CircuitChanged | ConnectionChanged, ago: float) -> dict[str, Any]:
    """Write a change of a circuit or a connection."""
    common = {"ago": seconds_of(ago), "server": event.server, "endpoint": event.endpoint, "state": event.state}
    if isinstance(event, CircuitChanged):
        return common | {"what": "circuit", "previous": event.previous, "reason": event.reason, "code": None}
    return common | {"what": "connection", "previous": None, "reason": None, "code": event.code}


def _maybe(value: float | None) -> float | None:
    return None if value is None else seconds_of(value)
