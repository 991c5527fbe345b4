"""Everything that can go wrong with a call, as one tree and one payload.

    RouterError               has .payload
    ├── TransientError        may work later: retried where that is safe
    │   └── CircuitOpen       rejected at once, nothing was sent
    ├── AuthError             credentials are missing, expired or not enough
    └── CriticalError         repeating will not help

Foreign exceptions become these in `classify`, once; these become an [`ErrorPayload`][] at the router's exit. The codes
and what each means stand in [`CODES`][], the one table from which `docs/errors.md` is checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType
from typing import Any, Final, Literal

import mcp_types as types

__all__ = [
    "CODES",
    "AuthError",
    "Cause",
    "CircuitOpen",
    "CodeFacts",
    "CriticalError",
    "ErrorPayload",
    "RouterError",
    "TransientError",
    "as_result",
    "disown",
    "error_for",
    "error_from",
    "error_of",
]

SCHEMA: Final = "recloser.error/1"

ErrorType = Literal["transient", "auth", "critical"]
Delivered = Literal["no", "maybe", "yes"]
NextAction = Literal["retry_later", "fix_arguments", "reauthenticate", "use_other_tool", "ask_operator"]


@dataclass(frozen=True, kw_only=True)
class CodeFacts:
    """What a code says when nothing more is known about the one case."""

    type: ErrorType
    delivered: Delivered
    next_action: NextAction
    evidence: bool
    """Whether it counts against the server in its circuit breaker."""


def _transient(delivered: Delivered, *, evidence: bool) -> CodeFacts:
    return CodeFacts(type="transient", delivered=delivered, next_action="retry_later", evidence=evidence)


def _critical(delivered: Delivered, next_action: NextAction, *, evidence: bool = False) -> CodeFacts:
    return CodeFacts(type="critical", delivered=delivered, next_action=next_action, evidence=evidence)


CODES: Final[Mapping[str, CodeFacts]] = MappingProxyType(
    {
        "timeout": _transient("maybe", evidence=True),
        "connection_lost": _transient("maybe", evidence=True),
        "unreachable": _transient("no", evidence=True),
        "overloaded": _transient("no", evidence=False),
        "server_error": _transient("maybe", evidence=True),
        "circuit_open": _transient("no", evidence=False),
        "bulkhead_full": _transient("no", evidence=False),
        "throttled": _transient("no", evidence=False),
        "unauthenticated": CodeFacts(type="auth", delivered="no", next_action="reauthenticate", evidence=False),
        "forbidden": CodeFacts(type="auth", delivered="no", next_action="ask_operator", evidence=False),
        "server_fault": _critical("maybe", "use_other_tool", evidence=True),
        "invalid_request": _critical("no", "fix_arguments"),
        "unknown_tool": _critical("no", "use_other_tool"),
        "unknown_server": _critical("no", "use_other_tool"),
        "protocol_violation": _critical("maybe", "ask_operator", evidence=True),
        "invalid_result": _critical("yes", "use_other_tool"),
        "cannot_start": _critical("no", "ask_operator", evidence=True),
        "quorum_missed": _critical("maybe", "use_other_tool"),
        "internal": _critical("maybe", "ask_operator"),
    }
)
"""Every code of a payload, in the order of `docs/errors.md`."""


@dataclass(frozen=True, kw_only=True)
class Cause:
    """What was seen underneath, without its text: that may hold a secret."""

    exception: str | None = None
    """The foreign exception's type, such as `httpx2.ConnectError`."""
    jsonrpc_code: int | None = None
    http_status: int | None = None


@dataclass(frozen=True, kw_only=True)
class ErrorPayload:
    """The one form in which every failure reaches a host, a model, a log and the command line."""

    schema: str = SCHEMA
    type: ErrorType
    code: str
    message: str
    """One sentence that names the server and says what to do; holds no secret."""
    server: str | None = None
    tool: str | None = None
    retryable: bool = False
    """Whether the same call may succeed later, unchanged."""
    retry_after: float | None = None
    """Seconds after which trying again makes sense, where somebody said so."""
    attempts: int = 0
    elapsed: float = 0.0
    """Seconds that the caller waited."""
    delivered: Delivered = "maybe"
    """Whether the tool may have run: `no` is a proof, `maybe` is not."""
    next_action: NextAction = "ask_operator"
    cause: Cause | None = None
    trace_id: str | None = None

    def __post_init__(self) -> None:
        if self.code not in CODES:
            raise ValueError(f"unknown error code {self.code!r}; known: {', '.join(CODES)}")
        if self.retry_after is not None and self.retry_after < 0:
            raise ValueError(f"retry_after must not be negative, got {self.retry_after!r}")
        if self.elapsed < 0:
            raise ValueError(f"elapsed must not be negative, got {self.elapsed!r}")

    def to_dict(self) -> dict[str, Any]:
        """Return the payload as plain JSON values."""
        # asdict() copies in depth, at fifteen times the cost; an open circuit makes one of these for every call.
        told: dict[str, Any] = {name: getattr(self, name) for name in self.__dataclass_fields__}
        if self.cause is not None:
            told["cause"] = asdict(self.cause)
        return told

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ErrorPayload:
        """Read a payload back; fields that this version does not know are passed over.

        Raises:
            ValueError: it is no payload of ours, or its schema has another major version.
        """
        if data.get("schema") != SCHEMA:
            raise ValueError(f"not a {SCHEMA} payload: schema is {data.get('schema')!r}")
        known = {name: data[name] for name in cls.__dataclass_fields__ if name in data}
        if isinstance(cause := known.get("cause"), Mapping):
            known["cause"] = Cause(**{name: cause[name] for name in Cause.__dataclass_fields__ if name in cause})
        try:
            return cls(**known)
        except TypeError as error:
            raise ValueError(f"not a {SCHEMA} payload: {error}") from error


