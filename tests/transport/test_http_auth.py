from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from typing import Any

import httpx2
import mcp_types as types
import pytest
from mcp import MCPError
from mcp.client import ClientSession
from mcp.client.auth.extensions.client_credentials import ClientCredentialsOAuthProvider
from mcp.shared.auth import OAuthClientInformationFull
from oauth_kit import Store

from recloser.facts import HttpFacts, facts_of
from recloser.transport.http import http_transport
from support.http_faults import Exchange, FaultServer, open_session


def transport(url: str, auth: httpx2.Auth) -> Any:
    return http_transport(url, headers={}, auth=auth, verify=True, connect_timeout=5.0, max_message=65536)


async def call(session: ClientSession, name: str = "next") -> types.CallToolResult:
    request = types.CallToolRequest(params=types.CallToolRequestParams(name=name, arguments={}))
    return await session.send_request(request, types.CallToolResult)


async def refusal(session: ClientSession, name: str = "next") -> HttpFacts:
    with pytest.raises(MCPError) as caught:
        await call(session, name)
    found = facts_of(caught.value)
    assert found is not None
    return found


class Memory(Store):
    """A token storage for a client that is known already."""

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        raise AssertionError("nobody registers")


class Login:
    """A server's other half that hands out tokens; its ways can be changed while it runs."""

    def __init__(self) -> None:
        self.valid = "t1"
        self.token: Any = self.give
        self.server = FaultServer(
            on={
                "/mcp": self.guard,
                "/token": self.ask,
                "/.well-known/oauth-authorization-server": self.describe,
                "/.well-known/oauth-protected-resource/mcp": self.absent,
                "/.well-known/oauth-protected-resource": self.absent,
            }
        )

    def provider(self) -> httpx2.Auth:
        issuer = f"http://127.0.0.1:{self.server.port}"
        return ClientCredentialsOAuthProvider(
            server_url=self.server.url, storage=Memory(), client_id="c", client_secret="s", issuer=issuer
        )

    async def ask(self, exchange: Exchange) -> None:
        await self.token(exchange)

    async def give(self, exchange: Exchange) -> None:
        await exchange.reply(200, json.dumps({"access_token": self.valid, "token_type": "Bearer"}).encode())

    async def absent(self, exchange: Exchange) -> None:
        await exchange.reply(404)

    async def describe(self, exchange: Exchange) -> None:
        root = f"http://127.0.0.1:{self.server.port}"
        about = {"issuer": root, "token_endpoint": f"{root}/token", "authorization_endpoint": f"{root}/authorize"}
        about |= {"response_types_supported": ["code"], "grant_types_supported": ["client_credentials"]}  # type: ignore[dict-item]
        await exchange.reply(200, json.dumps(about).encode())

    async def guard(self, exchange: Exchange) -> None:
        if exchange.headers.get("authorization") != f"Bearer {self.valid}":
            await exchange.reply(401, b"", www_authenticate='Bearer error="invalid_token"')
        else:
            await self.server.behave(exchange)


def status(code: int, **headers: str) -> Any:
    async def fault(exchange: Exchange) -> None:
        await exchange.reply(code, b'{"error":"invalid_grant"}', **headers)

    return fault


async def reset(exchange: Exchange) -> None:
    exchange.reset()


def test_a_revoked_token_is_replaced_within_the_call() -> None:
    async def main() -> None:
        login = Login()
        async with login.server as server, open_session(transport(server.url, login.provider()), "modern") as session:
            login.valid = "t2"
            assert (await call(session)).content

    asyncio.run(main())


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        (
            status(400),
            HttpFacts(kind="auth_flow", sent=False, status=400, exception="mcp.OAuthTokenError"),
        ),
        (
            status(500),
            HttpFacts(kind="auth_unreachable", sent=False, status=500, exception="mcp.OAuthTokenError"),
        ),
        (
            status(429, retry_after="9"),
            HttpFacts(
                kind="auth_unreachable", sent=False, status=429, retry_after=9.0, exception="mcp.OAuthTokenError"
            ),
        ),
        (reset, HttpFacts(kind="auth_unreachable", sent=False, status=200, exception="httpx2.ReadError")),
    ],
)
def test_what_the_authorization_server_does_is_told_apart(token: Any, expected: HttpFacts) -> None:
    async def main() -> None:
        login = Login()
        async with login.server as server, open_session(transport(server.url, login.provider()), "modern") as session:
            login.valid, login.token = "t2", token
            assert await refusal(session) == expected
            login.token = login.give
            assert (await call(session)).content

    asyncio.run(main())


