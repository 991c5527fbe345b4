"""Holding a server of the SDK to one era of the protocol.

The SDK's server speaks both: over a stream, whichever the client opens with; over HTTP, whichever the request's header
names. A server out in the world often speaks one only, and the demo wants such servers too.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal, Self

from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp.shared.message import SessionMessage
from mcp_types import PROTOCOL_VERSION_META_KEY, UNSUPPORTED_PROTOCOL_VERSION, JSONRPCRequest
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, MODERN_PROTOCOL_VERSIONS
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

Era = Literal["both", "legacy", "modern"]


async def modern_only(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
    """Refuse the handshake; a middleware of the SDK's server.

    Raises:
        MCPError: the client asked for `initialize`.
    """
    if ctx.method == "initialize":
        data = {"supported": list(MODERN_PROTOCOL_VERSIONS), "requested": (ctx.params or {}).get("protocolVersion")}
        raise MCPError(code=UNSUPPORTED_PROTOCOL_VERSION, message="this server has no handshake", data=data)
    return await call_next(ctx)


class HandshakeStream:
    """A read stream without the mark of the stateless era: the server behind it knows the handshake era alone."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        return without_mark(await anext(self._stream))


def without_mark(item: SessionMessage | Exception) -> SessionMessage | Exception:
    """Return a message without the version that marks it as one of the stateless era."""
    if not isinstance(item, SessionMessage) or not isinstance(item.message, JSONRPCRequest):
        return item
    params = item.message.params or {}
    meta = params.get("_meta")
    if not isinstance(meta, dict) or PROTOCOL_VERSION_META_KEY not in meta:
        return item
    kept = {key: value for key, value in meta.items() if key != PROTOCOL_VERSION_META_KEY}
    return replace(item, message=item.message.model_copy(update={"params": {**params, "_meta": kept}}))


class HandshakeOverHttp:
    """An ASGI application that answers a version it does not know as servers of the handshake era do: with a 400."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http":
            version = Headers(scope=scope).get("mcp-protocol-version")
            if version is not None and version not in HANDSHAKE_PROTOCOL_VERSIONS:
                error = {"code": -32600, "message": f"Bad Request: Unsupported protocol version: {version}"}
                refusal = JSONResponse({"jsonrpc": "2.0", "id": "server-error", "error": error}, status_code=400)
                await refusal(scope, receive, send)
                return
        await self._app(scope, receive, send)
