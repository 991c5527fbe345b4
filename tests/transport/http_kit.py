"""What the tests of HTTP share: the transport, calls over it, and what a server may do to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mcp_types as types
import pytest
from mcp import MCPError
from mcp.client import ClientSession

from recloser.facts import HttpFacts, facts_of
from recloser.transport.http import HttpTransport, http_transport
from support.http_faults import Exchange

ERAS = ["modern", "legacy"]
SIBLINGS = 15


def settings(**options: Any) -> dict[str, Any]:
    usual = {"headers": {}, "auth": None, "verify": True, "connect_timeout": 5.0, "max_message": 64 * 1024}
    return usual | options


def transport(url: str, **options: Any) -> HttpTransport:
    return http_transport(url, **settings(**options))


async def call(session: ClientSession, name: str) -> types.CallToolResult:
    request = types.CallToolRequest(params=types.CallToolRequestParams(name=name, arguments={}))
    return await session.send_request(request, types.CallToolResult)


async def notify(session: ClientSession) -> None:
    await session._dispatcher.notify("notifications/roots/list_changed", None)


async def refused(session: ClientSession, name: str = "bad") -> MCPError:
    with pytest.raises(MCPError) as caught:
        await call(session, name)
    return caught.value


def facts(error: MCPError) -> HttpFacts:
    found = facts_of(error)
    assert found is not None
    return found


def status(code: int, body: bytes = b"no", content_type: str = "text/plain", **headers: str) -> Any:
    async def fault(exchange: Exchange) -> None:
        await exchange.reply(code, body, content_type, **headers)

    return fault


def said(body: Callable[[Any], bytes] | bytes, **headers: str) -> Any:
    async def fault(exchange: Exchange) -> None:
        await exchange.reply(200, body(exchange.id) if callable(body) else body, **headers)

    return fault


async def reset(exchange: Exchange) -> None:
    exchange.reset()


async def hang(exchange: Exchange) -> None:
    await exchange.hang()
