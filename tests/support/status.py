"""Events, healths and status documents for tests of who watches a router."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from recloser.errors import ErrorPayload, error_for
from recloser.events import AttemptFinished, CallFinished, RequestFinished
from recloser.health import EndpointHealth, ServerHealth
from recloser.policies.breaker import CircuitSnapshot


def call(server: str | None = "search", **fields: Any) -> CallFinished:
    """A call that has succeeded at once, but for what is said otherwise."""
    code = fields.get("code")
    usual: dict[str, Any] = {
        "call_id": "1",
        "method": "tools/call",
        "key": f"{server}__web",
        "name": "web",
        "known": True,
        "caller": None,
        "outcome": "success" if code is None else "error",
        "code": None,
        "attempts": 1,
        "duration": 0.1,
    }
    return CallFinished(server=server, **usual | fields)


def attempt(server: str = "search", **fields: Any) -> AttemptFinished:
    """An attempt that has succeeded, but for what is said otherwise."""
    usual: dict[str, Any] = {
        "call_id": "1",
        "endpoint": f"{server}/0",
        "method": "tools/call",
        "name": "web",
        "known": True,
        "attempt": 1,
        "kind": "primary",
        "duration": 0.1,
        "code": None,
    }
    return AttemptFinished(server=server, **usual | fields)


def request(server: str = "search", **fields: Any) -> RequestFinished:
    """A sign of life, but for what is said otherwise."""
    return RequestFinished(server=server, **{"method": "ping", "duration": 0.002, "code": None} | fields)


def circuit(state: Any = "closed", **fields: Any) -> CircuitSnapshot:
    """A circuit in a state."""
    usual: dict[str, Any] = {
        "since": None,
        "failures": 0,
        "samples": 0,
        "consecutive": 0,
        "retry_after": None,
        "open_count": 0,
    }
    return CircuitSnapshot(state=state, **usual | fields)


def endpoint(name: str = "search/0", **fields: Any) -> EndpointHealth:
    """An endpoint that is ready and does nothing."""
    usual: dict[str, Any] = {"state": "ready", "circuit": circuit(), "in_flight": 0, "waiting": 0, "generation": 1}
    return EndpointHealth(name=name, **usual | fields)


def health(name: str = "search", endpoints: Sequence[EndpointHealth] | None = None, **fields: Any) -> ServerHealth:
    """A server that is ready."""
    usual: dict[str, Any] = {
        "kind": "http",
        "state": "ready",
        "available": True,
        "since": 12.0,
        "required": False,
        "protocol_version": "2026-07-28",
        "tools": 3,
        "resources": 0,
        "prompts": 0,
        "retry_tokens": 500,
    }
    own = (endpoint(f"{name}/0"),) if endpoints is None else tuple(endpoints)
    return ServerHealth(name=name, endpoints=own, **usual | fields)


def payload(code: str = "timeout", message: str = "server 'search' did not answer in time; try again later.") -> Any:
    """A payload of a failure."""
    found: ErrorPayload = error_for(code, message, server="search").payload
    return found