class RouterError(Exception):
    """A call failed; `payload` says all that a program needs to know."""

    def __init__(self, payload: ErrorPayload, *, evidence: bool | None = None) -> None:
        super().__init__(payload.message)
        self.payload = payload
        """Replaced once, at the router's exit, by one that also tells the call's attempts and time."""
        self.evidence = CODES[payload.code].evidence if evidence is None else evidence
        """Whether this speaks against the server; read by Breaker alone."""

    def __reduce__(self) -> tuple[Any, ...]:
        return error_from, (self.payload, self.evidence)

    def annotate(self, **facts: Any) -> RouterError:
        """Fill fields of the payload and return the same error, ready to be raised."""
        self.payload = replace(self.payload, **facts)
        self.args = (self.payload.message,)
        return self


class TransientError(RouterError):
    """It may work later."""


class CircuitOpen(TransientError):  # noqa: N818 - a state of the server, named as in the field
    """The server's circuit is open: the call was rejected at once and nothing was sent."""


class AuthError(RouterError):
    """Credentials are missing, expired, or do not allow this."""


class CriticalError(RouterError):
    """Repeating the call will not help."""


_CLASSES: Final[Mapping[str, type[RouterError]]] = MappingProxyType(
    {"transient": TransientError, "auth": AuthError, "critical": CriticalError}
)


def error_from(payload: ErrorPayload, evidence: bool | None = None) -> RouterError:
    """Return the error of the tree that fits a payload."""
    kind = CircuitOpen if payload.code == "circuit_open" else _CLASSES[payload.type]
    return kind(payload, evidence=evidence)


def error_for(code: str, message: str, *, evidence: bool | None = None, **facts: Any) -> RouterError:
    """Return the error of the tree for a code; `facts` are further fields of its payload.

    Raises:
        KeyError: the code is not in `CODES`.
    """
    known = CODES[code]
    facts.setdefault("type", known.type)
    facts.setdefault("delivered", known.delivered)
    facts.setdefault("next_action", known.next_action)
    facts.setdefault("retryable", facts["type"] == "transient")
    return error_from(ErrorPayload(code=code, message=message, **facts), evidence)


def as_result(payload: ErrorPayload) -> types.CallToolResult:
    """Return a payload as the tool result that hosts and models understand."""
    return types.CallToolResult(
        content=[types.TextContent(type="text", text=payload.message)],
        structured_content={"error": payload.to_dict()},
        is_error=True,
    )


class _Foreign(dict[str, Any]):
    """What a server said in the form of our payload: a dict like any other, but not taken for ours.

    It is part of the result, so that the mark goes along when the result is copied or sent to another process.
    """

    __slots__ = ()


def disown(result: types.CallToolResult) -> None:
    """Mark a server's own answer, if it has the form of a payload, so that `error_of` does not take it for ours.

    It stays equal to what it was, and the same JSON.
    """
    if (error := _told(result)) is not None:
        result.structured_content = {**result.structured_content, "error": _Foreign(error)}


def error_of(result: types.CallToolResult) -> ErrorPayload | None:
    """Return recloser's payload out of a tool result, or None if the result is an answer of the tool itself.

    A tool that answers in the form of a payload cannot pass for recloser here. Only of a result that was dumped and
    read back nobody knows who made it: there, what has the form of a payload is taken for one.
    """
    error = _told(result)
    if error is None or isinstance(error, _Foreign):
        return None
    try:
        return ErrorPayload.from_dict(error)
    except (ValueError, TypeError):
        return None  # a server's own, that only looks like ours


def _told(result: types.CallToolResult) -> Mapping[str, Any] | None:
    """Return what stands in a result where our payload would, if it says that it is one."""
    if not result.is_error or not isinstance(result.structured_content, Mapping):
        return None
    error = result.structured_content.get("error")
    return error if isinstance(error, Mapping) and error.get("schema") == SCHEMA else None
