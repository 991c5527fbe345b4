"""What an audit says about one logical call: who, what, when and how it ended, and nothing of what was said in it.

Every field is a name, a number, a code of ours or a keyed hash. The two names that are somebody's text, the caller's
and the tool's, are redacted and bounded before they come here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, TypeAlias

from recloser.errors import ErrorType
from recloser.events import AttemptFinished, CallOutcome, CircuitState

__all__ = [
    "SCHEMA",
    "AuditGap",
    "AuditPolicy",
    "AuditRecord",
    "AuditedArguments",
    "AuditedResult",
    "Entry",
    "Unmade",
]

SCHEMA: Final = "recloser.audit/1"
"""The first field of every line; a field that changes its meaning or goes makes it another number."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditPolicy:
    """Under what terms the call was made."""

    timeout: float | None
    """Seconds that the caller gave the call; None means the server's configured total."""
    safe: bool
    """Whether it was known to be safe to repeat."""

    def to_dict(self) -> dict[str, Any]:
        """Return the terms as plain JSON values."""
        return {"timeout": None if self.timeout is None else float(self.timeout), "safe": self.safe}


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditedArguments:
    """The arguments, so that equal ones can be told and none can be read."""

    hmac_sha256: str | None
    """HMAC-SHA256 of their canonical JSON under the audit's key, as 64 hexadecimal digits.

    None where nothing was sent and they are no JSON, or too large to be worth it.
    """
    bytes: int
    """Size of that JSON; an estimate where there is no hash."""

    def to_dict(self) -> dict[str, Any]:
        """Return both as plain JSON values."""
        return {"hmac_sha256": self.hmac_sha256, "bytes": self.bytes}


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditedResult:
    """Kind and size of a result."""

    is_error: bool
    """Whether the tool itself answered with an error."""
    content_types: tuple[str, ...]
    """The kinds of its contents, each once: text, image, audio, resource, resource_link, blob, other."""
    content_count: int
    structured: bool
    """Whether there is structured content."""
    bytes: int
    """What its contents hold: texts in UTF-8, data in base64 as it was sent, structured content as compact JSON, all
    without escapes and without the names of the protocol's own fields."""
    exact: bool
    """Whether `bytes` was counted in full; a large result is measured by samples."""

    def to_dict(self) -> dict[str, Any]:
        """Return the facts as plain JSON values."""
        return {
            "is_error": self.is_error,
            "content_types": list(self.content_types),
            "content_count": self.content_count,
            "structured": self.structured,
            "bytes": self.bytes,
            "exact": self.exact,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditRecord:
    """One logical call that has ended, however it ended; a rejected one, or one to an unknown tool, too."""

    schema: str = SCHEMA
    event: Literal["call"] = "call"
    call_id: str
    method: str
    """The MCP method, such as `tools/call`."""
    started: datetime
    """When the call came; in the line: ISO 8601, UTC, microseconds. The line's `ended` is this plus `duration`, so that
    a clock that is set meanwhile does not matter."""
    duration: float
    """Seconds."""
    caller: str | None
    """Who asked, in the words of the host; redacted and bounded. An audit that cannot say who would be of no use, so
    the name stands here in the plain: a host that must keep it out hands in a pseudonym as `caller`."""
    caller_id: str | None
    """HMAC-SHA256 of the whole name under the audit's key: tells callers apart whose shown names are alike, and is all
    that need be passed on where names must not be."""
    server: str | None
    """None where no server was asked, since there is no such thing."""
    tool: str
    """What the server calls the thing that was asked for, a prompt's name or a resource's URI too, else what the caller
    said; redacted and bounded."""
    known: bool
    """Whether `tool` stands in the server's list; what does not is a caller's text."""
    outcome: CallOutcome
    code: str | None
    """The error's code."""
    error_class: ErrorType | None
    attempts: tuple[AttemptFinished, ...]
    """Those that have ended, in the order of their ends; empty where the call was rejected. In the line each has `n`,
    `kind`, `endpoint`, `duration` in seconds, `code` (None for a result) and `jsonrpc_code`."""
    retries: int
    delay: float
    """Seconds spent in back-off."""
    circuit_before: CircuitState | None
    circuit_after: CircuitState | None
    protocol_version: str | None
    """The protocol's version that the last attempt spoke."""
    trace_id: str | None
    span_id: str | None
    policy: AuditPolicy
    arguments: AuditedArguments
    result: AuditedResult | None
    """None where there was none."""

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain JSON values."""
        # Written out: dataclasses.asdict() copies all values deeply and takes ten times as long.
        return {
            "schema": self.schema,
            "event": self.event,
            "call_id": self.call_id,
            "method": self.method,
            "started": _utc(self.started),
            "ended": _utc(self.started + timedelta(seconds=self.duration)),
            "duration": round(self.duration, 6),
            "caller": self.caller,
            "caller_id": self.caller_id,
            "server": self.server,
            "tool": self.tool,
            "known": self.known,
            "outcome": self.outcome,
            "code": self.code,
            "error_class": self.error_class,
            "attempts": [_attempt(one) for one in self.attempts],
            "retries": self.retries,
            "delay": round(self.delay, 6),
            "circuit_before": self.circuit_before,
            "circuit_after": self.circuit_after,
            "protocol_version": self.protocol_version,
            "trace_id": self.trace_id,
            "span_id": self.span_id,
            "policy": self.policy.to_dict(),
            "arguments": self.arguments.to_dict(),
            "result": None if self.result is None else self.result.to_dict(),
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditGap:
    """Records that are missing at this place of the file, since they could not be written and not be kept."""

    schema: str = SCHEMA
    event: Literal["gap"] = "gap"
    lost: int
    """How many."""
    since: datetime
    """When the first of them had started."""
    until: datetime
    """When the last of them had started."""

    def to_dict(self) -> dict[str, Any]:
        """Return the gap as plain JSON values."""
        return {
            "schema": self.schema,
            "event": self.event,
            "lost": self.lost,
            "since": _utc(self.since),
            "until": _utc(self.until),
        }


class Unmade:
    """A record that is made by whoever writes it, from what does not change any more."""

    __slots__ = ("_make", "started")

    def __init__(self, started: datetime, make: Callable[[], AuditRecord]) -> None:
        self.started = started
        """When the call came."""
        self._make = make

    def to_dict(self) -> dict[str, Any]:
        """Make the record and return it as plain JSON values."""
        return self._make().to_dict()


Entry: TypeAlias = AuditRecord | Unmade | AuditGap
"""What makes one line of the file."""


def _attempt(done: AttemptFinished) -> dict[str, Any]:
    return {
        "n": done.attempt,
        "kind": done.kind,
        "endpoint": done.endpoint,
        "duration": round(done.duration, 6),
        "code": done.code,
        "jsonrpc_code": done.jsonrpc_code,
    }


def _utc(moment: datetime) -> str:
    here = moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    return f"{here.isoformat(timespec='microseconds')[:26]}Z"
