"""An HTTP client for one MCP server, in which a failed request fails alone and says why.

Inside the SDK an exception of one POST ends the transport, its session and the task that holds them, and every status
but 404 becomes the same `-32603`. This client raises nothing into the SDK: what goes wrong with a request comes back as
a JSON-RPC error for that request, with the facts in its data.
"""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from types import TracebackType
from typing import Any, Final

import anyio
import httpx2
from mcp.client.auth import OAuthClientProvider
from mcp_types import ErrorData, JSONRPCError, RequestId

from recloser.facts import FAULT_CODE, HttpFacts, seconds_asked, type_name
from recloser.transport.answers import (
    Envelope,
    cancelled_id,
    envelope,
    means_session_lost,
    read_answer,
    rpc_error,
)
from recloser.transport.asked import GRACE, AskedRequests, Body
from recloser.transport.auth import KEY, AuthWatch, WatchedAuth, broken
from recloser.transport.bodies import TooLarge, announced_length, content_type, read_body, whole
from recloser.transport.dialing import dial_by_name
from recloser.transport.errands import Errands
from recloser.transport.events import readable_events
from recloser.transport.posts import Posts
from recloser.transport.proxies import named_proxies
from recloser.transport.redirects import following
from recloser.transport.refusals import dismiss, read_refusal
from recloser.transport.spoken import origins_only
from recloser.transport.standing import StandingStream
from recloser.transport.strays import drop_strays
from recloser.transport.tokens import TokenBearer

__all__ = ["HttpClient", "Refusal"]

ASIDE: Final = 5.0
"""Seconds that a notification, an answer of ours or the closing DELETE may take."""
REDIRECTS: Final = 5
"""Redirects within the server's origin that one request follows."""
KEEPALIVE: Final = httpx2.Limits(
    max_connections=None,  # a request that hangs must not keep others from the wire; the bulkhead counts them
    max_keepalive_connections=32,
    keepalive_expiry=4.0,  # uvicorn and Node close after 5 s: reusing a connection just then would look like a reset
)

_WITHDRAWN: Final = HttpFacts(kind="transport", sent=True)
_EVENTS: Final = {"content-type": "text/event-stream"}
_SESSION: Final = "mcp-session-id"
_VISIBLE: Final = re.compile(r"[!-~]*")
"""What a session's id may consist of (specification, "Session Management")."""
_AUTH_ERROR: Final = re.compile(r'\berror\s*=\s*"?([a-z_]{1,40})')
_OF_THE_SESSION: Final = {"json", "headers"}

_log = logging.getLogger("recloser")


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Why a request has no answer: our facts, and the server's own JSON-RPC error where it sent one."""

    facts: HttpFacts
    error: ErrorData | None = None

    def as_error(self, request_id: RequestId) -> JSONRPCError:
        """Return the JSON-RPC error that the session will see."""
        given = self.error
        if given is None:
            status = "" if self.facts.status is None else f" {self.facts.status}"
            error = ErrorData(code=FAULT_CODE, message=f"HTTP {self.facts.kind}{status}", data=self.facts.to_data())
        else:
            error = ErrorData(code=given.code, message=given.message, data=self.facts.to_data(given.data))
        return JSONRPCError(jsonrpc="2.0", id=request_id, error=error)


