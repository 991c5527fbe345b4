"""One table from any foreign failure to ours.

Nothing foreign is imported: an exception is known by its package and its name, so that what a user's own transport
raises, out of another version or a library that we do not use, is understood as well. No text of a foreign exception
goes on: it may hold a secret, or what a server wants a model to read.
"""

from __future__ import annotations

import asyncio
import errno
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final

import mcp_types as types

from recloser.errors import CODES, Cause, Delivered, NextAction, RouterError, error_for
from recloser.facts import FAULT_CODE, SPEAK_FOR_THEMSELVES, HttpFacts, facts_of, seconds_asked, type_name
from recloser.messages import message_for

__all__ = ["classify", "standard_error"]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What one failure means; None leaves a field to the code's own entry in `CODES`."""

    code: str
    delivered: Delivered | None = None
    evidence: bool | None = None
    next_action: NextAction | None = None
    says: str | None = None
    """The message's key, where it is not the code."""
    retry_after: float | None = None
    status: int | None = None
    rpc: int | None = None
    exception: str | None = None


def classify(
    error: BaseException,
    *,
    server: str,
    tool: str | None = None,
    sent: bool = True,
    alive: bool = True,
    words: bool = False,
) -> RouterError:
    """Return the error of ours that a failure is; one of ours is returned as it is.

    Args:
        error: What was raised; of a group, its most telling member counts.
        server: The server's name.
        tool: The tool's name.
        sent: Whether the request had been handed to the wire. HTTP facts in the error know better, where there are any.
        alive: Whether the connection still stands; without it a server's own -32000 is taken for the end of it.
        words: Whether the SDK's own HTTP client may be underneath, which tells a lost session only in words that any
            server can use too.

    Raises:
        BaseException: `error` itself, if it is nobody's failure: a cancellation, an interrupt, the end of the program.
    """
    leaves = list(_leaves(error))
    if not leaves:
        raise error
    for leaf in leaves:
        if isinstance(leaf, RouterError):
            return leaf
    verdicts = [_settled(_verdict(leaf, alive=alive, words=words), leaf, sent=sent) for leaf in leaves]
    verdict = min(verdicts, key=lambda one: _TELLING.index(one.code))
    facts = {"delivered": verdict.delivered, "next_action": verdict.next_action, "retry_after": verdict.retry_after}
    return error_for(
        verdict.code,
        message_for(verdict.says or verdict.code, server, exception=verdict.exception, retry_after=verdict.retry_after),
        evidence=verdict.evidence,
        server=server,
        tool=tool,
        cause=Cause(exception=verdict.exception, jsonrpc_code=verdict.rpc, http_status=verdict.status),
        **{name: value for name, value in facts.items() if value is not None},
    )


def _leaves(error: BaseException) -> Iterator[Exception]:
    """Yield the failures in an exception or a group of them; cancellations beside a failure are its consequence.

    Raises:
        BaseException: the program is to end.
    """
    if isinstance(error, BaseExceptionGroup):
        for member in error.exceptions:
            yield from _leaves(member)
    elif isinstance(error, Exception):
        yield error
    elif not isinstance(error, asyncio.CancelledError):
        raise error


# Of several failures at once the most specific one is the cause, and the others follow from it.
_TELLING: Final = (
    "unauthenticated",
    "forbidden",
    "cannot_start",
    "overloaded",
    "unreachable",
    "server_error",
    "server_fault",
    "invalid_request",
    "invalid_result",
    "protocol_violation",
    "timeout",
    "connection_lost",
    "internal",
)


def _settled(verdict: Verdict, leaf: Exception, *, sent: bool) -> Verdict:
    """Fill in what follows from the failure as a whole: what was never sent has never been delivered."""
    delivered = verdict.delivered or CODES[verdict.code].delivered
    if facts_of(leaf) is None and not sent and delivered == "maybe":
        delivered = "no"
    return replace(verdict, delivered=delivered, exception=verdict.exception or type_name(leaf))


