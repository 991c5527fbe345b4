"""Requests that carry a token of the SDK's OAuth providers, which is got and renewed apart from them.

A provider's flow goes around the whole request and holds a lock until its answer's headers are there. Calls to servers
that send them when the tool is done would run one after the other, and one that hangs would hang them all. So its flow
is used for what lies before and after a request only: it is left at the moment at which the request would go out, and
begun again with an answer that is there already.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import Final, NamedTuple

import httpx2
from mcp.client.auth import OAuthClientProvider

from recloser.transport.auth import AuthWatch
from recloser.transport.errands import Errand, Errands, Unavailable, may_pass
from recloser.transport.refusals import dismiss

__all__ = ["TokenBearer"]

Send = Callable[[httpx2.Request], Awaitable[httpx2.Response]]
_Flow = AsyncGenerator[httpx2.Request, httpx2.Response]

SENDINGS: Final = 3
"""How often a request goes out at the most: with the token it finds, with somebody else's, and with one of its own."""


class _Another(NamedTuple):
    header: str | None
    """What a request carries then."""
    ours: bool
    """Whether it was got for the refused request itself, so that there is none after it."""


class TokenBearer:
    """Sends requests of one client with a provider's token; `errands` are the client's."""

    def __init__(self, provider: OAuthClientProvider, errands: Errands) -> None:
        self._provider = provider
        self._errands = errands

    async def send(self, request: httpx2.Request, send: Send, watch: AuthWatch) -> httpx2.Response:
        """Send a request, and once more with another token if it is refused for the one that it had.

        Raises:
            Exception: what made the authentication fail, while `watch.busy` is set, or else the request.
        """
        watch.busy = True
        header = self._at_hand()
        if header is None:
            header = await self._errands.join("token", partial(self._get, request), watch.failed)
        response = await _sent(request, header, send, watch)
        for _ in range(SENDINGS - 1):
            if not _asks_for_another(request, response):
                break
            watch.busy = True
            watch.came_back()
            another = await self._another(request, response, watch)
            watch.busy = False
            if another is None:
                break
            await dismiss(response)
            response = await _sent(request, another.header, send, watch)
            if another.ours:
                break
        return response

    def _at_hand(self) -> str | None:
        context = self._provider.context
        tokens = context.current_tokens
        return f"Bearer {tokens.access_token}" if tokens is not None and context.is_token_valid() else None

    async def _get(self, request: httpx2.Request, errand: Errand) -> str | None:
        """Load the token, or refresh it, if there is one that can be; return the header."""
        probe = _probe(request)
        async with aclosing(self._provider.async_auth_flow(probe)) as flow:
            await _begin(flow, probe, errand)
        return _header(probe)

    async def _another(self, request: httpx2.Request, refusal: httpx2.Response, watch: AuthWatch) -> _Another | None:
        """Return another token than that which was refused; None if there is none to be had."""
        used = _header(request)

        async def renew(errand: Errand) -> _Another | None:
            probe = _probe(request)
            async with aclosing(self._provider.async_auth_flow(probe)) as flow:
                await _begin(flow, probe, errand)
                if _header(probe) != used:
                    return _Another(_header(probe), ours=False)  # whoever held the provider before us
                try:
                    outgoing = await flow.asend(refusal)
                    while outgoing is not probe:
                        outgoing = await flow.asend(await errand.ask(outgoing))
                except StopAsyncIteration:
                    return None
            return _Another(_header(probe), ours=True)

        # Those who were refused in the same words for the same token want the same.
        key = used, refusal.status_code, refusal.headers.get("www-authenticate")
        try:
            return await self._errands.join(key, renew, watch.failed)
        except BaseException:
            await refusal.aclose()
            raise


async def _sent(request: httpx2.Request, header: str | None, send: Send, watch: AuthWatch) -> httpx2.Response:
    if header is not None:
        request.headers["Authorization"] = header
    watch.busy = False
    response = await send(request)
    watch.answered = response.status_code
    return response


def _asks_for_another(request: httpx2.Request, response: httpx2.Response) -> bool:
    """Return whether a response asks for another token: taking leave is worth no sign-in."""
    if request.method == "DELETE":
        return False
    challenge = response.headers.get("www-authenticate", "")
    return response.status_code == 401 or (response.status_code == 403 and "insufficient_scope" in challenge)


def _header(request: httpx2.Request) -> str | None:
    header: str | None = request.headers.get("Authorization")
    return header


def _probe(request: httpx2.Request) -> httpx2.Request:
    """Return what stands for a request in a flow: the same but for its body, and never sent."""
    return httpx2.Request(request.method, request.url, headers=request.headers)


async def _begin(flow: _Flow, probe: httpx2.Request, errand: Errand) -> None:
    """Lead a flow to the moment at which its request would go out.

    Raises:
        Unavailable: the token could not be refreshed for now. The flow would throw it away for that.
    """
    outgoing = await anext(flow)
    while outgoing is not probe:
        answer = await errand.ask(outgoing)
        if may_pass(answer.status_code):
            raise Unavailable
        outgoing = await flow.asend(answer)
