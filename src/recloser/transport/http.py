"""Streamable HTTP, and the older SSE transport, to one MCP server.

Both never raise into the session: a failed request is answered with a JSON-RPC error, code -32099 unless the server
sent one of its own, that carries `HttpFacts` (read them with `facts_of`).
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import httpx2
from mcp.client.streamable_http import streamable_http_client

from recloser.facts import FAULT_CODE, HttpFacts, facts_of, original_data
from recloser.transport.client import ASIDE, HttpClient
from recloser.transport.hosted import HostedTransport, Streams, Watched
from recloser.transport.sse import SseTransport

__all__ = [
    "FAULT_CODE",
    "HttpFacts",
    "HttpTransport",
    "SseTransport",
    "facts_of",
    "http_transport",
    "original_data",
    "sse_transport",
]


def size_limit(size: int, client: Callable[..., Any] = streamable_http_client) -> dict[str, Any]:
    """Return what limits an event's size in the SDK's transport, in bytes; before 2.3 it has no limit to set."""
    return dict.fromkeys({"max_sse_event_size"} & inspect.signature(client).parameters.keys(), size)


class HttpTransport(HostedTransport):
    """Streamable HTTP in both eras, by the SDK's transport over our client."""

    def __init__(self, url: str, client: Callable[[], HttpClient], *, max_message: int) -> None:
        super().__init__()
        self._url = url
        self._client = client
        self._max_message = max_message

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[Streams]:
        async with (
            self._client() as client,
            streamable_http_client(self._url, http_client=client, **size_limit(self._max_message)) as streams,
        ):
            yield Watched(streams[0], self.died), streams[1]


def http_transport(
    url: str,
    *,
    headers: Mapping[str, str],
    auth: httpx2.Auth | None,
    verify: bool,
    connect_timeout: float,
    max_message: int,
    on_session_lost: Callable[[], None] | None = None,
    on_gap: Callable[[], None] = lambda: None,
    shutdown: float = ASIDE,
) -> HttpTransport:
    """Return a streamable HTTP transport; entering it does no I/O and cannot fail.

    Args:
        url: The server's endpoint.
        headers: Sent with every request.
        auth: Authenticates every request.
        verify: Whether TLS certificates are checked.
        connect_timeout: Seconds for name, TCP and TLS; nothing else is limited in time.
        max_message: The largest message that is taken, in bytes.
        on_session_lost: Called whenever the server says that it does not know our session.
        on_gap: Called when the server may have told something of itself that did not arrive.
        shutdown: Seconds that taking leave of the server may take.
    """
    client = partial(
        HttpClient,
        headers=headers,
        auth=auth,
        verify=verify,
        connect_timeout=connect_timeout,
        max_message=max_message,
        on_session_lost=on_session_lost,
        on_gap=on_gap,
        shutdown=shutdown,
    )
    return HttpTransport(url, client, max_message=max_message)


def sse_transport(
    url: str,
    *,
    headers: Mapping[str, str],
    auth: httpx2.Auth | None,
    verify: bool,
    connect_timeout: float,
    max_message: int,
    on_session_lost: Callable[[], None] | None = None,
    shutdown: float = ASIDE,
) -> SseTransport:
    """Return a transport of the 2024-11-05 kind; the arguments are those of `http_transport`, but for `on_gap`.

    Entering it opens the stream and waits for the server to name its endpoint, without a limit in time of its own; what
    fails then is raised as an `MCPError` with `HttpFacts`.
    """
    client = partial(
        HttpClient,
        headers=headers,
        auth=auth,
        verify=verify,
        connect_timeout=connect_timeout,
        max_message=max_message,
        on_session_lost=on_session_lost,
        shutdown=shutdown,
    )
    return SseTransport(url, client)
