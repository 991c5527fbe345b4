"""The moment at which a request leaves: asked for just before, and noted, whatever signs the request."""

from __future__ import annotations

import asyncio
from collections.abc import Generator

import httpx2
import pytest
from http_kit import ERAS, call, facts, refused, transport

from recloser.facts import HttpFacts
from recloser.transport.asked import LEAVE, Leaving
from support.http_faults import Exchange, FaultServer, open_session


class InPlace(httpx2.Auth):
    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response]:
        request.headers["x-signed"] = "yes"
        yield request


class Copying(httpx2.Auth):
    requires_request_body = True

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response]:
        headers = {**request.headers, "x-signed": "yes"}
        yield httpx2.Request(request.method, request.url, headers=headers, content=request.content)


AUTHS = [None, InPlace(), Copying()]


@pytest.mark.parametrize("auth", AUTHS)
@pytest.mark.parametrize("era", ERAS)
def test_leave_is_asked_for_before_a_server_may_have_the_request(era: str, auth: httpx2.Auth | None) -> None:
    async def main() -> None:
        left: list[bool] = []

        def leave() -> bool:
            left.append("tools/call" in server.methods())
            return True

        async def signed(exchange: Exchange) -> None:
            assert exchange.headers.get("x-signed") == (None if auth is None else "yes")
            await exchange.result()

        async with (
            FaultServer(on={"tool": signed}) as server,
            open_session(transport(server.url, auth=auth), era) as session,
        ):
            LEAVE.set(Leaving(leave, lambda: None))
            assert not (await call(session, "tool")).is_error
            assert left[0] is False

    asyncio.run(main())


@pytest.mark.parametrize("auth", AUTHS)
@pytest.mark.parametrize("era", ERAS)
def test_a_request_without_leave_is_not_sent_and_disturbs_no_other(era: str, auth: httpx2.Auth | None) -> None:
    async def main() -> None:
        async with FaultServer() as server, open_session(transport(server.url, auth=auth), era) as session:
            sibling = asyncio.create_task(call(session, "gate"))
            while "tools/call" not in server.methods():
                await asyncio.sleep(0)
            LEAVE.set(Leaving(lambda: False, lambda: None))
            assert facts(await refused(session)) == HttpFacts(
                kind="transport", sent=False, exception="recloser.Withdrawn"
            )
            LEAVE.set(None)
            assert server.methods().count("tools/call") == 1
            server.open_gate.set()
            assert not (await sibling).is_error

    asyncio.run(main())
