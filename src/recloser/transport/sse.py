"""The transport of 2024-11-05: answers come on one event stream, requests go by POST to an address that it names.

The SDK has one too. Ours was written because there a POST that fails is never resolved and ends all writing, one that
hangs holds up the rest, and an event of more than 1 MiB cancels the owner of the connection.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Self, cast

import anyio
import httpx2
from anyio.streams.memory import MemoryObjectSendStream
from mcp import MCPError
from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCRequest, jsonrpc_message_adapter
from pydantic import ValidationError

from recloser.facts import HttpFacts, type_name
from recloser.transport.answers import Envelope
from recloser.transport.client import HttpClient, Refusal
from recloser.transport.hosted import HostedTransport, Streams, Watched
from recloser.transport.redirects import at_home
from recloser.transport.standing import STREAM

__all__ = ["SseTransport"]

_log = logging.getLogger("recloser")
_Inbox = MemoryObjectSendStream[SessionMessage | Exception]


class SseTransport(HostedTransport):
    """An event stream from the server, and a POST for each message to it."""

    def __init__(self, url: str, client: Callable[[], HttpClient]) -> None:
        super().__init__()
        self._url = url
        self._client = client

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[Streams]:
        async with self._client() as client:
            response = await client.open_stream(client.build_request("GET", self._url, headers=STREAM))
            if isinstance(response, Refusal):
                raise _failed(response)
            source = httpx2.EventSource(response, max_event_size=None)  # the client has seen to their size
            events = cast("AsyncGenerator[httpx2.ServerSentEvent]", aiter(source))
            inbox, read = anyio.create_memory_object_stream[SessionMessage | Exception](0)
            reader: asyncio.Task[None] | None = None
            outbox: _Outbox | None = None
            try:
                outbox = _Outbox(client, await _endpoint(events, response.request), inbox)
                reader = asyncio.create_task(_pump(events, inbox))
                yield Watched(read, self.died), outbox
            finally:
                if outbox is not None and reader is not None:
                    await outbox.end(reader)
                inbox.close()
                read.close()
                await events.aclose()
                await response.aclose()


class _Outbox:
    """The write stream of a session: each message is a POST in a task of its own, so that none waits for another."""

    def __init__(self, client: HttpClient, endpoint: httpx2.URL, inbox: _Inbox) -> None:
        self._client = client
        self._endpoint = endpoint
        self._inbox = inbox
        # Added to by send(), emptied by the posts themselves and by end().
        self._posts: set[asyncio.Task[None]] = set()
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Take no further messages."""
        self._closed = True

    async def send(self, item: SessionMessage) -> None:
        """Send a message off.

        Raises:
            anyio.ClosedResourceError: the stream is closed.
        """
        if self._closed:
            raise anyio.ClosedResourceError
        message = item.message
        request = self._client.build_request(
            "POST",
            self._endpoint,
            content=message.model_dump_json(by_alias=True, exclude_unset=True),
            headers={"Content-Type": "application/json"},
        )
        if not isinstance(message, JSONRPCRequest):
            await self._client.send(request)  # returns at once, and waits only where order matters
            return
        post = asyncio.create_task(self._post(request, message))
        self._posts.add(post)
        post.add_done_callback(self._posts.discard)

    async def _post(self, request: httpx2.Request, message: JSONRPCRequest) -> None:
        got = await self._client.ask(request, Envelope(id=message.id, method=message.method), answered_here=False)
        if isinstance(got, Refusal):
            try:
                await self._inbox.send(SessionMessage(got.as_error(message.id)))
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                _log.debug("a request failed after its session had ended")

    async def end(self, reader: asyncio.Task[None]) -> None:
        """Give up the reader and all posts, and wait for them."""
        self._closed = True
        tasks = {reader, *self._posts}
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def _endpoint(events: AsyncIterator[httpx2.ServerSentEvent], asked: httpx2.Request) -> httpx2.URL:
    """Return where to post to: the stream's first word, in answer to a request.

    Raises:
        MCPError: the stream broke, ended, or names another origin.
    """
    url = asked.url
    try:
        async for event in events:
            if event.event != "endpoint":
                continue
            endpoint = at_home(url.join(event.data), asked)
            if (endpoint.scheme, endpoint.host, endpoint.port) != (url.scheme, url.host, url.port):
                raise _failed(Refusal(facts=HttpFacts(kind="redirect", sent=False)))
            return endpoint
    except (httpx2.RequestError, httpx2.StreamError) as error:
        facts = HttpFacts(kind="transport", sent=False, exception=type_name(error))
        raise _failed(Refusal(facts=facts)) from error
    except (httpx2.InvalidURL, ValueError) as error:
        facts = HttpFacts(kind="malformed", sent=False, exception=type_name(error))
        raise _failed(Refusal(facts=facts)) from error
    raise _failed(Refusal(facts=HttpFacts(kind="transport", sent=False)))


async def _pump(events: AsyncIterator[httpx2.ServerSentEvent], inbox: _Inbox) -> None:
    """Hand on the stream's messages until it ends; the session sees its end as the end of the connection."""
    try:
        async with inbox:
            async for event in events:
                if event.event == "message" and event.data:
                    await inbox.send(_message(event.data))
    except (httpx2.RequestError, httpx2.StreamError, anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
        _log.debug("an event stream ended: %s", type_name(error))


def _message(data: str) -> SessionMessage | Exception:
    try:
        return SessionMessage(jsonrpc_message_adapter.validate_json(data, by_name=False))
    except ValidationError as error:
        return error


def _failed(refusal: Refusal) -> MCPError:
    return MCPError.from_jsonrpc_error(refusal.as_error(0))
