"""A connection that is kept up: how it comes, and its signs of life."""

import asyncio

import pytest
from connection_kit import ERAS, Watched, broken, hangs, now, slowly, watched

from recloser import RouterError, Timeouts
from recloser.testing.clock import run_virtual
from support.peers import Peer, Refusal

# --- it comes


def test_nothing_happens_before_somebody_needs_it():
    async def main():
        peer = Peer()
        async with watched(peer.server()) as seen:
            await asyncio.sleep(10)
            assert (seen.states, peer.lines, seen.connection.state) == ([], [], "idle")
            assert await seen.call() == "echo"
            assert seen.states == ["connecting", "ready"]

    run_virtual(main)


def test_a_connection_that_is_started_connects_by_itself_and_once():
    async def main():
        peer = Peer()
        async with watched(peer.server()) as seen:
            seen.connection.start()
            seen.connection.start()
            await seen.until("ready")
            assert len(peer.lines) == 1
            assert seen.connection.error is None

    run_virtual(main)


def test_many_callers_who_come_at_once_share_one_try():
    async def main():
        peer = Peer()
        async with watched(peer.server()) as seen:
            assert await asyncio.gather(*(seen.call() for _ in range(50))) == ["echo"] * 50
            assert len(peer.lines) == 1

    run_virtual(main)


def test_everyone_who_waited_for_a_try_that_failed_gets_an_error_of_his_own():
    async def main():
        async with watched(broken(Peer()).server()) as seen:
            errors = await asyncio.gather(*(seen.connection.ready() for _ in range(20)), return_exceptions=True)
            assert {error.payload.code for error in errors} == {"unreachable"}
            assert len({id(error) for error in errors}) == 20
            assert all(error.__cause__ is seen.connection.error for error in errors)
            assert seen.states == ["connecting", "failed"]

    run_virtual(main)


def test_a_waiter_who_leaves_takes_nothing_from_the_others():
    async def main():
        peer = Peer(on={"tools/list": slow_list})
        async with watched(peer.server()) as seen:
            waiting = [asyncio.ensure_future(seen.connection.ready()) for _ in range(3)]
            await asyncio.sleep(1)
            waiting[1].cancel()
            first, second, third = await asyncio.gather(*waiting, return_exceptions=True)
            assert first is third
            assert isinstance(second, asyncio.CancelledError)

    run_virtual(main)


async def slow_list(line, params):
    await asyncio.sleep(5)
    return {"tools": line.peer.tools}


def test_a_start_that_takes_too_long_is_given_up_and_all_who_wait_are_told_at_once():
    async def main():
        peer = Peer(on={"initialize": hangs})
        async with watched(peer.server(era="legacy", timeouts=Timeouts(start=7))) as seen:
            with pytest.raises(RouterError) as caught:
                await seen.connection.ready()
            assert now() == 7
            assert caught.value.payload.code == "unreachable"
            assert "timeouts.start" in caught.value.payload.message
            assert caught.value.payload.server == "peer"
            del peer.on["initialize"]
            await seen.connection.ready()

    run_virtual(main)


def test_whoever_waits_for_a_start_that_failed_does_not_wait_for_the_closing():
    async def main():
        peer = Peer(on={"tools/list": refuses_once})
        server, made = slowly(peer, 3)
        async with watched(server) as seen:
            with pytest.raises(RouterError):
                await seen.connection.ready()
            assert now() == 0
            await seen.connection.ready()
            assert now() < 3  # the next one connects while the last one closes
            assert not made[0].closed

    run_virtual(main)


async def refuses_once(line, params):
    if line.number == 1:
        raise Refusal(-32603, "not yet")
    return {"tools": line.peer.tools}


def test_an_owner_that_closes_is_not_cancelled_by_the_alarm_of_its_start():
    async def main():
        async def late(line, params):
            await asyncio.sleep(6.5)
            raise Refusal(-32603, "no")

        server, made = slowly(Peer(on={"tools/list": late}), 2)
        async with watched(server) as seen:
            with pytest.raises(RouterError) as caught:
                await seen.connection.ready()
            assert caught.value.payload.code == "server_fault"
            await asyncio.sleep(4)
            assert (made[0].disturbed, made[0].closed) == (0, True)

    run_virtual(main)


@pytest.mark.parametrize("wait", [0, 1, 100])
def test_an_owner_is_never_cancelled_while_it_closes(wait):
    async def main():
        server, made = slowly(Peer(), 2)
        seen = Watched(server)
        await seen.connection.ready()
        await asyncio.sleep(wait)
        await asyncio.gather(seen.connection.close(), seen.connection.close())
        assert (made[0].disturbed, made[0].closed) == (0, True)
        assert seen.states == ["connecting", "ready", "closed"]

    run_virtual(main)


# --- signs of life


@ERAS
def test_a_probe_asks_at_protocol_level_and_runs_no_tool(modern):
    async def main():
        peer = Peer(modern=modern)
        async with watched(peer.server()) as seen:
            await seen.connection.probe()
            before = len(peer.methods)
            await seen.connection.probe()
            assert peer.methods[before:] == ["server/discover" if modern else "ping"]

    run_virtual(main)


@ERAS
def test_a_probe_that_is_refused_says_so(modern):
    async def main():
        peer = Peer(modern=modern)
        async with watched(peer.server()) as seen:
            await seen.connection.ready()

            async def refuses(line, params):
                raise Refusal(-32603, "unwell")

            peer.on["server/discover"] = peer.on["ping"] = refuses
            with pytest.raises(RouterError) as caught:
                await seen.connection.probe()
            assert caught.value.payload.code == "server_fault"

    run_virtual(main)
