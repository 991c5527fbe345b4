"""What an authentication flow is doing while it makes a request wait.

A flow may talk to an authorization server before, after and in the middle of the request that it authenticates. Which
of these failed decides what the failure means, and only the flow's driver sees it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, Final

import httpx2

from recloser.facts import HttpFacts, seconds_asked, type_name
from recloser.transport.asked import Body, Withdrawn
from recloser.transport.errands import Errand, Unavailable, may_pass

__all__ = ["KEY", "AuthWatch", "WatchedAuth", "broken"]

KEY: Final = "recloser.auth"

_UNSENT: Final = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.ProxyError,
    httpx2.UnsupportedProtocol,
    httpx2.LocalProtocolError,
    httpx2.InvalidURL,
    Withdrawn,
)


class AuthWatch:
    """The state of one request's authentication; written by what authenticates it."""

    __slots__ = ("_body", "answered", "busy", "retry_after", "status")

    def __init__(self, body: Body | None = None) -> None:
        self._body = body
        self.busy = False
        """Whether the flow is at work, so that what fails now is not the request itself."""
        self.answered: int | None = None
        """The last status that the request itself got."""
        self.status: int | None = None
        """The last status of the authorization server."""
        self.retry_after: float | None = None
        """The seconds that it asked us to wait with that."""

    def leaving(self, outgoing: httpx2.Request) -> None:
        """Note that a version of the request goes out; one that a flow has copied has another body than ours.

        Raises:
            Withdrawn: it must not go out any more.
        """
        if self._body is not None and outgoing.stream is not self._body:
            self._body.asked.leave()

    def came_back(self) -> None:
        """Note that the request was refused for how it was authenticated, and is to go out again."""
        if self._body is not None:
            self._body.asked.come_back()

    def failed(self, errand: Errand) -> None:
        """Note what the authorization server said in an errand that failed."""
        self.status, self.retry_after = errand.status, errand.retry_after

    @property
    def transient(self) -> bool:
        """Whether the authorization server failed in a way that may pass."""
        return may_pass(self.status)


class WatchedAuth(httpx2.Auth):
    """Another authentication, whose state is written to the request's `AuthWatch`.

    Args:
        inner: the other.
        fetch: Returns the whole answer to a request of its own.
    """

    def __init__(self, inner: httpx2.Auth, fetch: Callable[[httpx2.Request], Awaitable[httpx2.Response]]) -> None:
        self._inner = inner
        self._fetch = fetch
        self.requires_request_body = inner.requires_request_body
        self.requires_response_body = inner.requires_response_body

    async def async_auth_flow(self, request: httpx2.Request) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        """Drive the inner flow."""
        watch: AuthWatch = request.extensions.get(KEY) or AuthWatch()
        flow = self._inner.async_auth_flow(request)
        try:
            watch.busy = True
            outgoing = await anext(flow)
            while True:
                # A flow may sign a copy of the request: that is no request of its own.
                if (outgoing.method, outgoing.url) == (request.method, request.url):
                    watch.busy = False
                    watch.leaving(outgoing)
                    response = yield outgoing
                    watch.busy = True
                    watch.answered = response.status_code
                    if response.status_code in (401, 403):
                        watch.came_back()
                else:
                    response = await self._fetch(outgoing)
                    watch.status, watch.retry_after = response.status_code, seconds_asked(response.headers)
                outgoing = await flow.asend(response)
        except StopAsyncIteration:
            watch.busy = False
        finally:
            await flow.aclose()


def broken(error: Exception, watch: AuthWatch) -> HttpFacts:
    """Return the facts of a request that has no answer, or whose authentication failed."""
    name = type_name(error)
    if watch.busy and watch.answered in (None, 401, 403):
        # Either the request had not been made yet, or it was refused before its tool.
        transient = watch.transient or isinstance(error, httpx2.RequestError | Unavailable)
        kind: Any = "auth_unreachable" if transient else "auth_flow"
        return HttpFacts(kind=kind, sent=False, status=watch.status, retry_after=watch.retry_after, exception=name)
    sent = watch.busy or not isinstance(error, _UNSENT)
    return HttpFacts(kind="transport", sent=sent, exception=name)