def _verdict(error: Exception, *, alive: bool, words: bool) -> Verdict:
    names = [(kind.__module__.partition(".")[0], kind.__qualname__) for kind in type(error).__mro__]
    if any(name in _MCP_ERRORS for name in names):
        return _of_mcp_error(error, alive=alive, words=words)
    response: Any = getattr(error, "response", None)
    if any(name[1] == "HTTPStatusError" for name in names) and isinstance(getattr(response, "status_code", None), int):
        return _of_status(
            HttpFacts(
                kind="status", sent=True, status=response.status_code, retry_after=seconds_asked(response.headers)
            )
        )
    if isinstance(error, RuntimeError) and _is_about_a_schema(error):
        return _INVALID_RESULT
    for name in names:
        if name in _BY_NAME:
            return _BY_NAME[name]
    # Only now: the number of a failed name look-up has another meaning.
    number = error.errno if isinstance(error, OSError) else None
    return Verdict(code="internal" if number is None else _BY_ERRNO.get(number, "internal"))


# --- by the name of an exception

_INVALID_RESULT: Final = Verdict(code="invalid_result")
_LOST: Final = Verdict(code="connection_lost")
_UNREACHABLE: Final = Verdict(code="unreachable")
_VIOLATION: Final = Verdict(code="protocol_violation")
_CANNOT_START: Final = Verdict(code="cannot_start")
_TIMEOUT: Final = Verdict(code="timeout")
_OURS: Final = Verdict(code="internal", delivered="no")

_MCP_ERRORS: Final = frozenset({("mcp", "MCPError"), ("mcp", "McpError")})
"""The SDK's, and that of its first generation, which a user's own transport may still raise."""

_HTTP: Final[Mapping[str, Verdict]] = {
    "ConnectError": _UNREACHABLE,
    "ConnectTimeout": _UNREACHABLE,
    "PoolTimeout": _UNREACHABLE,
    "ProxyError": _UNREACHABLE,
    "ReadTimeout": _TIMEOUT,
    "WriteTimeout": _TIMEOUT,
    "ReadError": _LOST,
    "WriteError": _LOST,
    "CloseError": _LOST,
    "RemoteProtocolError": _LOST,
    "LocalProtocolError": _OURS,
    "UnsupportedProtocol": _OURS,
    "InvalidURL": _OURS,
    "SSEError": _VIOLATION,
    "DecodingError": _VIOLATION,
    "TooManyRedirects": _VIOLATION,
    "StreamError": _LOST,
}

# An exception's own class is looked up before those that it descends from.
_BY_NAME: Final[Mapping[tuple[str, str], Verdict]] = MappingProxyType(
    {(library, name): verdict for library in ("httpx2", "httpx") for name, verdict in _HTTP.items()}
    | {
        ("mcp", "OAuthFlowError"): Verdict(code="unauthenticated"),
        ("pydantic_core", "ValidationError"): _VIOLATION,
        ("json", "JSONDecodeError"): _VIOLATION,
        ("builtins", "UnicodeDecodeError"): _VIOLATION,
        ("jsonschema", "ValidationError"): _INVALID_RESULT,
        ("anyio", "ClosedResourceError"): _LOST,
        ("anyio", "BrokenResourceError"): _LOST,
        ("anyio", "EndOfStream"): _LOST,
        ("anyio", "IncompleteRead"): _LOST,
        ("builtins", "EOFError"): _LOST,
        ("builtins", "TimeoutError"): _TIMEOUT,
        ("builtins", "FileNotFoundError"): _CANNOT_START,
        ("builtins", "PermissionError"): _CANNOT_START,
        ("builtins", "NotADirectoryError"): _CANNOT_START,
        ("socket", "gaierror"): _UNREACHABLE,
        ("ssl", "SSLError"): _UNREACHABLE,
        ("builtins", "ConnectionRefusedError"): _UNREACHABLE,
        ("builtins", "ConnectionError"): _LOST,
    }
)

_BY_ERRNO: Final[Mapping[int, str]] = MappingProxyType(
    {
        errno.ENOEXEC: "cannot_start",
        errno.EHOSTUNREACH: "unreachable",
        errno.EHOSTDOWN: "unreachable",
        errno.ENETUNREACH: "unreachable",
        errno.ENETDOWN: "unreachable",
    }
)


