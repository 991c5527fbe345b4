"""A server whose calls need a token of an OAuth provider, with its authorization server and a person who signs in."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cached_property
from typing import Any
from urllib.parse import parse_qs, urlsplit

from http_kit import transport
from mcp.client import ClientSession
from mcp.client.auth import OAuthClientProvider
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientInformationFull, OAuthClientMetadata, OAuthToken

from support.http_faults import Exchange, FaultServer, open_session


class Store:
    def __init__(self) -> None:
        self.tokens: OAuthToken | None = None
        self.client: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


class Site:
    """A server, its authorization server, and a person who signs in at once unless `person` is cleared."""

    def __init__(self) -> None:
        self.person, self.login = asyncio.Event(), asyncio.Event()
        self.person.set()
        self.login.set()
        self.windows = self.refreshes = 0
        self.scopes: dict[str, str] = {}
        self.needs: dict[str, str] = {}
        self.token: Callable[[Exchange], Any] = self.give
        self.asked: dict[str, str] = {}
        self.server = FaultServer(
            on={
                "/mcp": self.guard,
                "/token": self.answer,
                "/register": self.register,
                "/.well-known/oauth-authorization-server": self.describe,
                "/.well-known/oauth-protected-resource/mcp": self.absent,
                "/.well-known/oauth-protected-resource": self.absent,
            }
        )

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    @cached_property
    def provider(self) -> OAuthClientProvider:
        about = OAuthClientMetadata(redirect_uris=["http://localhost:3000/cb"], client_name="t", scope="basic")
        return OAuthClientProvider(self.server.url, about, Store(), self.show, self.back)

    @asynccontextmanager
    async def signed_in(self, era: str, by: Callable[[str], str] = str) -> AsyncIterator[ClientSession]:
        """Run the server, and open a session with it, by its URL or one made of that, for which somebody signs in."""
        async with self.server, open_session(transport(by(self.server.url), auth=self.provider), era) as session:
            yield session

    async def show(self, url: str) -> None:
        self.windows += 1
        self.asked = {key: value[0] for key, value in parse_qs(urlsplit(url).query).items()}

    async def back(self) -> AuthorizationCodeResult:
        await self.person.wait()
        return AuthorizationCodeResult(code="code", state=self.asked["state"])

    async def answer(self, exchange: Exchange) -> None:
        await self.token(exchange)

    async def give(self, exchange: Exchange) -> None:
        form = {key: value[0] for key, value in parse_qs(exchange.body.decode()).items()}
        self.refreshes += form["grant_type"] == "refresh_token"
        await self.login.wait()
        name = f"t{len(self.scopes)}"
        self.scopes[name] = self.asked.get("scope", "basic")
        given = {"access_token": name, "token_type": "Bearer", "expires_in": 3600, "refresh_token": f"r{name}"}
        await exchange.reply(200, json.dumps(given | {"scope": self.scopes[name]}).encode())

    async def absent(self, exchange: Exchange) -> None:
        await exchange.reply(404)

    async def register(self, exchange: Exchange) -> None:
        await exchange.reply(201, json.dumps(exchange.message | {"client_id": "c"}).encode())

    async def describe(self, exchange: Exchange) -> None:
        ends = {f"{what}_endpoint": f"{self.root}/{what}" for what in ("token", "authorize", "register")}
        about = {"issuer": self.root, "response_types_supported": ["code"]} | ends
        about["authorization_endpoint"], about["registration_endpoint"] = f"{self.root}/a", f"{self.root}/register"
        await exchange.reply(200, json.dumps(about | {"code_challenge_methods_supported": ["S256"]}).encode())

    async def guard(self, exchange: Exchange) -> None:
        name = exchange.headers.get("authorization", "").removeprefix("Bearer ")
        needed = self.needs.get((exchange.message.get("params") or {}).get("name", ""), "")
        if name not in self.scopes:
            await exchange.reply(401, b"", www_authenticate='Bearer error="invalid_token"')
        elif needed not in self.scopes[name]:
            await exchange.reply(403, b"", www_authenticate=f'Bearer error="insufficient_scope", scope="{needed}"')
        else:
            await self.server.behave(exchange)

    def ran(self) -> int:
        held = [each.headers["authorization"].removeprefix("Bearer ") for each in self.calls()]
        return sum(name in self.scopes for name in held)

    def calls(self) -> list[Exchange]:
        return [each for each in self.server.seen if each.method == "tools/call"]

    def expire(self) -> None:
        self.revoke()
        self.provider.context.token_expiry_time = time.time() - 10

    def revoke(self) -> None:
        self.scopes = {f"old {name}": scope for name, scope in self.scopes.items()}


async def until(true: Callable[[], bool]) -> None:
    while not true():
        await asyncio.sleep(0)
