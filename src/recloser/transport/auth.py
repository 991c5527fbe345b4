"""What an authentication flow is doing while it makes a request wait.

A flow may talk to an authorization server before, after and in the middle of the request that it authenticates. Which
of these failed decides what the failure means, and only the flow's driver sees it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Final

import httpx2
from mcp.client.auth import OAuthClientProvider

from recloser.facts import seconds_asked
from recloser.transport.asked import Body

__all__ = ["AuthWatch", "WatchedAuth"]

KEY: Final = "recloser.auth"


class AuthWatch:
    """The state of one request's authentication; written by `WatchedAuth` alone."""

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
            self._body.leave()

    @property
    def transient(self) -> bool:
        """Whether the authorization server failed in a way that may pass."""
        return self.status is not None and (self.status in (408, 425, 429) or self.status >= 500)


class WatchedAuth(httpx2.Auth):
    """Another authentication, whose state is written to the request's `AuthWatch`."""

    def __init__(self, inner: httpx2.Auth) -> None:
        self._inner = inner
        self.requires_request_body = inner.requires_request_body
        self.requires_response_body = inner.requires_response_body

    async def async_auth_flow(self, request: httpx2.Request) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        """Drive the inner flow."""
        watch: AuthWatch = request.extensions.get(KEY) or AuthWatch()
        if self._token_in_hand(request):
            response = yield request
            if response.status_code not in (401, 403):
                return
        flow = self._inner.async_auth_flow(request)
        try:
            watch.busy = True
            outgoing = await anext(flow)
            while True:
                # A flow may sign a copy of the request: that is no request of its own.
                own = (outgoing.method, outgoing.url) != (request.method, request.url)
                watch.busy = own
                if not own:
                    watch.leaving(outgoing)
                response = yield outgoing
                watch.busy = True
                if not own:
                    watch.answered = response.status_code
                else:
                    watch.status, watch.retry_after = response.status_code, seconds_asked(response.headers)
                outgoing = await flow.asend(response)
        except StopAsyncIteration:
            watch.busy = False
        finally:
            await flow.aclose()

    def _token_in_hand(self, request: httpx2.Request) -> bool:
        """Add a valid token, if another request holds the flow, and return whether that was done.

        The SDK's provider keeps its lock until an answer's headers are there: with servers that send them when the tool
        is done, calls would run one after the other, and a hung one would hang them all.
        """
        inner = self._inner
        if not isinstance(inner, OAuthClientProvider):
            return False
        context = inner.context
        if not context.lock.locked() or not context.is_token_valid() or context.current_tokens is None:
            return False
        request.headers["Authorization"] = f"Bearer {context.current_tokens.access_token}"
        return True