def _is_about_a_schema(error: RuntimeError) -> bool:
    """Return whether the SDK has rejected a result against its tool's output schema: by then the tool has run."""
    if type(error.__cause__).__module__.partition(".")[0] in ("jsonschema", "referencing"):
        return True
    return re.search(r"output schema|structured content|Invalid schema for tool", str(error)) is not None


# --- by what a server or the SDK said in JSON-RPC

_SESSION_GONE: Final = Verdict(code="connection_lost", delivered="no")
_SESSION_WORDS: Final = ("Session terminated", "Session not found")
# Calls are timed by us, never by the SDK: what says that of one comes from the server.
_SDK_TIMEOUT: Final = re.compile(
    r"Request '(?!(?:tools/call|resources/read|prompts/get|completion/complete)')[a-z/]+' timed out"
)
_REFUSED: Final = Verdict(code="protocol_violation", evidence=False)

# A well-formed error shows a server that lives: none of these is evidence against it. And none of them proves that the
# tool has not run, since the tool may have raised it; only of bad arguments a caller is told so, who may mend them.
_BY_RPC: Final[Mapping[int, Verdict]] = MappingProxyType(
    {
        types.INVALID_PARAMS: Verdict(code="invalid_request", evidence=False),
        -32002: Verdict(code="invalid_request", evidence=False),  # resource not found, before 2026-07-28
        types.INVALID_REQUEST: _REFUSED,
        types.METHOD_NOT_FOUND: _REFUSED,
        types.PARSE_ERROR: _REFUSED,
        types.HEADER_MISMATCH: _REFUSED,
        types.UNSUPPORTED_PROTOCOL_VERSION: _REFUSED,
        types.INTERNAL_ERROR: Verdict(code="server_fault", evidence=False),
        # Usually answered before the tool is begun, but a tool may notice it when it wants to ask.
        types.MISSING_REQUIRED_CLIENT_CAPABILITY: Verdict(
            code="invalid_request", delivered="maybe", evidence=False, next_action="use_other_tool", says="capability"
        ),
        # Somebody must log in or consent at a URL first; the tool itself said so, so it may have begun.
        types.URL_ELICITATION_REQUIRED: Verdict(code="unauthenticated", delivered="maybe", evidence=False, says="url"),
    }
)


def _of_mcp_error(error: Any, *, alive: bool, words: bool) -> Verdict:
    code, message = error.error.code, error.error.message
    facts = facts_of(error)
    if facts is not None:
        verdict = _of_facts(facts, code)
        return replace(
            verdict,
            status=facts.status,
            rpc=None if code == FAULT_CODE else code,
            exception=facts.exception,
            retry_after=facts.retry_after,
        )
    own = _of_the_sdk(code, message, alive=alive, words=words) or _BY_RPC.get(code)
    return replace(own or Verdict(code="server_fault", evidence=False), rpc=code)


def _of_the_sdk(code: int, message: str, *, alive: bool, words: bool) -> Verdict | None:
    """Return what an error means that the SDK has made up itself; None if it is the server's own.

    The SDK uses the codes that servers use, so that only its wording, and the state of the connection, tell them apart.
    A tool may pass on what the SDK has told it of another server, so that no wording proves that it has not run.
    """
    if words and code in (types.INVALID_REQUEST, types.REQUEST_TIMEOUT) and message in _SESSION_WORDS:
        return _LOST
    if code == types.REQUEST_TIMEOUT and _SDK_TIMEOUT.fullmatch(message):
        return _TIMEOUT
    if code == types.CONNECTION_CLOSED:
        if message.startswith("SSE stream failed"):
            return _VIOLATION
        if not alive or message == "Connection closed" or message.startswith("SSE stream ended"):
            return _LOST
    if code == types.PARSE_ERROR and message.startswith("Failed to parse"):
        return _VIOLATION
    return None


# --- by what HTTP said

_STATUSES: Final[Mapping[int, Verdict]] = MappingProxyType(
    {
        401: Verdict(code="unauthenticated"),
        403: Verdict(code="forbidden"),
        405: Verdict(code="protocol_violation", evidence=False),
        406: Verdict(code="protocol_violation", evidence=False),
        407: _UNREACHABLE,  # said by a proxy, which has not passed the request on
        408: Verdict(code="server_error", evidence=False),
        415: Verdict(code="protocol_violation", evidence=False),
        425: Verdict(code="server_error", evidence=False),
        429: Verdict(code="overloaded"),
        502: Verdict(code="server_error"),
        503: Verdict(code="server_error"),
        504: Verdict(code="server_error"),
    }
)

