"""A connection that goes: how soon it comes back, and what becomes of calls meanwhile."""

import asyncio
from itertools import pairwise

import pytest
from connection_kit import ERAS, broken, call_of, now, slow, watched

from recloser import RouterError
from recloser.testing.clock import run_virtual
from support.peers import Peer, Silence


async def dies(line, params):
    line.end()
    raise Silence


@ERAS
def test_a_server_that_dies_is_connected_to_again(modern):
    async def main():
        peer = Peer(modern=modern)
        async with watched(peer.server()) as seen:
            await seen.connection.ready()
            await asyncio.sleep(10)
            peer.line.end()
            await seen.until("ready", 2)
            assert now() == 10  # it had lived long enough: no back-off
            assert seen.codes == [None, None, "connection_lost", None, None]
            assert await seen.call() == "echo"

    run_virtual(main)


def test_calls_in_flight_of_a_server_that_dies_are_lost_and_may_have_run():
    async def main():
        peer = Peer(on={"slow": slow, "dies": dies})
        async with watched(peer.server()) as seen:
            await seen.connection.ready()
            other = asyncio.ensure_future(seen.connection.send(call_of("slow")))
            await asyncio.sleep(1)
            with pytest.raises(RouterError) as mine:
                await seen.call("dies")
            with pytest.raises(RouterError) as others:
                await other
            for caught in (mine, others):
                assert caught.value.payload.code == "connection_lost"
                assert caught.value.payload.delivered == "maybe"

    run_virtual(main)


def crash_times(peer, seconds, **options):
    """When a server is connected to that cannot be reached."""
    times = []

    async def main():
        async with watched(peer.server(), **options) as seen:
            seen.connection.start()
            before = 0
            while now() < seconds:
                await asyncio.sleep(0.01)
                if seen.connection.number > before:
                    before = seen.connection.number
                    times.append(now())

    run_virtual(main)
    return times


@pytest.mark.parametrize(("jitter", "share"), [(1.0, 1.0), (0.0, 0.5)])
def test_tries_to_connect_come_less_and_less_often_up_to_a_cap(jitter, share):
    times = crash_times(broken(Peer()), 200, jitter=jitter)
    gaps = [later - earlier for earlier, later in pairwise(times)]
    expected = [share * min(30, 0.1 * 2**number) for number in range(len(gaps))]
    assert gaps == pytest.approx(expected, abs=0.03)
    assert len(gaps) > 8


def test_a_server_that_crashes_soon_after_each_start_is_started_less_and_less_often():
    async def main():
        peer = Peer()
        async with watched(peer.server()) as seen:
            seen.connection.start()
            for number in range(1, 9):
                await seen.until("ready", number)
                peer.line.end()
            await seen.until("ready", 9)
            assert now() == pytest.approx(0.1 * (2**8 - 1))

    run_virtual(main)


def test_a_server_that_has_lived_for_a_while_begins_its_back_off_anew():
    async def main():
        peer = Peer()
        async with watched(peer.server()) as seen:
            seen.connection.start()
            for number in range(1, 6):
                await seen.until("ready", number)
                peer.line.end()
            await seen.until("ready", 6)
            await asyncio.sleep(5)
            peer.line.end()
            before = now()
            await seen.until("ready", 7)
            assert now() == before
            peer.line.end()
            await seen.until("ready", 8)
            assert now() == pytest.approx(before + 0.1)

    run_virtual(main)


def test_a_call_ends_the_wait_for_the_next_try():
    async def main():
        peer = broken(Peer())
        async with watched(peer.server()) as seen:
            seen.connection.start()
            await asyncio.sleep(40)
            tries = seen.connection.number
            peer.down = None
            assert await seen.call() == "echo"
            assert (now(), seen.connection.number) == (40, tries + 1)

    run_virtual(main)


def test_a_call_that_finds_its_server_gone_before_anybody_else_does_not_wait_for_the_back_off():
    async def main():
        peer = Peer()
        async with watched(peer.server()) as seen:
            seen.connection.start()
            for number in range(1, 8):
                await seen.until("ready", number)
                peer.line.end()
            await seen.until("ready", 8)
            before = now()
            generation = seen.connection._current
            peer.line.end()
            while not generation._opened.gone:
                await asyncio.sleep(0)
            assert seen.connection.state == "ready"  # nobody has noticed yet
            assert await seen.call() == "echo"
            assert now() == before

    run_virtual(main)


def test_a_call_that_was_answered_while_waiting_does_not_end_a_later_wait():
    async def main():
        async with watched(broken(Peer()).server()) as seen:
            for _ in range(3):
                with pytest.raises(RouterError):
                    await seen.connection.ready()
            assert (now(), seen.connection.number) == (0, 3)
            await asyncio.sleep(0.39)
            assert seen.connection.number == 3
            await asyncio.sleep(0.02)
            assert seen.connection.number == 4

    run_virtual(main)


def test_a_connection_that_ends_between_being_chosen_and_being_used_has_sent_nothing():
    async def main():
        peer = Peer()
        async with watched(peer.server()) as seen:
            generation = await seen.connection.ready()
            generation.retire()
            with pytest.raises(RouterError) as caught:
                await generation.send(call_of())
            assert caught.value.payload.code == "connection_lost"
            assert caught.value.payload.delivered == "no"
            with pytest.raises(RouterError):
                await generation.probe()

    run_virtual(main)


def test_a_generation_that_is_gone_as_soon_as_it_is_ready_leaves_nobody_waiting():
    async def main():
        peer = Peer()

        async def last_words(line, params):
            asyncio.get_running_loop().call_soon(line.end)
            return {"tools": peer.tools}

        peer.on["tools/list"] = last_words
        async with watched(peer.server()) as seen:
            outcome = await asyncio.gather(seen.call(), return_exceptions=True)
            assert isinstance(outcome[0], RouterError)
            assert outcome[0].payload.delivered == "no"
            del peer.on["tools/list"]
            assert await seen.call() == "echo"

    run_virtual(main)


def test_a_connection_is_given_up_on_request_and_the_next_one_takes_over():
    async def main():
        peer = Peer(on={"slow": slow})
        async with watched(peer.server()) as seen:
            seen.connection.renew()  # there is none
            await seen.connection.ready()
            call = asyncio.ensure_future(seen.connection.send(call_of("slow")))
            await asyncio.sleep(1)
            seen.connection.renew()
            with pytest.raises(RouterError) as caught:
                await call
            assert caught.value.payload.code == "connection_lost"
            assert caught.value.payload.delivered == "maybe"
            assert await seen.call() == "echo"
            assert len(peer.lines) == 2

    run_virtual(main)
