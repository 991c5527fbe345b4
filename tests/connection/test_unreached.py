"""Calls over HTTP for which no connection came about in time: told as never sent, and never sent afterwards."""

import asyncio

import httpx2
import pytest
from connection_kit import call_of, watched

from recloser import Router, Server, Timeouts, error_of
from recloser.call import Trail
from recloser.connection.passing import _leaving
from recloser.testing.clock import run_virtual
from recloser.transport.asked import LEAVE, Leaving
from support.http_faults import FaultServer
from support.names import resolving
from support.peers import tool

REAL = 0.05


class Listing(FaultServer):
    """Has a tool."""

    async def _result(self, exchange):
        result = await super()._result(exchange)
        return {**result, "tools": [tool("echo")]} if exchange.method == "tools/list" else result


class Closing(Listing):
    """Closes each connection after an answer, so that every request needs a new one."""

    async def behave(self, exchange):
        await super().behave(exchange)
        exchange.close()


@pytest.mark.parametrize("kind", ["modern", "legacy", "sse"])
def test_a_call_whose_attempt_ends_before_there_is_a_connection_is_unreachable_and_not_delivered(kind, monkeypatch):
    async def main():
        async with Closing(sse=kind == "sse") as server:
            peer = Server(
                "peer",
                server.url.replace("127.0.0.1", "sick.test"),
                era="modern" if kind == "modern" else "legacy",
                allow_plaintext=True,
                timeouts=Timeouts(total=2, attempt=1, connect=5),
            )
            async with Router(peer) as router:
                assert error_of(await router.call_tool("peer__echo")) is None
                before = server.methods()
                names.sick = True
                failed = error_of(await router.call_tool("peer__echo"))
                assert (failed.code, failed.delivered) == ("unreachable", "no")
                names.sick = False
                names.let.set()
                await asyncio.sleep(1)
                assert server.methods() == before

    with resolving(monkeypatch) as names:
        names.sick = False
        run_virtual(main, grace=REAL)


class SigningIn(httpx2.Auth):
    """Asks a person, who never answers, once a request is refused."""

    def __init__(self):
        self.asked = 0

    async def async_auth_flow(self, request):
        response = yield request
        if response.status_code == 401:
            self.asked += 1
            await asyncio.Event().wait()


@pytest.mark.parametrize("kind", ["modern", "legacy", "sse"])
def test_a_call_that_was_refused_and_waits_for_a_sign_in_is_unreachable_and_not_delivered(kind):
    async def refuse(exchange):
        await exchange.reply(401, b"")

    async def main():
        async with Listing(sse=kind == "sse") as server:
            auth = SigningIn()
            peer = Server(
                "peer",
                server.url,
                era="modern" if kind == "modern" else "legacy",
                auth=auth,
                timeouts=Timeouts(total=1, attempt=1),
            )
            async with Router(peer) as router:
                assert error_of(await router.call_tool("peer__echo")) is None
                server.on["tools/call"] = refuse
                failed = error_of(await router.call_tool("peer__echo"))
                assert (failed.code, failed.delivered, auth.asked) == ("unreachable", "no", 1)

    run_virtual(main, grace=REAL)


def test_a_refusal_that_comes_too_late_says_nothing_of_the_next_attempt():
    async def main():
        async def attempt(begun):
            trail.begun = begun
            leaving = _leaving(trail)
            assert leaving.may()
            leaving.back()
            sent.append(trail.sent)
            return leaving

        trail, sent = Trail(), []
        for begun in (False, True):
            leaving = await asyncio.create_task(attempt(begun))
        assert sent == [False, True]
        trail.begun = False
        leaving.back()
        assert trail.sent

    asyncio.run(main())


def test_a_request_of_an_attempt_that_was_given_up_may_not_leave_any_more():
    async def main():
        async def attempt():
            leaves.append(_leaving(trail))
            await asyncio.Event().wait()

        leaves, trail = [], Trail()
        task = asyncio.create_task(attempt())
        await asyncio.sleep(0)
        assert leaves[0].may()
        assert trail.sent
        trail.sent = False
        task.cancel()
        assert not leaves[0].may()  # cancelled, and not yet at an end
        await asyncio.wait({task})
        assert not leaves[0].may()
        assert not trail.sent

    asyncio.run(main())


def test_a_request_in_the_context_of_another_is_not_asked_for_that_ones_leave():
    async def main():
        refuses = LEAVE.set(Leaving(lambda: False, lambda: None))
        async with (
            FaultServer() as server,
            watched(Server("peer", server.url, era="legacy")) as seen,
        ):
            await seen.connection.ready()
            assert await seen.call() == "ok"
            call = call_of()
            await seen.connection.send(call)
            assert call.trail.sent
        LEAVE.reset(refuses)

    asyncio.run(main())
