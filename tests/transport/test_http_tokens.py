"""Tokens of the SDK's OAuth providers: got and renewed once for all, while the requests that carry them go on."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest
from http_kit import call, facts, refused, transport
from mcp.shared.auth import OAuthToken
from oauth_kit import Site, until

from recloser.transport.asked import LEAVE, Leaving
from recloser.transport.tokens import SENDINGS
from support.http_faults import Exchange, open_session


def test_calls_that_came_while_the_token_was_refreshed_go_side_by_side() -> None:
    async def main() -> None:
        site = Site()
        async with site.signed_in("legacy") as session:
            site.expire()
            slow = [asyncio.create_task(call(session, "gate")) for _ in range(8)]
            await until(lambda: site.ran() == 8)
            site.server.open_gate.set()
            assert all(not answer.is_error for answer in await asyncio.gather(*slow))
            assert (site.refreshes, site.windows) == (1, 1)

    asyncio.run(main())


@pytest.mark.parametrize("era", ["modern", "legacy"])
def test_a_caller_who_leaves_breaks_off_no_refresh(era: str) -> None:
    async def main() -> None:
        site = Site()
        async with site.signed_in(era) as session:
            site.expire()
            site.login.clear()
            impatient = asyncio.create_task(call(session, "echo"))
            await until(lambda: site.refreshes == 1)
            impatient.cancel()
            patient = asyncio.create_task(call(session, "echo"))
            await asyncio.sleep(0)
            site.login.set()
            assert not (await patient).is_error
            assert (site.refreshes, site.windows, len(site.calls())) == (1, 1, 1)

    asyncio.run(main())


def test_those_who_were_refused_for_one_token_sign_in_once() -> None:
    async def main() -> None:
        site = Site()
        async with site.signed_in("modern") as session:
            site.revoke()
            site.person.clear()
            calls = [asyncio.create_task(call(session, "echo")) for _ in range(6)]
            await until(lambda: len(site.calls()) == 6 and site.windows == 2)
            site.person.set()
            assert all(not answer.is_error for answer in await asyncio.gather(*calls))
            assert (site.windows, site.ran()) == (2, 6)

    asyncio.run(main())


def test_a_client_that_shares_the_provider_takes_the_token_that_another_has_got() -> None:
    async def main() -> None:
        site = Site()
        async with (
            site.signed_in("modern") as one,
            open_session(transport(site.server.url, auth=site.provider), "modern") as other,
        ):
            site.revoke()
            site.person.clear()
            calls = [asyncio.create_task(call(session, "echo")) for session in (one, other)]
            await until(lambda: len(site.calls()) == 2 and site.windows == 2)
            site.person.set()
            assert all(not answer.is_error for answer in await asyncio.gather(*calls))
            assert (site.windows, site.ran()) == (2, 2)

    asyncio.run(main())


def test_a_request_that_was_refused_before_its_tool_counts_as_never_sent_while_a_person_signs_in() -> None:
    async def main() -> None:
        heard: list[str] = []
        site = Site()
        async with site.signed_in("modern") as session:
            site.revoke()
            site.person.clear()
            LEAVE.set(Leaving(lambda: not heard.append("leaves"), lambda: heard.append("is back")))
            waiting = asyncio.create_task(call(session, "echo"))
            LEAVE.set(None)
            await until(lambda: site.windows == 2)
            assert heard == ["leaves", "is back"]
            site.person.set()
            await waiting
            assert heard == ["leaves", "is back", "leaves"]

    asyncio.run(main())


def test_a_scope_that_is_missing_is_asked_for_and_one_that_is_not_given_is_not_asked_for_again() -> None:
    async def main() -> None:
        site = Site()
        async with site.signed_in("modern") as session:
            site.needs = {"admin": "admin", "bad": "never given"}
            assert not (await call(session, "admin")).is_error
            assert site.windows == 2
            site.server.on["/mcp"] = Forbidding('Bearer error="insufficient_scope", scope="more"')
            found = facts(await refused(session))
            assert (found.kind, found.status, site.windows) == ("status", 403, 3)

    asyncio.run(main())


class Forbidding:
    """Refuses every call with a challenge."""

    def __init__(self, challenge: str) -> None:
        self.challenge = challenge

    async def __call__(self, exchange: Exchange) -> None:
        await exchange.reply(403, b"", www_authenticate=self.challenge)


@pytest.mark.parametrize("challenge", ["Bearer", 'Bearer realm="insufficient_scope"'])
def test_a_refusal_that_asks_for_no_other_token_is_told_as_it_is(challenge: str) -> None:
    async def main() -> None:
        site = Site()
        async with site.signed_in("modern") as session:
            site.server.on["/mcp"] = Forbidding(challenge)
            found = facts(await refused(session))
            assert (found.kind, found.status, site.windows) == ("status", 403, 1)

    asyncio.run(main())


@pytest.mark.parametrize("status", [503, 429])
def test_a_refresh_that_may_succeed_later_costs_no_sign_in(status: int) -> None:
    async def main() -> None:
        async def down(exchange: Exchange) -> None:
            await exchange.reply(status, b"", retry_after="7")

        site = Site()
        async with site.signed_in("modern") as session:
            site.expire()
            site.token = down
            found = facts(await refused(session, "echo"))
            assert (found.kind, found.sent, found.status) == ("auth_unreachable", False, status)
            assert found.retry_after == 7.0
            site.token = site.give
            assert not (await call(session, "echo")).is_error
            assert (site.refreshes, site.windows) == (1, 1)

    asyncio.run(main())


def test_a_refresh_that_is_refused_for_good_leads_to_a_sign_in() -> None:
    async def main() -> None:
        async def revoked(exchange: Exchange) -> None:
            site.token = site.give
            await exchange.reply(400, b'{"error":"invalid_grant"}')

        site = Site()
        async with site.signed_in("modern") as session:
            site.expire()
            site.token = revoked
            assert not (await call(session, "echo")).is_error
            assert (site.refreshes, site.windows) == (0, 2)

    asyncio.run(main())


def test_an_authorization_server_that_sends_without_end_fails_the_call() -> None:
    async def main() -> None:
        async def endless(exchange: Exchange) -> None:
            await exchange.reply(200, b"", transfer_encoding="chunked")
            while True:
                await exchange.raw(b"1000\r\n" + b" " * 4096 + b"\r\n")

        site = Site()
        async with site.signed_in("modern") as session:
            site.revoke()
            site.token = endless
            found = facts(await refused(session, "echo"))
            assert (found.kind, found.sent, found.exception) == ("auth_flow", False, "recloser.TooLarge")

    asyncio.run(main())


def test_a_call_whose_token_is_always_anothers_goes_out_so_often_and_no_more() -> None:
    async def main() -> None:
        async def refuse(exchange: Exchange) -> None:
            site.provider.context.current_tokens = OAuthToken(access_token=f"another{len(site.calls())}")
            await exchange.reply(401, b"")

        site = Site()
        async with site.signed_in("modern") as session:
            site.server.on["bad"] = refuse
            assert facts(await refused(session, "bad")).status == 401
            assert (len(site.calls()), site.windows) == (SENDINGS, 1)

    asyncio.run(main())


def test_the_stream_of_a_session_is_opened_with_a_new_token_where_the_old_one_is_refused() -> None:
    async def main() -> None:
        async def guard(exchange: Exchange) -> None:
            if exchange.verb == "GET" and exchange.headers["authorization"] == "Bearer t0":
                await exchange.reply(401, b"")
            else:
                await site.guard(exchange)

        site = Site()
        site.server.on["/mcp"] = guard
        site.server.session = True
        async with site.signed_in("legacy"):

            def streams() -> list[str]:
                asked = [each for each in site.server.seen if each.verb == "GET" and each.path == "/mcp"]
                return [each.headers["authorization"] for each in asked]

            await until(lambda: len(streams()) == 2)
            assert (streams(), site.windows) == (["Bearer t0", "Bearer t1"], 2)

    asyncio.run(main())


def test_nobody_signs_in_to_take_leave() -> None:
    async def main() -> None:
        site = Site()
        site.server.session = True
        async with site.signed_in("legacy") as session:
            await call(session, "echo")
            site.revoke()
        assert (site.server.methods()[-1], site.windows) == ("DELETE", 1)

    asyncio.run(main())


def test_a_password_in_the_url_does_not_stand_in_for_the_token() -> None:
    async def main() -> None:
        site = Site()
        async with site.signed_in("modern", lambda url: url.replace("//", "//joe:pw@")) as session:
            assert not (await call(session, "echo")).is_error
            asked = [each for each in site.server.seen if each.path == "/token"]
            assert [each.headers.get("authorization") for each in asked] == [None]

    asyncio.run(main())


def test_a_flow_of_ones_own_may_ask_an_authorization_server_between_its_answers() -> None:
    class Own(httpx2.Auth):
        async def async_auth_flow(self, request: httpx2.Request) -> Any:
            response = yield request
            while response.status_code == 401:
                token = yield httpx2.Request("POST", f"{site.root}/token", data={"grant_type": "code"})
                request.headers["Authorization"] = f"Bearer {token.json()['access_token']}"
                response = yield request

    async def main() -> None:
        async with site.server as server, open_session(transport(server.url, auth=Own()), "modern") as session:
            assert not (await call(session, "echo")).is_error

    site = Site()
    asyncio.run(main())
