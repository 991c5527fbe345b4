"""Refusals whose text does not come: the status and the headers have said what there is to say."""

from __future__ import annotations

import asyncio

import pytest
from http_kit import call, facts, refused, transport

from recloser import Router, Server, Timeouts, error_of
from recloser.facts import HttpFacts
from recloser.testing.clock import run_virtual
from support.http_faults import Exchange, Fault, FaultServer, open_session


def cut_short(status: int, **headers: str) -> Fault:
    """Return a refusal that announces more of a text than ever comes."""

    async def fault(exchange: Exchange) -> None:
        await exchange.reply(status, b"slow down", "text/plain", content_length="50", **headers)
        await exchange.hang()

    return fault


async def listed(exchange: Exchange) -> None:
    await exchange.result({"tools": [{"name": "bad", "inputSchema": {"type": "object"}}]})


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, "unauthenticated"),
        (403, "forbidden"),
        (404, "invalid_request"),
        (429, "overloaded"),
        (500, "server_fault"),
        (503, "server_error"),
    ],
)
def test_a_refusal_is_understood_though_its_text_does_not_come_within_the_attempt(status: int, code: str) -> None:
    async def main() -> None:
        fault = cut_short(status, retry_after="7")
        times = Timeouts(attempt=1.0, total=1.0)
        async with (
            FaultServer(on={"bad": fault, "tools/list": listed}) as server,
            Router(Server("s", server.url, era="legacy", timeouts=times)) as router,
        ):
            await router.ready("s")
            payload = error_of(await router.call_tool("s__bad", {}))
            assert payload is not None
            assert (payload.code, payload.retry_after, payload.attempts) == (code, 7.0, 1)

    run_virtual(main, grace=0.5)


@pytest.mark.parametrize(("status", "within"), [(401, 0.75), (403, 0.2), (404, 0.75), (429, 0.2)])
def test_the_text_is_waited_for_only_where_it_may_tell_of_a_lost_session(status: int, within: float) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with (
            FaultServer(on={"bad": cut_short(status)}, session=True) as server,
            open_session(transport(server.url), "legacy") as session,
        ):
            began = loop.time()
            kind = facts(await refused(session)).kind
            assert loop.time() - began == pytest.approx(within)
            assert kind == ("session_lost" if status == 404 else "status")
            assert (await call(session, "next")).content

    run_virtual(main, grace=0.5)


def test_without_a_session_the_text_of_a_401_can_tell_nothing() -> None:
    async def main() -> None:
        async with (
            FaultServer(on={"bad": cut_short(401, www_authenticate="Bearer")}) as server,
            open_session(transport(server.url), "legacy") as session,
        ):
            expected = HttpFacts(kind="status", sent=True, status=401, www_authenticate=True)
            assert facts(await refused(session)) == expected

    run_virtual(main, grace=0.5)
