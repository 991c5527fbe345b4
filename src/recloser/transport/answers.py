"""What the bytes of a request and of its answer say, found out at the least cost.

Our own requests are only looked at where the SDK's writer puts the id. An answer is parsed, or the SDK would tell the
log what it could not read; the usual one at a fraction of what the SDK's own reading costs.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Final, Literal

from mcp.shared.jsonrpc_dispatcher import cancelled_request_id_from_params
from mcp_types import JSONRPCError, JSONRPCMessage, JSONRPCResponse, RequestId

from recloser.transport.readable import readable

__all__ = [
    "Answer",
    "Envelope",
    "answers_another",
    "cancelled_id",
    "envelope",
    "means_session_lost",
    "read_answer",
    "rpc_error",
]

_VERSION: Final = rb'"jsonrpc"\s*+:\s*+"2\.0"\s*+'
_ID: Final = rb'"id"\s*+:\s*+(-?\d{1,18}+|"[ !#-\[\]-~]{0,99}+")\s*+'

# {"jsonrpc":"2.0","id":3,"method":"tools/call",…
_REQUEST: Final = re.compile(rb"\s*+\{\s*+" + _VERSION + rb",\s*+" + _ID + rb',\s*+"method"\s*+:\s*+"([^"\\]*+)"')

# A lost session is told by a 404 (specification, "Session Management"), but also, by servers that are in wide use:
# 400 'Bad Request: No valid session ID provided' (examples of the TypeScript SDK: typescript-sdk#389, #1476; older
# Python SDKs: python-sdk#1727), 400 'Bad Request: Server not initialized' (a fresh transport of the TypeScript SDK that
# gets an old session's request), 400 'Invalid session ID' (mcp-go before mcp-go#689), 400 'No active session'
# (anubis-mcp#123), 401 'Unauthorized: Session not found' (rmcp before rust-sdk#689 was closed).
# A login that has expired may look like the last one: then the new session is refused with the same 401, and said so.
_LOST: Final = re.compile(
    rb"session[^.\n]{0,40}?(?:not found|not active|unknown|invalid|expired|terminated|closed|no longer|does not exist)"
    rb"|\b(?:no|not a|unknown|invalid|expired|could not find)\b[^.\n]{0,20}?session"
    rb"|\bnot initialized\b",
    re.IGNORECASE,
)
_LOST_CODES: Final = frozenset({-32600, -32000, -32001})
"""The codes that servers give to it; with another one the error is about something else."""
_EXCERPT: Final = 4096


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """The outside of a message that we send."""

    id: RequestId | None = None
    """None for a notification, and for our answer to a server's request."""
    method: str = ""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What an answer's body is; `replacement` is what the SDK should read instead of it."""

    fault: Literal["malformed", "wrong_id"] | None = None
    replacement: bytes | None = None


def envelope(content: bytes) -> Envelope:
    """Return the outside of a JSON-RPC message; an empty one if it is none."""
    if usual := _REQUEST.match(content):
        return Envelope(id=_id(usual[1]), method=usual[2].decode())
    try:
        message: Any = json.loads(content)
    except ValueError:
        return Envelope()
    if not isinstance(message, dict) or not isinstance(method := message.get("method"), str):
        return Envelope()
    return Envelope(id=message.get("id"), method=method)


def cancelled_id(content: bytes) -> RequestId | None:
    """Return which request a `notifications/cancelled` is about; None if it does not say."""
    return cancelled_request_id_from_params(json.loads(content).get("params"))


def read_answer(body: bytes, wanted: RequestId) -> Answer:
    """Return whether a body of status 200 answers the request `wanted`."""
    found = readable(body)
    if found is None:
        return Answer(fault="malformed")
    text, message = found
    replacement = None if text is body else text
    if not isinstance(message, dict | JSONRPCResponse | JSONRPCError):
        return Answer(fault="malformed")
    if isinstance(message, JSONRPCError) and message.id is None:
        # The server could not read the id. The SDK would wait on for an answer that carries it.
        ours = JSONRPCError(jsonrpc="2.0", id=wanted, error=message.error)
        return Answer(replacement=ours.model_dump_json(by_alias=True, exclude_unset=True).encode())
    return Answer(fault="wrong_id") if answers_another(message, wanted) else Answer(replacement=replacement)


def answers_another(message: JSONRPCMessage | dict[str, Any], wanted: RequestId) -> bool:
    """Return whether a message is an answer, but not to the request `wanted`; one without an id may be to any."""
    if isinstance(message, dict):
        return not _same(message["id"], wanted)
    if not isinstance(message, JSONRPCResponse | JSONRPCError):
        return False
    return message.id is not None and not _same(message.id, wanted)


def _id(text: bytes) -> RequestId:
    if text.startswith(b'"'):
        name: str = json.loads(text)
        return name
    return int(text)  # what the SDK numbers its requests with, and far cheaper


def _same(one: RequestId, other: RequestId) -> bool:
    return str(one) == str(other)  # the SDK takes "7" for 7, since some servers send that


def rpc_error(body: bytes) -> JSONRPCError | None:
    """Return the JSON-RPC error that a body is; None for anything else, `{"error": "invalid_token"}` for one."""
    found = readable(body)
    message = None if found is None else found[1]
    return message if isinstance(message, JSONRPCError) else None


def means_session_lost(status: int, body: bytes, error: JSONRPCError | None) -> bool:
    """Return whether a refusal of a request that named our session says that the session is gone."""
    if error is not None and error.error.code not in _LOST_CODES:
        return False
    if status == 404:
        return True
    return status in (400, 401, 410) and _LOST.search(body[:_EXCERPT]) is not None
