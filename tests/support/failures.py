"""Failures of every kind, with a secret in each of them, and the table of what they are called."""

from __future__ import annotations

import asyncio
import errno
import json
import socket
import ssl
from typing import Any

import anyio
import httpx2
import jsonschema
import mcp_types as types
import referencing.exceptions
from mcp import MCPError
from mcp.client.auth.exceptions import OAuthTokenError

from recloser.facts import FAULT_CODE, HttpFacts

SECRET = "hunter2-secret"


def told(code: int, message: str = SECRET, data: Any = None) -> MCPError:
    return MCPError(code, message, data)


def fact(code: int = FAULT_CODE, **facts: Any) -> MCPError:
    settings: dict[str, Any] = {"kind": "status", "sent": True, **facts}
    return MCPError(code, SECRET, HttpFacts(**settings).to_data(SECRET))


def schema_error(cause: Exception | None = None) -> RuntimeError:
    error = RuntimeError("rejected")
    error.__cause__ = cause or jsonschema.ValidationError(SECRET)
    return error


def of_module(module: str) -> Exception:
    made: Exception = type("Deep", (Exception,), {"__module__": module})(SECRET)
    return made


def bad_result() -> Exception:
    try:
        types.CallToolResult.model_validate({"content": SECRET})
    except ValueError as error:
        return error
    raise AssertionError("it has been accepted")


def bad_text() -> Exception:
    try:
        b"\xff".decode()
    except UnicodeDecodeError as error:
        return error
    raise AssertionError("it has been decoded")


def bad_status(status: int, **headers: str) -> httpx2.HTTPStatusError:
    request = httpx2.Request("GET", f"https://u:{SECRET}@x/?key={SECRET}")
    response = httpx2.Response(status, request=request, headers={k.replace("_", "-"): v for k, v in headers.items()})
    return httpx2.HTTPStatusError(SECRET, request=request, response=response)


def with_response(status: int) -> Exception:
    """Return an error that has a response but is none about its status."""
    error: Any = KeyError(SECRET)
    error.response = httpx2.Response(status)
    made: Exception = error
    return made


class McpError(Exception):
    """Stands for the error of the SDK's first generation."""

    __module__ = "mcp.shared.exceptions"

    def __init__(self, code: int) -> None:
        self.error = types.ErrorData(code=code, message=SECRET)


