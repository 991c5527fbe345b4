"""From a URL to an open session, and to a new one where the server has lost it."""

import asyncio
import gc

import pytest
from connection_kit import call_of, run, watched

from recloser import RouterError, Server, Timeouts
from recloser.testing.clock import run_virtual
from recloser.testing.faulty import FaultyHttp
from support.peers import Peer


@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_a_url_is_spoken_to_over_streamable_http(era):
    async def main():
        async with FaultyHttp(era=era) as faulty, watched(Server("peer", faulty.url)) as seen:
            assert await seen.call(arguments={"text": "hello"}) == "hello"
            await seen.connection.probe()

    run(main)


def test_a_url_that_ends_in_sse_is_spoken_to_in_the_old_way():
    async def main():
        from support.http_faults import FaultServer

        async with FaultServer(sse=True) as old, watched(Server("peer", old.url, era="legacy")) as seen:
            assert await seen.call() == "ok"

    run(main)


def test_a_server_that_has_lost_our_session_gets_a_new_one_and_the_call_once_more():
    async def main():
        async with FaultyHttp(era="legacy") as faulty, watched(Server("peer", faulty.url)) as seen:
            assert await seen.call("write", arguments={"text": "one"}) == "one"
            faulty.forget_sessions()
            # `write` has no hints at all: it is sent again because it provably has not run.
            assert await seen.call("write", arguments={"text": "two"}) == "two"
            assert faulty.executed("write") == ["one", "two"]
            assert seen.connection.number == 2
            assert faulty.requests("initialize") == 2

    run(main)


def test_many_calls_that_meet_a_lost_session_share_one_new_one():
    async def main():
        async with FaultyHttp(era="legacy") as faulty, watched(Server("peer", faulty.url)) as seen:
            await seen.connection.ready()
            faulty.forget_sessions()
            texts = [f"t{number}" for number in range(10)]
            assert await asyncio.gather(*(seen.call("write", arguments={"text": text}) for text in texts)) == texts
            assert sorted(faulty.executed("write")) == sorted(texts)
            assert faulty.requests("initialize") == 2

    run(main)


def test_a_server_that_loses_each_new_session_too_is_not_asked_for_ever():
    async def main():
        async with FaultyHttp(era="legacy") as faulty, watched(Server("peer", faulty.url)) as seen:
            await seen.connection.ready()
            faulty.fault("session_lost")
            with pytest.raises(RouterError) as caught:
                await seen.call("write", arguments={"text": "one"})
            assert caught.value.payload.code == "connection_lost"
            assert caught.value.payload.delivered == "no"
            assert faulty.requests("tools/call") == 2
            assert faulty.executions("write") == 0

    run(main)


def test_another_error_of_a_lost_session_is_not_sent_again():
    async def main():
        async with FaultyHttp(era="legacy") as faulty, watched(Server("peer", faulty.url)) as seen:
            generation = await seen.connection.ready()
            faulty.fault("status_401", on="tools/call")
            call = asyncio.ensure_future(seen.connection.send(call_of("write", {"text": "one"})))
            await asyncio.sleep(0)
            generation._session_lost()
            with pytest.raises(RouterError) as caught:
                await call
            assert caught.value.payload.code == "unauthenticated"
            assert faulty.requests("tools/call") == 1

    run(main)


def test_calls_in_flight_on_a_lost_session_may_still_be_answered():
    async def main():
        async with FaultyHttp(era="legacy") as faulty, watched(Server("peer", faulty.url)) as seen:
            await seen.connection.ready()
            slow = asyncio.ensure_future(seen.connection.send(call_of("sleep", {"seconds": 0.2})))
            while not faulty.executions("sleep"):
                await asyncio.sleep(0.005)
            faulty.fault("session_lost", times=1)
            assert await seen.call("write", arguments={"text": "one"}) == "one"
            assert seen.connection.number == 2
            assert (await slow).content[0].text == "slept"

    run(main)


def test_a_session_that_is_lost_again_at_once_costs_a_back_off():
    async def main():
        peer = Peer()
        async with watched(peer.server()) as seen:
            generation = await seen.connection.ready()
            generation._session_lost()
            await seen.until("ready", 2)
            assert asyncio.get_running_loop().time() == 0
            generation = await seen.connection.ready()
            generation._session_lost()
            await seen.until("ready", 3)
            assert asyncio.get_running_loop().time() == pytest.approx(0.2)

    run_virtual(main)


def test_a_start_over_http_that_is_given_up_leaves_nothing():
    async def main():
        async with FaultyHttp() as faulty:
            faulty.fault("hang_list")
            server = Server("peer", faulty.url, timeouts=Timeouts(start=0.3))
            async with watched(server) as seen:
                with pytest.raises(RouterError) as caught:
                    await seen.connection.ready()
                assert caught.value.payload.code == "unreachable"
        gc.collect()

    run(main)
