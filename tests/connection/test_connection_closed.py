"""A connection that is closed: in any state, by anybody, whatever its owner does meanwhile."""

import asyncio
import logging

import pytest
from connection_kit import ERAS, Slow, Watched, broken, call_of, hangs, now, slow, slowly, watched

from recloser import RouterError
from recloser.connection import Callbacks, Connection
from recloser.testing.clock import run_virtual
from support.peers import Peer

# --- it is closed


async def idle(seen, peer):
    return None


async def connecting(seen, peer):
    peer.on["tools/list"] = hangs
    seen.connection.start()
    await asyncio.sleep(1)


async def just_started(seen, peer):
    seen.connection.start()


async def ready(seen, peer):
    await seen.connection.ready()


async def backing_off(seen, peer):
    broken(peer)
    seen.connection.start()
    await asyncio.sleep(40)


@pytest.mark.parametrize("reach", [idle, just_started, connecting, ready, backing_off])
def test_a_connection_can_be_closed_in_every_state_twice_and_by_several_at_once(reach):
    async def main():
        peer = Peer()
        async with watched(peer.server()) as seen:
            await reach(seen, peer)
            begun = now()
            await asyncio.gather(seen.connection.close(), seen.connection.close())
            assert now() == begun
            await seen.connection.close()
            assert seen.states.count("closed") == 1
            assert seen.connection.state == "closed"
            seen.connection.start()
            for wish in (seen.connection.ready, seen.connection.probe, seen.call):
                with pytest.raises(RouterError) as caught:
                    await wish()
                assert caught.value.payload.code == "unreachable"
                assert caught.value.payload.delivered == "no"
                assert not caught.value.evidence

    run_virtual(main)


def test_who_waits_when_it_is_closed_is_told_so():
    async def main():
        peer = Peer(on={"tools/list": hangs})
        async with watched(peer.server()) as seen:
            waiting = [asyncio.ensure_future(seen.connection.ready()) for _ in range(3)]
            await asyncio.sleep(1)
            await seen.connection.close()
            for error in await asyncio.gather(*waiting, return_exceptions=True):
                assert "is closed" in error.payload.message

    run_virtual(main)


@ERAS
def test_calls_in_flight_when_it_is_closed_are_cut_off_at_once(modern):
    async def main():
        peer = Peer(modern=modern, on={"slow": slow})
        async with watched(peer.server()) as seen:
            await seen.connection.ready()
            calls = [asyncio.ensure_future(seen.connection.send(call_of("slow"))) for _ in range(10)]
            await asyncio.sleep(1)
            await seen.connection.close()
            assert now() == 1
            for error in await asyncio.gather(*calls, return_exceptions=True):
                assert error.payload.code == "connection_lost"
                assert error.payload.delivered == "maybe"
                assert error.payload.server == "peer"

    run_virtual(main)


def test_what_a_caller_does_after_his_call_was_cut_off_does_not_hold_up_the_closing():
    async def main():
        peer = Peer(on={"slow": slow})
        seen = Watched(peer.server())
        await seen.connection.ready()

        async def stubborn():
            try:
                await seen.connection.send(call_of("slow"))
            except RouterError:
                await asyncio.sleep(3)

        call = asyncio.ensure_future(stubborn())
        await asyncio.sleep(1)
        await seen.connection.close()
        assert now() == 1
        await call

    run_virtual(main)


def test_an_owner_that_does_not_end_in_time_is_named_in_the_log(caplog):
    async def main():
        server, made = slowly(Peer(), 60)
        seen = Watched(server)
        await seen.connection.ready()
        await seen.connection.close()
        assert now() == 6
        await asyncio.sleep(60)
        assert made[0].closed

    run_virtual(main)
    assert "recloser:peer:1 did not end in time" in caplog.text


def test_a_generation_that_closes_slowly_is_waited_for_together_with_the_one_that_took_over():
    async def main():
        peer = Peer()
        server, made = slowly(peer, 2)
        seen = Watched(server)
        await seen.connection.ready()
        await asyncio.sleep(10)
        peer.line.end()
        await seen.until("ready", 2)
        await seen.connection.close()
        assert [one.closed for one in made] == [True, True]
        assert now() == 12

    run_virtual(main)


def test_an_error_while_closing_is_kept_and_ends_nothing_else():
    class Bad(Slow):
        async def __aexit__(self, *error):
            await super().__aexit__(*error)
            raise OSError("already closed")

    async def main():
        peer = Peer()
        server = peer.server()
        object.__setattr__(server, "target", lambda: Bad(peer, 0))
        async with watched(server) as seen:
            generation = await seen.connection.ready()
            seen.connection.renew()
            await seen.until("ready", 2)
            await asyncio.sleep(1)
            assert generation.error.payload.code == "internal"
            assert await seen.call() == "echo"

    run_virtual(main)


# --- when the loop ends, or we are at fault


def test_a_loop_that_ends_takes_everything_along_without_a_word(caplog):
    async def main():
        peer = Peer(on={"slow": slow})
        seen = Watched(peer.server())
        await seen.connection.ready()
        waiting = Watched(Peer(on={"tools/list": hangs}).server())
        tasks = [
            asyncio.ensure_future(seen.connection.send(call_of("slow"))),
            asyncio.ensure_future(waiting.connection.ready()),
        ]
        await asyncio.sleep(1)
        return tasks

    tasks = run_virtual(main)
    assert all(task.done() for task in tasks)
    assert caplog.text == ""


def test_a_fault_of_our_own_leaves_nobody_waiting_and_the_next_caller_begins_anew(caplog):
    async def main():
        peer = Peer()
        faulty = [True]

        def changed(state, error):
            if state == "ready" and faulty:
                faulty.clear()
                raise ZeroDivisionError("ours")

        connection = Connection(
            peer.server(), Callbacks(), on_change=changed, on_listing=lambda _: None, on_stderr=lambda _: None
        )
        with pytest.raises(RouterError) as caught:
            await connection.ready()
        assert caught.value.payload.code == "internal"
        assert (await connection.send(call_of())).content[0].text == "echo"
        await asyncio.sleep(1)
        assert len(asyncio.all_tasks()) < 12
        await connection.close()

    with caplog.at_level(logging.ERROR):
        run_virtual(main)
    assert "server peer: its supervisor failed" in caplog.text


def test_a_listing_that_nobody_can_use_fails_the_start_and_is_told():
    async def main():
        def listed(listing):
            raise ZeroDivisionError("ours")

        connection = Connection(
            Peer().server(), Callbacks(), on_change=lambda *_: None, on_listing=listed, on_stderr=lambda _: None
        )
        with pytest.raises(RouterError) as caught:
            await connection.ready()
        assert caught.value.payload.code == "internal"
        await connection.close()

    run_virtual(main)


def test_an_owner_that_ends_in_an_unforeseen_way_is_logged_and_replaced(caplog):
    class Odd(BaseException):
        """Neither an error nor a cancellation."""

    async def main():
        peer = Peer()
        line = [True]

        class Rude(Slow):
            async def __aexit__(self, *error):
                await super().__aexit__(*error)
                if line:
                    line.clear()
                    raise Odd

        server = peer.server()
        object.__setattr__(server, "target", lambda: Rude(peer, 0))
        async with watched(server) as seen:
            await seen.connection.ready()
            await asyncio.sleep(10)
            seen.connection.renew()
            await seen.until("ready", 2)
            await asyncio.sleep(1)
            assert await seen.call() == "echo"

    run_virtual(main)
    assert "server peer: generation 1 ended in Odd" in caplog.text