# error, code, delivered, evidence
ROWS: list[tuple[BaseException, str, str, bool]] = [
    # attempt timeout
    (TimeoutError(SECRET), "timeout", "maybe", True),
    (httpx2.ReadTimeout(SECRET), "timeout", "maybe", True),
    (httpx2.WriteTimeout(SECRET), "timeout", "maybe", True),
    (fact(kind="transport", exception="httpx2.ReadTimeout"), "timeout", "maybe", True),
    (told(-32001, "Request 'server/discover' timed out"), "timeout", "maybe", True),
    # connection lost
    (ConnectionResetError(SECRET), "connection_lost", "maybe", True),
    (BrokenPipeError(SECRET), "connection_lost", "maybe", True),
    (EOFError(SECRET), "connection_lost", "maybe", True),
    (asyncio.IncompleteReadError(b"", 1), "connection_lost", "maybe", True),
    (anyio.ClosedResourceError(), "connection_lost", "maybe", True),
    (anyio.BrokenResourceError(), "connection_lost", "maybe", True),
    (anyio.EndOfStream(), "connection_lost", "maybe", True),
    (httpx2.ReadError(SECRET), "connection_lost", "maybe", True),
    (httpx2.WriteError(SECRET), "connection_lost", "maybe", True),
    (httpx2.RemoteProtocolError(SECRET), "connection_lost", "maybe", True),
    (httpx2.StreamClosed(), "connection_lost", "maybe", True),
    (fact(kind="transport", exception="httpx2.ReadError"), "connection_lost", "maybe", True),
    (fact(kind="transport", exception="httpx2.SomethingNew"), "connection_lost", "maybe", True),
    (fact(kind="transport"), "connection_lost", "maybe", True),
    (told(-32000, "Connection closed"), "connection_lost", "maybe", True),
    (told(-32000, "SSE stream ended without a response"), "connection_lost", "maybe", True),
    # lost session
    (fact(kind="session_lost", sent=False, status=404), "connection_lost", "no", True),
    (fact(-32600, kind="session_lost", sent=False, status=404), "connection_lost", "no", True),
    # unreachable
    (ConnectionRefusedError(SECRET), "unreachable", "no", True),
    (socket.gaierror(8, SECRET), "unreachable", "no", True),
    (ssl.SSLError(SECRET), "unreachable", "no", True),
    (ssl.SSLCertVerificationError(SECRET), "unreachable", "no", True),
    (OSError(errno.EHOSTUNREACH, SECRET), "unreachable", "no", True),
    (OSError(errno.ENETUNREACH, SECRET), "unreachable", "no", True),
    (httpx2.ConnectError(SECRET), "unreachable", "no", True),
    (httpx2.ConnectTimeout(SECRET), "unreachable", "no", True),
    (httpx2.PoolTimeout(SECRET), "unreachable", "no", True),
    (httpx2.ProxyError(SECRET), "unreachable", "no", True),
    (fact(status=407), "unreachable", "no", True),
    (bad_status(407), "unreachable", "no", True),
    (fact(kind="transport", sent=False, exception="httpx2.ConnectError"), "unreachable", "no", True),
    (fact(kind="auth_unreachable", sent=False, status=503), "unreachable", "no", True),
    # overloaded
    (fact(status=429), "overloaded", "no", False),
    (fact(-32000, status=429), "overloaded", "no", False),
    (bad_status(429), "overloaded", "no", False),
    # server error
    (fact(status=408), "server_error", "maybe", False),
    (fact(status=425), "server_error", "maybe", False),
    (fact(status=502), "server_error", "maybe", True),
    (fact(status=503), "server_error", "maybe", True),
    (fact(-32000, status=503), "server_error", "maybe", True),
    (fact(status=504), "server_error", "maybe", True),
    (bad_status(503), "server_error", "maybe", True),
    # server fault
    (fact(status=500), "server_fault", "maybe", True),
    (fact(-32603, status=500), "server_fault", "maybe", True),
    (fact(-32099, status=501), "server_fault", "maybe", True),
    (fact(status=529), "server_fault", "maybe", True),
    (fact(-32603, status=400), "server_fault", "maybe", False),
    (told(-32603), "server_fault", "maybe", False),
    (told(-32000), "server_fault", "maybe", False),
    (told(-32001), "server_fault", "maybe", False),
    (told(-32001, "Request 'tools/call' timed out"), "server_fault", "maybe", False),
    (told(-32001, "Session not found"), "server_fault", "maybe", False),
    (told(-32099), "server_fault", "maybe", False),
    (told(42), "server_fault", "maybe", False),
    (McpError(42), "server_fault", "maybe", False),
    # auth
    (fact(status=401), "unauthenticated", "no", False),
    (fact(-32603, status=401), "unauthenticated", "no", False),
    (fact(kind="auth_flow", sent=False, status=400), "unauthenticated", "no", False),
    (OAuthTokenError(SECRET), "unauthenticated", "no", False),
    (told(-32042), "unauthenticated", "maybe", False),
    (bad_status(401), "unauthenticated", "no", False),
    (fact(status=403), "forbidden", "no", False),
    # invalid request
    (told(-32602), "invalid_request", "no", False),
    (told(-32002), "invalid_request", "no", False),
    (told(-32021), "invalid_request", "maybe", False),
    (fact(-32021, status=400), "invalid_request", "maybe", False),
    (fact(-32602, status=400), "invalid_request", "no", False),
    (fact(-32602, status=500), "invalid_request", "no", False),
    (fact(-32000, status=400), "invalid_request", "no", False),
    (fact(status=400), "invalid_request", "no", False),
    (fact(status=404), "invalid_request", "no", False),
    (fact(status=413), "invalid_request", "no", False),
    (fact(status=422), "invalid_request", "no", False),
    # protocol violation
    (told(-32600), "protocol_violation", "maybe", False),
    (told(-32600, "Session not found"), "protocol_violation", "maybe", False),
    (told(-32600, "Session terminated"), "protocol_violation", "maybe", False),
    (told(-32601), "protocol_violation", "maybe", False),
    (fact(-32601, status=404), "protocol_violation", "maybe", False),
    (told(-32700), "protocol_violation", "maybe", False),
    (told(-32700, "Failed to parse JSON response: x"), "protocol_violation", "maybe", True),
    (told(-32000, "SSE stream failed: x"), "protocol_violation", "maybe", True),
    (told(-32020), "protocol_violation", "maybe", False),
    (fact(-32020, status=400), "protocol_violation", "maybe", False),
    (told(-32022), "protocol_violation", "maybe", False),
    (fact(status=405), "protocol_violation", "maybe", False),
    (fact(status=406), "protocol_violation", "maybe", False),
    (fact(status=415), "protocol_violation", "maybe", False),
    (fact(kind="accepted", status=202), "protocol_violation", "maybe", True),
    (fact(kind="redirect", status=302), "protocol_violation", "maybe", True),
    (fact(kind="redirect", status=307, sent=False), "protocol_violation", "no", True),
    (fact(kind="content_type", status=200), "protocol_violation", "maybe", True),
    (fact(kind="malformed", status=200), "protocol_violation", "maybe", True),
    (fact(kind="wrong_id", status=200), "protocol_violation", "maybe", True),
    (fact(kind="too_large", status=200), "protocol_violation", "maybe", False),
    (bad_result(), "protocol_violation", "maybe", True),
    (json.JSONDecodeError(SECRET, "", 0), "protocol_violation", "maybe", True),
    (bad_text(), "protocol_violation", "maybe", True),
    (httpx2.DecodingError(SECRET), "protocol_violation", "maybe", True),
    (httpx2.SSEError(SECRET), "protocol_violation", "maybe", True),
    # invalid result
    (schema_error(), "invalid_result", "yes", False),
    (schema_error(referencing.exceptions.NoSuchResource(SECRET)), "invalid_result", "yes", False),
    (schema_error(of_module("jsonschema.deep.below")), "invalid_result", "yes", False),
    (schema_error(of_module("elsewhere.jsonschema")), "internal", "maybe", False),
    (jsonschema.ValidationError(SECRET), "invalid_result", "yes", False),
    (RuntimeError("Tool x has an output schema but did not return structured content"), "invalid_result", "yes", False),
    (RuntimeError("Invalid schema for tool x: y"), "invalid_result", "yes", False),
    # cannot start
    (fact(kind="proxy", sent=False, exception="ImportError"), "cannot_start", "no", True),
    (FileNotFoundError(SECRET), "cannot_start", "no", True),
    (PermissionError(SECRET), "cannot_start", "no", True),
    (NotADirectoryError(SECRET), "cannot_start", "no", True),
    (OSError(errno.ENOEXEC, SECRET), "cannot_start", "no", True),
    # anything else
    (KeyError(SECRET), "internal", "maybe", False),
    (with_response(503), "internal", "maybe", False),
    (OSError(errno.EPERM, SECRET), "cannot_start", "no", True),
    (RuntimeError(SECRET), "internal", "maybe", False),
    (OSError(errno.EMFILE, SECRET), "internal", "maybe", False),
    (OSError(SECRET), "internal", "maybe", False),
    (httpx2.InvalidURL(SECRET), "internal", "no", False),
    (httpx2.LocalProtocolError(SECRET), "internal", "no", False),
    (fact(kind="transport", exception="KeyError"), "internal", "maybe", False),
    (fact(kind="transport", exception="TimeoutError"), "timeout", "maybe", True),
    (fact(kind="transport", exception="ConnectionRefusedError"), "unreachable", "no", True),
    (fact(kind="transport", exception="httpx2.Odd"), "connection_lost", "maybe", True),
    (fact(kind="transport"), "connection_lost", "maybe", True),
    (fact(status=418), "invalid_request", "no", False),
    (fact(status=599), "server_fault", "maybe", True),
]
