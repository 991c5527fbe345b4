"""Every line that recloser writes to the log about events: its name, its level and its fields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from recloser.events import AttemptFinished, CallFinished, Event
from recloser.telemetry.listener import EVENTS
from recloser.telemetry.schema.records import Field, fields_of

__all__ = ["EVERYWHERE", "LINES", "Line"]


@dataclass(frozen=True, kw_only=True)
class Line:
    """One kind of line. A field that would be null or empty is left out of it."""

    event: str
    levels: Mapping[str, str]
    """Its level, and when it is that."""
    fields: tuple[Field, ...]


def _string(name: str, meaning: str) -> Field:
    return Field(name=name, type="string", meaning=meaning)


EVERYWHERE: Final = (
    _string("timestamp", "When: ISO 8601, UTC."),
    _string("level", "`debug`, `info`, `warning`, `error` or `critical`."),
    _string("logger", "Who logs: `recloser`, or another library of the process."),
    _string("event", "What is told: a name of the table of lines, or a message."),
    _string("call_id", "The call within which it is told; the same in spans and audit."),
    _string("server", "The server that it is about."),
    _string("tool", "The tool, where it is about a call of one."),
    _string("name", "The prompt or the resource, where it is about one."),
    _string("trace_id", "The trace, as 32 hexadecimal digits, where there is one."),
    _string("span_id", "The span within it, as 16 hexadecimal digits."),
    Field(
        name="exception",
        type="array of objects",
        meaning=(
            "An exception: types, messages and places, redacted, without the values of variables; the messages of "
            "those that quote what was sent only where content is captured."
        ),
    ),
    Field(
        name="cut",
        type="integer",
        meaning="Characters of a line that was too long, of which only the main fields are kept.",
    ),
)
"""What any line may have, those of other libraries too."""

_LEVELS: Final[Mapping[str, Mapping[str, str]]] = {
    "call_finished": {"warning": "it failed", "debug": "it did not"},
    "attempt_finished": {"debug": "always"},
    "request_finished": {"debug": "always"},
    "retry_scheduled": {"info": "always"},
    "retry_suppressed": {
        "info": "it could have been tried again but for budget, deadline, circuit or number of attempts",
        "debug": "trying again would not have helped, or would not have been safe",
    },
    "circuit_changed": {"warning": "it is open or isolated now", "info": "it is not"},
    "connection_changed": {
        "warning": "it failed or was lost",
        "info": "it is ready",
        "debug": "it is in between, or closed",
    },
    "catalog_changed": {"info": "always"},
    "fan_out_finished": {"warning": "it is degraded or failed", "debug": "it is complete"},
}

# All but the caller and the key, which the log leaves out: one stands in the audit alone, the other is a name again.
_MEANINGS: Final[Mapping[str, str]] = {
    "added": "Tools that the server offers now; of more than ten, how many more.",
    "answered": "How many calls were answered.",
    "attempt": "The attempt's number, from 1; of a retry, of the attempt that failed.",
    "attempts": "Attempts that were let through to the server.",
    "available": "Whether the server may be called.",
    "call_id": "Identifies the call; the same in spans and audit.",
    "circuit_after": "The circuit when the call had ended.",
    "circuit_before": "The circuit when the call came.",
    "code": "Why it failed: a code of the error table, or `cancelled` by the caller.",
    "delay": "Seconds of back-off.",
    "delivered": "Whether the server may have run it all the same.",
    "duration": "Seconds.",
    "endpoint": "The server's address.",
    "generation": "How often it has been connected.",
    "is_error": "Whether the tool itself answered with an error.",
    "jsonrpc_code": "The code of the JSON-RPC error that the server answered with.",
    "kind": "Why there is this attempt.",
    "known": "Whether the name stands in the server's list; one that does not is a caller's text.",
    "lasted": "Seconds that the session was ready, told when it has ended.",
    "method": "The request's method, such as `tools/call`.",
    "name": "What the server calls the thing.",
    "outcome": "How it ended.",
    "previous": "The circuit's state before.",
    "protocol_version": "The version of MCP that was agreed on.",
    "quorum": "How many calls had to be answered.",
    "reason": "Why a retry was left out, or why the circuit changed.",
    "removed": "Tools that it offers no more.",
    "retries": "How many attempts followed a failed one.",
    "retry_after": "Seconds until an open circuit lets a probe through, or after which trying again makes sense.",
    "server": "The server's name.",
    "shadowed": "Bare names that the server's tools could not have because another server holds them.",
    "size": "How many calls were made at once.",
    "span_id": "The call's own span, as 16 hexadecimal digits.",
    "state": "The circuit's or connection's state now.",
    "trace_id": "The trace, as 32 hexadecimal digits, where there is one.",
    "type": "The class of the error.",
}


def _fields(event: type[Event]) -> Iterator[Field]:
    for field in fields_of(event, _MEANINGS):
        yield field
        if field.name == "name" and event in (CallFinished, AttemptFinished):
            yield replace(field, name="tool", meaning="What the server calls the tool; in place of `name`.")


_SUPPRESSED: Final = Line(
    event="suppressed",
    levels={"warning": "those that it stands for are", "info": "they are"},
    fields=(
        _string("of", "The lines' event."),
        _string("server", "Their server."),
        _string("why", "What they have in common: code, state, reason or outcome."),
        Field(name="count", type="integer", meaning="How many lines were left out."),
    ),
)

LINES: Final = (
    *(Line(event=name, levels=_LEVELS[name], fields=tuple(_fields(event))) for event, name in EVENTS.items()),
    _SUPPRESSED,
)
"""All of them, in the order of the documentation."""
