"""One named server: whether it may be called, what it is told to be, and how it goes."""

import asyncio

import pytest

from recloser import Breaker, Bulkhead, CircuitOpen, Retry, RouterError, Timeouts
from recloser.events import RetryScheduled
from recloser.testing.clock import run_virtual
from support.peers import MODERN, Peer, Silence, said, tool
from support.upstreams import call_of, watched

ONCE = Retry(attempts=1)
SHORT = Timeouts(attempt=2, total=4)


def now():
    return asyncio.get_running_loop().time()


async def hangs(line, params):
    raise Silence


async def dies(line, params):
    line.end()
    raise Silence


async def slow(line, params):
    await asyncio.sleep(5)
    return said("slow")


def test_a_server_that_comes_up_says_what_it_has_and_that_it_may_be_called():
    async def main():
        async with watched(Peer().server()) as seen:
            assert seen.upstream.health().state == "idle"
            assert seen.upstream.health().available
            seen.upstream.start()
            await seen.upstream.settled()
            assert seen.available == []  # as it was taken to be
            assert [one.name for one in seen.listings[0].tools] == ["echo"]

    run_virtual(main)


def test_a_server_that_does_not_come_up_says_why_once_and_when_it_does():
    async def main():
        made = Peer()
        made.down = ConnectionRefusedError()
        async with watched(made.server()) as seen:
            seen.upstream.start()
            await seen.upstream.settled()
            assert seen.available == [(False, "unreachable")]
            await asyncio.sleep(20)
            assert seen.available == [(False, "unreachable")]
            made.down = FileNotFoundError()
            await asyncio.sleep(40)
            assert seen.available == [(False, "unreachable"), (False, "cannot_start")]
            assert not seen.upstream.health().available
            made.down = None
            await seen.upstream.ready()
            assert seen.available[-1] == (True, None)

    run_virtual(main)


def test_a_respawn_of_a_moment_does_not_flicker():
    async def main():
        made = Peer()
        async with watched(made.server()) as seen:
            await seen.upstream.ready()
            await asyncio.sleep(10)
            made.line.end()
            await asyncio.sleep(1)
            assert len(made.lines) == 2
            assert seen.available == []

    run_virtual(main)


def test_an_open_circuit_makes_a_server_unavailable_until_it_is_half_open():
    async def main():
        made = Peer(on={"hangs": hangs})
        async with watched(made.server(retry=ONCE, timeouts=SHORT)) as seen:
            await seen.upstream.ready()
            await seen.fail(5, "hangs")
            assert seen.available == [(False, "circuit_open")]
            with pytest.raises(CircuitOpen) as caught:
                await seen.call("echo")
            assert caught.value.payload.server == "peer"
            await asyncio.sleep(6)
            await seen.call("echo")
            assert seen.available == [(False, "circuit_open"), (True, None)]
            seen.circuit.isolate()
            assert seen.available[-1] == (False, "circuit_open")

    run_virtual(main)


def test_calls_are_tried_again_where_that_is_safe_within_one_deadline():
    async def main():
        made = Peer()

        async def dies_once(line, params):
            if line.number == 1:
                line.end()
                raise Silence
            return said("done")

        made.on["dies_once"] = dies_once
        async with watched(made.server()) as seen:
            result = await seen.call("dies_once", safe=True)
            assert result.content[0].text == "done"
            assert len(seen.of(RetryScheduled)) == 1

    run_virtual(main)


def test_the_health_of_a_server_is_told_without_asking_it():
    async def main():
        made = Peer()
        made.tools.append(tool("two"))
        async with watched(made.server(required=True)) as seen:
            await seen.upstream.ready()
            before = len(made.methods)
            await asyncio.sleep(9)
            health = seen.upstream.health()
            assert len(made.methods) == before
            assert (health.name, health.kind, health.state, health.since) == ("peer", "transport", "ready", 9)
            assert (health.protocol_version, health.tools, health.resources, health.prompts) == (MODERN, 2, 0, 0)
            assert (health.required, health.retry_tokens, health.error, health.stderr) == (True, 500, None, None)
            assert health.to_dict()["endpoints"][0]["circuit"]["state"] == "closed"

    run_virtual(main)


