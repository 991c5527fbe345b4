"""What each attribute of spans and metrics means, and what it can hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args

from recloser.errors import CODES, Delivered, ErrorType
from recloser.events import AttemptKind, CallOutcome, CircuitState, SuppressReason

__all__ = ["ATTRIBUTES", "Attribute"]


@dataclass(frozen=True, kw_only=True)
class Attribute:
    """One attribute."""

    type: Literal["string", "int", "double", "boolean"]
    meaning: str
    values: tuple[str, ...] = ()
    """All that it can hold, where that is a closed list."""
    others: bool = False
    """Whether it may hold something else besides."""


def _string(meaning: str, *values: str, others: bool = False) -> Attribute:
    return Attribute(type="string", meaning=meaning, values=values, others=others)


def _int(meaning: str) -> Attribute:
    return Attribute(type="int", meaning=meaning)


def _double(meaning: str) -> Attribute:
    return Attribute(type="double", meaning=meaning)


def _boolean(meaning: str) -> Attribute:
    return Attribute(type="boolean", meaning=meaning)


_STATES: Final = get_args(CircuitState)

_CONVENTIONS: Final[Mapping[str, Attribute]] = {
    "error.type": _string(
        "Why it failed. On calls a code of the error table; on attempts and other requests `tool_error` where the tool "
        "itself answered with an error, else the code of the server's JSON-RPC error, else a code of the error table.",
        "tool_error",
        *CODES,
        others=True,
    ),
    "gen_ai.operation.name": _string("What is done, for tools only.", "execute_tool"),
    "gen_ai.prompt.name": _string("The prompt, as its server calls it; `_OTHER` where the server does not list it."),
    "gen_ai.tool.call.arguments": _string("The arguments as JSON, redacted and cut. Only where content is captured."),
    "gen_ai.tool.call.result": _string("The result as JSON, redacted and cut. Only where content is captured."),
    "gen_ai.tool.name": _string("The tool, as its server calls it; `_OTHER` where the server does not list it."),
    "gen_ai.tool.type": _string("That the tool runs on the agent's side.", "extension"),
    "mcp.method.name": _string("The request's method, such as `tools/call`."),
    "mcp.protocol.version": _string("The version of MCP that was agreed on, such as `2025-11-25`."),
    "mcp.resource.uri": _string("The resource, redacted. Only where content is captured."),
    "network.protocol.name": _string("`http`, where it is that.", "http"),
    "network.transport": _string("How the server is reached; none for one of the same process.", "pipe", "tcp"),
    "rpc.response.status_code": _string(
        "The code of the JSON-RPC error that the server answered with. On metrics `_OTHER` beyond 32 codes a server."
    ),
    "server.address": _string("The host in the server's URL."),
    "server.port": _int("The port in the server's URL, said or meant."),
}

_OURS: Final[Mapping[str, Attribute]] = {
    "recloser.attempt.count": _int("Attempts that were let through to the server; 0 for a call that was rejected."),
    "recloser.attempt.kind": _string("Why there is this attempt.", *get_args(AttemptKind)),
    "recloser.attempt.number": _int("The attempt's number within its call, from 1."),
    "recloser.call.id": _string("Identifies the call; the same in logs and audit."),
    "recloser.catalog.change": _string("What happened to the tools.", "added", "removed"),
    "recloser.circuit_breaker.previous_state": _string("The state that the circuit was in before.", *_STATES),
    "recloser.circuit_breaker.reason": _string(
        "Why it changed.",
        "failures",
        "probe_failed",
        "probe_succeeded",
        "break_over",
        "reconnected",
        "operator",
    ),
    "recloser.circuit_breaker.state": _string(
        "The state of the server's circuit: on spans when they began, on metrics the one that is counted.", *_STATES
    ),
    "recloser.degraded": _boolean("Whether a fan-out had its quorum and still lacks an answer."),
    "recloser.delivered": _string("Whether the tool may have run; `no` is a proof.", *get_args(Delivered)),
    "recloser.endpoint.name": _string("The server's address that was used."),
    "recloser.error.class": _string("The class of the error.", *get_args(ErrorType)),
    "recloser.fan_out.answered": _int("How many calls were answered."),
    "recloser.fan_out.quorum": _int("How many had to be."),
    "recloser.fan_out.result": _string("The verdict.", "complete", "degraded", "failed"),
    "recloser.fan_out.size": _int("How many calls were made at once."),
    "recloser.generation": _int("How often the endpoint has been connected, this time included."),
    "recloser.outcome": _string("How the call ended for its caller.", *get_args(CallOutcome)),
    "recloser.result.is_error": _boolean("Whether the tool itself answered with an error: an answer like any other."),
    "recloser.retry.count": _int("Attempts that followed a failed one."),
    "recloser.retry.decision": _string(
        "What was decided about a failed attempt: `retry`, or why not.", "retry", *get_args(SuppressReason)
    ),
    "recloser.retry.delay": _double("Seconds of back-off: of a call in all, of an attempt those before it."),
    "recloser.retry.suppress_reason": _string("Why a retry was left out.", *get_args(SuppressReason)),
    "recloser.server.name": _string("The server's name in the configuration; `_OTHER` where there is no such server."),
    "recloser.timeout": _double("Seconds that the whole call had."),
}

ATTRIBUTES: Final[Mapping[str, Attribute]] = {**_CONVENTIONS, **_OURS}
"""By name: those of the conventions, then our own."""
