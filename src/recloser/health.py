"""How servers and their endpoints are, as frozen records for people and programs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from recloser.errors import ErrorPayload
from recloser.events import ConnectionState
from recloser.options import Server
from recloser.policies.breaker import CircuitSnapshot

__all__ = ["EndpointHealth", "ServerHealth", "nothing_of"]


@dataclass(frozen=True, kw_only=True)
class EndpointHealth:
    """One address of a server."""

    name: str
    state: ConnectionState
    circuit: CircuitSnapshot
    in_flight: int
    waiting: int
    """Attempts that wait for a place in the bulkhead."""
    generation: int
    """How often it has been connected."""
    pid: int | None = None
    last_failure: ErrorPayload | None = None
    last_failure_ago: float | None = None
    """Seconds since then."""


@dataclass(frozen=True, kw_only=True)
class ServerHealth:
    """One server."""

    name: str
    kind: str
    state: Literal["idle", "connecting", "ready", "failed", "closed", "disabled"]
    available: bool
    """Whether a call may succeed now."""
    since: float
    """Seconds since the state was reached."""
    required: bool
    protocol_version: str | None
    tools: int
    resources: int
    prompts: int
    retry_tokens: int
    """What is left of the retry budget."""
    endpoints: tuple[EndpointHealth, ...]
    error: ErrorPayload | None = None
    """The last failure that speaks against the server."""
    stderr: str | None = None
    """The tail of what its process said on stderr, redacted."""

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain JSON values."""
        return asdict(self)


def nothing_of(server: Server) -> ServerHealth:
    """Return the health of a server that was never started because it is switched off."""
    return ServerHealth(
        name=server.name,
        kind=server.kind,
        state="disabled",
        available=False,
        since=0.0,
        required=server.required,
        protocol_version=None,
        tools=0,
        resources=0,
        prompts=0,
        retry_tokens=server.retry.budget,
        endpoints=(),
    )