_BY_KIND: Final[Mapping[str, Verdict]] = MappingProxyType(
    {
        "auth_flow": Verdict(code="unauthenticated"),
        "auth_unreachable": _UNREACHABLE,
        "session_lost": _SESSION_GONE,
        "accepted": _VIOLATION,
        "redirect": _VIOLATION,
        "content_type": _VIOLATION,
        "malformed": _VIOLATION,
        "wrong_id": _VIOLATION,
        # The limit is ours, and the server has done its part.
        "too_large": Verdict(code="protocol_violation", evidence=False, next_action="fix_arguments", says="too_large"),
        "proxy": Verdict(code="cannot_start", says="proxy"),
    }
)


def _of_facts(facts: HttpFacts, code: int) -> Verdict:
    """Return what HTTP facts mean; `code` is that of the server's own JSON-RPC error next to them, or `FAULT_CODE`."""
    if facts.kind == "status":
        verdict = _of_status(facts)
        own = None if facts.status in SPEAK_FOR_THEMSELVES else _BY_RPC.get(code)
        if own is not None and not own.code == verdict.code == "server_fault":
            verdict = own
    elif facts.kind == "transport":
        verdict = _of_type(facts.exception)
    else:
        verdict = _BY_KIND[facts.kind]
    if not facts.sent and (verdict.delivered or CODES[verdict.code].delivered) == "maybe":
        verdict = replace(verdict, delivered="no")
    return verdict


def _of_type(exception: str | None) -> Verdict:
    """Return what an exception of the transport means, by its name as people know it."""
    if exception is None:
        return _LOST
    package, _, name = exception.rpartition(".")
    unknown = _LOST if package == "httpx2" else Verdict(code="internal")
    return _BY_NAME.get((package or "builtins", name), unknown)


def _of_status(facts: HttpFacts) -> Verdict:
    status = facts.status
    assert status is not None
    known = _STATUSES.get(status)
    if known is None:
        known = Verdict(code="server_fault") if status >= 500 else Verdict(code="invalid_request")
    return replace(known, status=status, retry_after=facts.retry_after)


# --- what a tool said in the form that servers are asked to use

_TYPES: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "transient": ("overloaded", "server_error"),
        "auth": ("forbidden", "unauthenticated"),
        "critical": ("", "server_fault"),
    }
)
_SPECIAL: Final[Mapping[str, re.Pattern[str]]] = MappingProxyType(
    {
        "overloaded": re.compile(r"429|rate.?limit|too.?many|throttl|quota|overload", re.IGNORECASE),
        "forbidden": re.compile(r"403|forbidden|permission|access.?denied|scope", re.IGNORECASE),
    }
)
_SHAPE: Final = frozenset({"code", "message", "type"})


def standard_error(result: types.CallToolResult, *, server: str, tool: str | None = None) -> RouterError | None:
    """Return the error that a tool told in the standardized shape `{code, message, type}`; None for any other result.

    The shape stands in `structuredContent`, or there under `error`, has these three members and no other, and its type
    is `transient`, `auth` or `critical`. The tool itself has answered, so that it has been delivered: it is tried again
    only where that is safe. It speaks for a server that lives, so that it is no evidence.
    """
    if not result.is_error or not isinstance(result.structured_content, Mapping):
        return None
    said: Any = result.structured_content
    if set(said) == {"error"}:
        said = said["error"]
    if not isinstance(said, Mapping) or set(said) != _SHAPE or not isinstance(said["message"], str):
        return None
    if not isinstance(said["type"], str) or said["type"] not in _TYPES or not isinstance(said["code"], str | int):
        return None
    special, usual = _TYPES[said["type"]]
    code = special if special and _SPECIAL[special].search(str(said["code"])) else usual
    return error_for(code, message_for(code, server), evidence=False, delivered="yes", server=server, tool=tool)
