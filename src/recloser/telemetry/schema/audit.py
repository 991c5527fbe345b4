"""Every line of the audit: its fields, and what they mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, get_args

from recloser.audit.record import SCHEMA
from recloser.errors import ErrorType
from recloser.events import AttemptKind, CallOutcome, CircuitState
from recloser.telemetry.schema.records import Field

__all__ = ["AUDIT"]


def _text(name: str, meaning: str, *values: str, nullable: bool = False) -> Field:
    return Field(name=name, type="string", meaning=meaning, nullable=nullable, values=values)


def _maybe(name: str, meaning: str, *values: str) -> Field:
    return _text(name, meaning, *values, nullable=True)


def _of(kind: str, name: str, meaning: str, *, nullable: bool = False) -> Field:
    return Field(name=name, type=kind, meaning=meaning, nullable=nullable)


_STATES: Final = get_args(CircuitState)

_CALL: Final = (
    _text("schema", "The form of the line.", SCHEMA),
    _text("event", "That it is a call.", "call"),
    _text("call_id", "Identifies the call; the same in spans and logs."),
    _text("method", "The MCP method, such as `tools/call`."),
    _text("started", "When the call came: ISO 8601, UTC, with microseconds."),
    _text("ended", "`started` plus `duration`, so that a clock that is set meanwhile does not matter."),
    _of("number", "duration", "Seconds that the caller waited."),
    _maybe("caller", "Who asked, in the words of the host, redacted and cut; null where it did not say."),
    _maybe("caller_id", "Keyed hash of the whole name: for those who may not see names, and for names that were cut."),
    _maybe("server", "The server; null where there is no such one, so that none was asked."),
    _text("tool", "What the server calls the tool, prompt or resource; else what the caller said. Redacted and cut."),
    _of("boolean", "known", "Whether `tool` stands in the server's list."),
    _text("outcome", "How it ended for the caller.", *get_args(CallOutcome)),
    _maybe("code", "Why it failed: a code of the error table."),
    _maybe("error_class", "The class of the error.", *get_args(ErrorType)),
    _of("array of objects", "attempts", "The attempts, in the order of their ends; none where the call was rejected."),
    _of("integer", "attempts[].n", "Its number, from 1."),
    _text("attempts[].kind", "Why there is this attempt.", *get_args(AttemptKind)),
    _text("attempts[].endpoint", "The server's address that was used."),
    _of("number", "attempts[].duration", "Seconds."),
    _maybe("attempts[].code", "Why it failed, or `cancelled`; null for a result."),
    _of("integer", "attempts[].jsonrpc_code", "The code of the server's JSON-RPC error.", nullable=True),
    _of("integer", "retries", "How many attempts followed a failed one."),
    _of("number", "delay", "Seconds of back-off."),
    _maybe("circuit_before", "The server's circuit when the call came.", *_STATES),
    _maybe("circuit_after", "The same when it had ended.", *_STATES),
    _maybe("protocol_version", "The version of MCP that the last attempt spoke."),
    _maybe("trace_id", "The trace, as 32 hexadecimal digits, where there is one."),
    _maybe("span_id", "The call's own span, as 16 hexadecimal digits."),
    _of("object", "policy", "Under what terms the call was made."),
    _of("number", "policy.timeout", "Seconds that the caller gave it; null for the server's own total.", nullable=True),
    _of("boolean", "policy.safe", "Whether it was known to be safe to repeat."),
    _of("object", "arguments", "The arguments, so that equal ones can be told and none can be read."),
    _maybe(
        "arguments.hmac_sha256",
        "HMAC-SHA256 of their canonical JSON under the audit's key; null where they never were JSON of bounded size.",
    ),
    _of("integer", "arguments.bytes", "Size of that JSON; an estimate where there is no hash."),
    _of("object", "result", "Kind and size of the result; null where there was none.", nullable=True),
    _of("boolean", "result.is_error", "Whether the tool itself answered with an error."),
    _of("array of strings", "result.content_types", "Kinds of contents, each once: text, image, audio, resource, …"),
    _of("integer", "result.content_count", "How many contents there are."),
    _of("boolean", "result.structured", "Whether there is structured content."),
    _of("integer", "result.bytes", "What the contents hold, without the protocol's own words."),
    _of("boolean", "result.exact", "Whether that was counted; a large result is measured by samples."),
)

_GAP: Final = (
    _text("schema", "The form of the line.", SCHEMA),
    _text("event", "That lines are missing here.", "gap"),
    _of("integer", "lost", "How many."),
    _text("since", "When the first of their calls had come."),
    _text("until", "When the last of them had come."),
)

AUDIT: Final[Mapping[str, tuple[Field, ...]]] = {"call": _CALL, "gap": _GAP}
"""By the line's `event`."""
