"""What a request is answered with: results in the shape of their method, and failures as a server would cause them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel

from recloser.errors import CODES
from recloser.facts import FAULT_CODE, HttpFacts
from recloser.testing.faulty.work import INVALID_PARAMS, RpcError

__all__ = ["CAUSES", "failure_of", "result_of", "was_executed"]


def _status(status: int) -> HttpFacts:
    return HttpFacts(kind="status", sent=True, status=status)


CAUSES: Final[Mapping[str, HttpFacts]] = {
    "unauthenticated": _status(401),
    "forbidden": _status(403),
    "overloaded": _status(429),
    "server_error": _status(503),
    "server_fault": _status(500),
    "invalid_request": _status(400),
    "protocol_violation": HttpFacts(kind="malformed", sent=True, status=200),
    "timeout": HttpFacts(kind="transport", sent=True, exception="httpx2.ReadTimeout"),
    "connection_lost": HttpFacts(kind="transport", sent=True, exception="httpx2.ReadError"),
    "unreachable": HttpFacts(kind="transport", sent=False, exception="httpx2.ConnectError"),
}
"""The codes of the error table that a server can cause, and what HTTP says when it does."""


def result_of(
    method: str, target: str, text: str, *, structured: Mapping[str, Any] | None, is_error: bool
) -> dict[str, Any]:
    """Return a result that says a text, in the shape that the method has."""
    said = {"type": "text", "text": text}
    if method == "resources/read":
        return {"contents": [{"uri": target, "mimeType": "text/plain", "text": text}]}
    if method == "prompts/get":
        return {"messages": [{"role": "user", "content": said}]}
    if method == "completion/complete":
        return {"completion": {"values": [text] if text else [], "hasMore": False}}
    if method != "tools/call":
        return {}
    result: dict[str, Any] = {"content": [said]}
    if structured is not None:
        # The text is for clients that know no structured content; the protocol asks for it.
        result = {"content": [{**said, "text": text or json.dumps(structured)}], "structuredContent": dict(structured)}
    if is_error:
        result["isError"] = True
    return result


def plain(raw: Mapping[str, Any] | BaseModel) -> dict[str, Any]:
    """Return a result of the user's own as it goes over the wire."""
    if isinstance(raw, BaseModel):
        return raw.model_dump(mode="json", by_alias=True, exclude_none=True)
    return dict(raw)


def failure_of(code: int | str, message: str, data: Any, retry_after: float | None) -> RpcError:
    """Return the JSON-RPC error for one of its codes, or for one of the error table's.

    Raises:
        ValueError: no server causes the code.
    """
    if not isinstance(code, str):
        return RpcError(code, message, data)
    if code not in CAUSES:
        raise ValueError(f"no server causes {code!r}; known: {', '.join(CAUSES)}, and every code of JSON-RPC")
    known = CAUSES[code]
    facts = HttpFacts(
        kind=known.kind, sent=known.sent, status=known.status, exception=known.exception, retry_after=retry_after
    )
    return RpcError(FAULT_CODE, message, facts.to_data(data))


def was_executed(code: int | str) -> bool:
    """Return whether the tool may have run when a request failed so."""
    if isinstance(code, str):
        return CODES[code].delivered != "no"
    return code != INVALID_PARAMS