class HttpClient(httpx2.AsyncClient):
    """An `httpx2.AsyncClient` whose `send` contains the failure of a POST or DELETE; use it as a context manager.

    Args:
        connect_timeout: Seconds for name, TCP and TLS. Reading has no limit: an attempt's own timeout ends it.
        max_message: The largest body that is taken, in bytes.
        on_session_lost: Called when the server says that it does not know our session; it may be called repeatedly.
        on_gap: Called when the server may have told something of itself that did not arrive.
        shutdown: Seconds that the closing DELETE may take, if less than those of a notification.
        wall: Seconds since 1970, for a `Retry-After` date of a server that sends no `Date`.

    Raises:
        MCPError: a proxy that the environment names cannot be used.
    """

    def __init__(
        self,
        *,
        headers: Mapping[str, str],
        auth: httpx2.Auth | None,
        verify: bool | ssl.SSLContext,
        connect_timeout: float,
        max_message: int,
        on_session_lost: Callable[[], None] | None = None,
        on_gap: Callable[[], None] = lambda: None,
        shutdown: float = ASIDE,
        wall: Callable[[], float] = time.time,  # noqa: TID251 - a date of a server has no meaning on the loop's clock
    ) -> None:
        own = httpx2.Headers(dict(headers))
        context = tls(verify) if isinstance(verify, bool) else verify
        self._errands = Errands(self._send_bare, max_message)
        self._tokens = TokenBearer(auth, self._errands) if isinstance(auth, OAuthClientProvider) else None
        watched = None if auth is None else WatchedAuth(auth, self._errands.fetch)
        with named_proxies():
            super().__init__(
                headers=own,
                auth=watched if self._tokens is None else httpx2.Auth(),
                verify=context,
                timeout=httpx2.Timeout(None, connect=connect_timeout, pool=connect_timeout),
                limits=KEEPALIVE,
            )
        for transport in (self._transport, *self._mounts.values()):
            if isinstance(transport, httpx2.AsyncHTTPTransport):  # None stands for no proxy
                dial_by_name(transport)
                drop_strays(transport)
        self._posts = Posts(self)
        self._asked = AskedRequests()
        self._max_message = max_message
        self._on_session_lost = on_session_lost
        self._on_gap = on_gap
        self._shutdown = min(ASIDE, shutdown)
        self._wall = wall
        # Notifications on their way; added to by send(), emptied by themselves and by __aexit__().
        self._aside: set[asyncio.Task[None]] = set()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        """Give up what is still on its way, and close the connections."""
        for task in self._aside:
            task.cancel()
        if self._aside:
            await asyncio.wait(tuple(self._aside))
        await self._errands.aclose()
        await super().__aexit__(exc_type, exc_value, traceback)

    def build_request(self, method: str, url: httpx2.URL | str, **parts: Any) -> httpx2.Request:
        """Return a request; those of the SDK's session, which are all alike, at less cost."""
        if parts.keys() == _OF_THE_SESSION and isinstance(url, str) and method == "POST" and not self.cookies:
            return self._posts.make(url, parts["json"], parts["headers"])
        return super().build_request(method, url, **parts)

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """Send a request of the SDK; only a GET, whose errors the SDK contains by itself, may raise."""
        if request.method == "DELETE":
            await self._send_aside(request)
            return httpx2.Response(200, request=request)
        if request.method != "POST":
            return await self._listen(request, **options)
        content = await request.aread()
        message = envelope(content)
        if message.id is None:
            # The SDK's writer waits for a notification before it takes the next message, so that one that hangs would
            # hang all later calls. Only this one must have arrived before a request follows it.
            if message.method == "notifications/initialized":
                await self._send_aside(request)
            else:
                cancelled = message.method == "notifications/cancelled"
                going = self._withdraw(request, cancelled_id(content)) if cancelled else self._send_aside(request)
                task = asyncio.create_task(going)
                self._aside.add(task)
                task.add_done_callback(self._aside.discard)
            return httpx2.Response(202, request=request)
        got = await self.ask(request, message)
        if isinstance(got, httpx2.Response):
            return got
        body = got.as_error(message.id).model_dump_json(by_alias=True, exclude_unset=True)
        # The SDK hands on a JSON-RPC error at any status of 400 and more.
        return httpx2.Response(
            400, headers={"content-type": "application/json"}, content=body.encode(), request=request
        )

    async def ask(
        self, request: httpx2.Request, message: Envelope, *, answered_here: bool = True
    ) -> httpx2.Response | Refusal:
        """Send one request; return a response that answers it, or why there is none.

        With `answered_here=False` the answer comes on another stream, and any 2xx will do.
        """
        assert message.id is not None
        asked = self._asked.add(message.id)
        request.stream = Body(await request.aread(), asked)
        got = await asked.hold(self._attempt(request, message, answered_here=answered_here))
        return Refusal(facts=_WITHDRAWN) if got is None else got

    async def _attempt(
        self, request: httpx2.Request, message: Envelope, *, answered_here: bool
    ) -> httpx2.Response | Refusal:
        watch = AuthWatch(request.stream if isinstance(request.stream, Body) else None)
        request.extensions[KEY] = watch
        try:
            response = await self._dispatch(request)
        except Exception as error:  # noqa: BLE001 - an auth flow is foreign code, and nothing may reach the SDK's tasks
            return Refusal(facts=broken(error, watch))
        try:
            return await self._judge(request, response, message, answered_here=answered_here)
        except TooLarge:
            return Refusal(facts=self._facts("too_large", response))
        except httpx2.DecodingError:
            return Refusal(facts=self._facts("malformed", response))
        except Exception as error:  # noqa: BLE001 - as above
            return Refusal(facts=HttpFacts(kind="transport", sent=True, exception=type_name(error)))

    async def open_stream(self, request: httpx2.Request) -> httpx2.Response | Refusal:
        """Open an event stream; return its response, to be closed by the caller, or why there is none.

        It asks nothing of a tool, so its facts are those of a request that was never sent.
        """
        watch = AuthWatch()
        request.extensions[KEY] = watch
        try:
            response = await self._dispatch(request)
        except Exception as error:  # noqa: BLE001 - as in _attempt()
            return Refusal(facts=replace(broken(error, watch), sent=False))
        if response.status_code == 200 and content_type(response) == "text/event-stream":
            return readable_events(response, None, self._max_message)
        await dismiss(response)
        kind = "status" if response.status_code >= 400 else "redirect"
        return Refusal(facts=self._facts(kind if response.status_code >= 300 else "content_type", response, sent=False))

    async def _dispatch(self, request: httpx2.Request) -> httpx2.Response:
        """Send, and follow redirects that stay within the origin and keep the method, as the SDK does."""
        for _ in range(REDIRECTS):
            response = await self._pass_on(request, stream=True, follow_redirects=False)
            again = following(response)
            if again is None:
                return response
            await dismiss(response)
            request = again
        return await self._pass_on(request, stream=True, follow_redirects=False)

    async def _pass_on(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        with origins_only():
            if self._tokens is None:
                return await super().send(request, **options)
            watch = request.extensions.setdefault(KEY, AuthWatch())
            return await self._tokens.send(request, partial(super().send, **options), watch)

    async def _send_bare(self, request: httpx2.Request) -> httpx2.Response:
        return await super().send(request, auth=httpx2.Auth(), stream=True, follow_redirects=False)

    async def _judge(
        self, request: httpx2.Request, response: httpx2.Response, message: Envelope, *, answered_here: bool
    ) -> httpx2.Response | Refusal:
        status = response.status_code
        if status >= 400:
            return await self._refused(request, response, session=_SESSION in request.headers or not answered_here)
        kind = content_type(response)
        if not _VISIBLE.fullmatch(response.headers.get(_SESSION, "")):
            # It would have to be sent back with every request, and cannot be.
            await response.aclose()
            return Refusal(facts=self._facts("malformed", response))
        if status != 202 and status < 300 and answered_here:
            if kind == "text/event-stream":
                return readable_events(response, message.id, self._max_message)
            if kind == "application/json":
                return await self._answered(response, message)
        await dismiss(response)
        if status >= 300:
            # Only these two say that the request is to be made elsewhere; after the others it may have been acted on.
            return Refusal(facts=self._facts("redirect", response, sent=status not in (307, 308)))
        if not answered_here:
            return httpx2.Response(202, request=request)
        return Refusal(facts=self._facts("accepted" if status == 202 else "content_type", response))

    async def _answered(self, response: httpx2.Response, message: Envelope) -> httpx2.Response | Refusal:
        announced = announced_length(response)
        body = await read_body(response, self._max_message, announced)
        assert message.id is not None
        answer = read_answer(body, message.id)
        if answer.fault == "wrong_id":
            # Whatever answers are still to come over this connection are one late as well.
            await response.extensions["network_stream"].aclose()
        if answer.fault is not None:
            return Refusal(facts=self._facts(answer.fault, response))
        if answer.replacement is None and announced is not None:
            return response
        return whole(response, answer.replacement or body)

    async def _refused(self, request: httpx2.Request, response: httpx2.Response, *, session: bool) -> Refusal:
        body = await read_refusal(response, self._max_message, session=session)
        error = rpc_error(body) if content_type(response) == "application/json" else None
        given = None if error is None else error.error
        if session and means_session_lost(response.status_code, body, error):
            self._session_lost()
            return Refusal(facts=self._facts("session_lost", response, sent=False), error=given)
        return Refusal(facts=self._facts("status", response), error=given)

    async def _listen(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """Open an event stream for the SDK: one that an answer is to come on after all, or the session's own."""
        asked = self._asked.mine()
        if asked is None:
            return await self._stand(request)
        response = None if asked.unwanted else await asked.hold(self._pass_on(request, **options))
        if response is not None:
            return readable_events(response, asked.id, self._max_message)
        # The SDK would ask again; an answer ends that, and is passed over like any that comes too late.
        answer = Refusal(facts=_WITHDRAWN).as_error(asked.id).model_dump_json(by_alias=True, exclude_unset=True)
        return httpx2.Response(200, headers=_EVENTS, content=f"data: {answer}\n\n".encode(), request=request)

    async def _stand(self, request: httpx2.Request) -> httpx2.Response:
        async def get(last_id: str) -> httpx2.Response | HttpFacts:
            # Cookies are those of now: a balancer may have sent the session elsewhere since the first stream.
            headers = [(name, value) for name, value in request.headers.multi_items() if name != "cookie"]
            headers += [("Last-Event-ID", last_id)] if last_id else []
            got = await self.open_stream(self.build_request("GET", request.url, headers=headers))
            return got.facts if isinstance(got, Refusal) else got

        stream = StandingStream(get, on_gap=self._on_gap, max_event=self._max_message)
        if await stream.open():
            return httpx2.Response(200, headers=_EVENTS, stream=stream, request=request)
        return httpx2.Response(405, request=request)

    async def _withdraw(self, request: httpx2.Request, withdrawn: RequestId | None) -> None:
        """Tell the server that nobody waits for an answer any more, and end the request if it goes on all the same.

        A request that it cannot have yet is ended at once, and the server not told of it.
        """
        asked = self._asked.withdraw(withdrawn)
        if asked is None or asked.left:
            await self._send_aside(request)
        if asked is not None:
            await asyncio.sleep(GRACE if asked.left else 0)
            await asked.give_up()

    async def _send_aside(self, request: httpx2.Request) -> None:
        """Send what has no answer; its failure is nobody's."""
        request.extensions[KEY] = AuthWatch()
        limit = self._shutdown if request.method == "DELETE" else ASIDE
        try:
            with anyio.move_on_after(limit) as scope:
                response = await self._dispatch(request)
                if response.status_code >= 400 and request.method == "POST" and _SESSION in request.headers:
                    await self._refused(request, response, session=True)
                else:
                    await dismiss(response)
        except Exception as error:  # noqa: BLE001 - as in _attempt()
            _log.debug("a notification could not be sent: %s", type_name(error))
            return
        if scope.cancelled_caught:
            _log.debug("a notification was not taken within %g s", limit)

    def _facts(self, kind: Any, response: httpx2.Response, *, sent: bool = True) -> HttpFacts:
        challenge = response.headers.get("www-authenticate")
        named = None if challenge is None else _AUTH_ERROR.search(challenge)
        return HttpFacts(
            kind=kind,
            sent=sent,
            status=response.status_code,
            retry_after=seconds_asked(response.headers, wall=self._wall),
            www_authenticate=challenge is not None,
            auth_error=None if named is None else named[1],
        )

    def _session_lost(self) -> None:
        if self._on_session_lost is not None:
            self._on_session_lost()


@cache
def tls(verify: bool) -> ssl.SSLContext:
    """Return the TLS settings that all clients share: reading the certificates takes 25 ms, too long for each."""
    return httpx2.create_ssl_context(verify=verify)