def test_a_server_that_refuses_a_fresh_token_is_told_as_a_status() -> None:
    async def main() -> None:
        login = Login()
        async with login.server as server, open_session(transport(server.url, login.provider()), "modern") as session:
            server.on["/mcp"] = status(401)
            found = await refusal(session)
            assert (found.kind, found.status) == ("status", 401)

    asyncio.run(main())


def test_a_call_that_hangs_holds_up_no_other_though_the_provider_is_locked() -> None:
    async def main() -> None:
        login = Login()
        async with login.server as server, open_session(transport(server.url, login.provider()), "modern") as session:
            slow = asyncio.create_task(call(session, "gate"))
            while "tools/call" not in server.methods():
                await asyncio.sleep(0)
            assert (await call(session)).content
            assert not slow.done()
            server.open_gate.set()
            assert (await slow).content

    asyncio.run(main())


def test_a_token_in_hand_that_is_refused_leads_to_the_whole_flow() -> None:
    async def main() -> None:
        login = Login()
        async with login.server as server, open_session(transport(server.url, login.provider()), "modern") as session:
            slow = asyncio.create_task(call(session, "gate"))
            while "tools/call" not in server.methods():
                await asyncio.sleep(0)
            login.valid = "t2"
            other = asyncio.create_task(call(session))
            while server.methods().count("tools/call") < 2:
                await asyncio.sleep(0)
            server.open_gate.set()
            assert (await slow).content
            assert (await other).content

    asyncio.run(main())


Steps = Callable[[httpx2.Request], AsyncGenerator[httpx2.Request, httpx2.Response]]


class Scripted(httpx2.Auth):
    """An authentication made of one function."""

    def __init__(self, steps: Steps) -> None:
        self.async_auth_flow = steps  # type: ignore[method-assign]


def outcome(steps: Steps, **on: Any) -> HttpFacts:
    """Return the facts of a call whose authentication goes through `steps`."""

    async def main() -> HttpFacts:
        async with (
            FaultServer(on=on) as server,
            transport(server.url, Scripted(steps)) as (read, write),
            ClientSession(read, write) as session,
        ):
            with pytest.raises(MCPError) as caught:
                await session.send_ping()
            found = facts_of(caught.value)
            assert found is not None
            return found

    return asyncio.run(main())


def test_a_flow_that_fails_before_the_request_proves_that_it_was_not_sent() -> None:
    async def steps(request: httpx2.Request) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        raise KeyError("no such secret")
        yield request

    assert outcome(steps) == HttpFacts(kind="auth_flow", sent=False, exception="KeyError")


def test_a_flow_that_fails_after_an_answer_proves_nothing() -> None:
    async def steps(request: httpx2.Request) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        yield request
        raise KeyError("I do not like this answer")

    assert outcome(steps) == HttpFacts(kind="transport", sent=True, exception="KeyError")


def test_a_signed_copy_of_the_request_is_the_request() -> None:
    async def steps(request: httpx2.Request) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        yield httpx2.Request(request.method, request.url, headers=request.headers, content=request.content)

    assert outcome(steps, ping=reset) == HttpFacts(kind="transport", sent=True, exception="httpx2.ReadError")


def test_an_authorization_server_that_is_not_there_is_told_as_such() -> None:
    async def steps(request: httpx2.Request) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        yield httpx2.Request("POST", "http://login.invalid/token")
        yield request

    assert outcome(steps) == HttpFacts(kind="auth_unreachable", sent=False, exception="httpx2.ConnectError")