# --- it goes


def test_a_server_that_goes_lets_its_last_calls_end():
    async def main():
        made = Peer(on={"slow": slow})
        async with watched(made.server()) as seen:
            await seen.upstream.ready()
            calls = [asyncio.ensure_future(seen.call("slow")) for _ in range(3)]
            await asyncio.sleep(1)
            await seen.upstream.close(drain=True)
            assert now() == 5
            assert [(await call).content[0].text for call in calls] == ["slow"] * 3

    run_virtual(main)


def test_a_server_that_goes_lets_a_call_have_all_its_time():
    async def main():
        made = Peer(on={"hangs": hangs})
        async with watched(made.server(timeouts=Timeouts(attempt=5, total=5, ceiling=10))) as seen:
            await seen.upstream.ready()
            call = asyncio.ensure_future(seen.call("hangs", safe=True, timeout=8))
            await asyncio.sleep(1)
            await seen.upstream.close(drain=True)
            assert now() == 8
            with pytest.raises(RouterError) as caught:
                await call
            assert caught.value.payload.code == "timeout"
            assert seen.available[-1][0] is False

    run_virtual(main)


def test_calls_that_wait_for_their_turn_or_to_try_again_end_with_their_server():
    async def main():
        made = Peer(on={"hangs": hangs, "dies": dies})
        retry = Retry(backoff=20)
        async with watched(made.server(retry=retry, bulkhead=Bulkhead(limit=1))) as seen:
            await seen.upstream.ready()
            again = asyncio.ensure_future(seen.call("dies", safe=True))
            await asyncio.sleep(0.1)
            calls = [again, *(asyncio.ensure_future(seen.call("hangs", safe=True)) for _ in range(3))]
            await asyncio.sleep(1)
            assert len(seen.of(RetryScheduled)) == 1
            await seen.upstream.close()
            assert all(call.done() for call in calls)
            codes = [(call.exception().payload.code, call.exception().payload.delivered) for call in calls]
            assert codes[0] == ("connection_lost", "maybe")
            assert codes[2:] == [("connection_lost", "no")] * 2

    run_virtual(main)


def test_a_caller_that_gives_up_while_its_server_is_closed_is_told_nothing():
    async def main():
        async with watched(Peer(on={"hangs": hangs}).server(bulkhead=Bulkhead(limit=1))) as seen:
            await seen.upstream.ready()
            calls = [asyncio.ensure_future(seen.call("hangs")) for _ in range(2)]
            await asyncio.sleep(1)
            closing = asyncio.ensure_future(seen.upstream.close())
            while not calls[0].done():
                await asyncio.sleep(0)
            calls[1].cancel()
            await closing
            assert calls[1].cancelled()

    run_virtual(main)


def test_a_call_that_closes_its_own_server_does_not_wait_for_itself():
    async def main():
        async def closes(call, call_next):
            await seen.upstream.close()
            return await call_next(call)

        async with watched(Peer().server(chaos=[closes], retry=ONCE)) as seen:
            await seen.upstream.ready()
            with pytest.raises(RouterError):
                await seen.call()

    run_virtual(main)


def test_a_server_without_calls_goes_at_once():
    async def main():
        async with watched(Peer().server()) as seen:
            await seen.upstream.ready()
            await seen.upstream.close(drain=True)
            assert now() == 0
            assert seen.available == [(False, "unreachable")]
            assert seen.upstream.health().state == "closed"

    run_virtual(main)


def test_a_server_of_which_all_endpoints_are_open_rejects_with_the_shortest_wait():
    async def main():
        made = Peer(on={"hangs": hangs})
        server = made.server(retry=ONCE, timeouts=SHORT, breaker=Breaker(consecutive=1, open_for=8))
        async with watched(server) as seen:
            await seen.upstream.ready()
            await seen.fail(1, "hangs")
            call = call_of("echo")
            with pytest.raises(CircuitOpen) as caught:
                await seen.upstream.send(call)
            assert caught.value.payload.retry_after == 8
            assert call.trail.endpoint is None

    run_virtual(main)
