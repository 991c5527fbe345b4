"""One address whose circuit is open: how it is found to be well again."""

import asyncio
from itertools import pairwise

import pytest

from recloser import Breaker, Bulkhead, CircuitOpen, RouterError, Server, Timeouts
from recloser.events import CircuitChanged
from recloser.testing.clock import run_virtual
from recloser.testing.faulty import FaultyHttp
from support.endpoints import ONCE, SHORT, open_circuit, peer
from support.peers import Refusal, Silence
from support.routers import hangs, now
from support.upstreams import watched


def states(seen):
    return [(event.state, event.reason) for event in seen.of(CircuitChanged)]


def test_a_call_that_an_open_circuit_rejects_takes_no_place_and_sends_nothing():
    async def main():
        made = peer()
        server = made.server(retry=ONCE, timeouts=SHORT, bulkhead=Bulkhead(limit=1), breaker=Breaker(consecutive=1))
        async with watched(server) as seen:
            made.on["broken"] = hangs
            await seen.endpoint.shared.ready()
            await seen.fail(1)
            before = made.methods.count("tools/call")
            errors = await asyncio.gather(*(seen.call("echo") for _ in range(20)), return_exceptions=True)
            assert all(isinstance(error, CircuitOpen) for error in errors)
            assert all(0 < error.payload.retry_after <= 5 for error in errors)
            assert made.methods.count("tools/call") == before
            assert seen.endpoint.load == 0
            await asyncio.sleep(6)
            assert (await seen.call("echo")).content[0].text == "echo"  # no rejection has used up the probe
            assert seen.circuit.state == "closed"

    run_virtual(main)


def test_a_server_that_was_gone_is_half_opened_as_soon_as_it_answers_again():
    async def main():
        made = peer()
        server = made.server(retry=ONCE, breaker=Breaker(consecutive=3, open_for=200, open_cap=200))
        async with watched(server) as seen:
            made.down = ConnectionRefusedError()
            await seen.fail(3, "echo")
            assert seen.circuit.state == "open"
            await asyncio.sleep(20)
            made.down = None
            await asyncio.sleep(31)
            assert seen.circuit.state == "half_open"
            assert states(seen) == [("open", "failures"), ("half_open", "reconnected")]
            assert (await seen.call("echo")).content[0].text == "echo"
            assert seen.circuit.state == "closed"

    run_virtual(main)


def test_a_modern_http_server_has_no_connection_to_lose_and_is_found_again_by_probes():
    async def main():
        async with FaultyHttp(era="modern") as faulty:
            server = Server("peer", faulty.url, retry=ONCE, breaker=Breaker(consecutive=2, open_for=200, open_cap=200))
            async with watched(server, jitter=0.0) as seen:
                await seen.call("echo", {"text": "hello"})
                await faulty.stop()
                for _ in range(2):
                    with pytest.raises(RouterError):
                        await seen.call("echo", {"text": "hello"})
                assert seen.circuit.state == "open"
                await faulty.start()
                while seen.circuit.state == "open":
                    await asyncio.sleep(0.01)
                assert states(seen)[-1] == ("half_open", "reconnected")
                assert (await seen.call("echo", {"text": "hello"})).content[0].text == "hello"

    asyncio.run(main())


def test_probes_of_a_server_that_is_gone_come_less_and_less_often():
    async def main():
        probes = []

        async def discovers(line, params):
            if seen.circuit.state == "open":
                probes.append(now())
                raise Refusal(-32603, "unwell")
            return line.peer.behave(line, "server/discover", params)

        made = peer(**{"server/discover": discovers})
        server = made.server(retry=ONCE, timeouts=SHORT, breaker=Breaker(open_for=300, open_cap=300))
        async with watched(server) as seen:
            await open_circuit(seen, made)
            await asyncio.sleep(200)
            gaps = [later - earlier for earlier, later in pairwise(probes)]
            assert gaps == [1, 2, 4, 8, 16, 30, 30, 30, 30, 30]

    run_virtual(main)


def test_a_server_that_answers_probes_while_its_calls_fail_waits_for_the_break_to_end():
    async def main():
        made = peer()
        async with watched(made.server(retry=ONCE, timeouts=SHORT)) as seen:
            await open_circuit(seen, made)
            await asyncio.sleep(4.9)
            assert seen.circuit.state == "open"
            await asyncio.sleep(0.2)
            await seen.fail(1)
            assert states(seen) == [("open", "failures"), ("half_open", "break_over"), ("open", "probe_failed")]
            await asyncio.sleep(9.9)
            with pytest.raises(CircuitOpen):
                await seen.call("echo")
            await asyncio.sleep(0.2)
            await seen.call("echo")
            assert seen.circuit.state == "closed"

    run_virtual(main)


def test_what_was_seen_in_one_break_does_not_end_the_next_one():
    async def main():
        made = peer(broken=hangs)
        gone = True

        async def discovers(line, params):
            if gone and seen.circuit.state == "open":
                raise Refusal(-32603, "unwell")
            return line.peer.behave(line, "server/discover", params)

        made.on["server/discover"] = discovers
        server = made.server(retry=ONCE, timeouts=Timeouts(attempt=0.1, total=0.1), breaker=Breaker(open_for=3))
        async with watched(server) as seen:
            await seen.endpoint.shared.ready()
            await seen.fail(5)
            await asyncio.sleep(2.95)  # two probes have failed, the third is to come two seconds later
            gone = False
            await asyncio.sleep(0.1)
            await seen.fail(1)  # half-open, and open again
            assert seen.circuit.state == "open"
            before = now()
            await asyncio.sleep(5.5)
            assert seen.circuit.state == "open", states(seen)
            assert seen.circuit.retry_after(now()) == pytest.approx(6 - (now() - before), abs=0.2)

    run_virtual(main)


def test_a_session_that_answers_no_probe_is_given_up_for_a_new_one():
    async def main():
        made = peer()

        async def discovers(line, params):
            if line.number == 1 and len(line.seen) > 3:
                raise Silence
            return line.peer.behave(line, "server/discover", params)

        made.on["server/discover"] = discovers
        async with watched(made.server(retry=ONCE, timeouts=SHORT, breaker=Breaker(open_for=100))) as seen:
            await open_circuit(seen, made)
            await asyncio.sleep(3)
            assert len(made.lines) == 2
            assert states(seen)[-1] == ("half_open", "reconnected")

    run_virtual(main)


def test_a_half_open_circuit_sends_a_sign_of_life_first_and_a_callers_request_only_after_it():
    async def main():
        made = peer()
        async with watched(made.server(retry=ONCE, timeouts=SHORT)) as seen:
            await open_circuit(seen, made)
            await asyncio.sleep(5.1)

            async def refuses(line, params):
                raise Refusal(-32603, "unwell")

            made.on["server/discover"] = refuses
            before = made.methods.count("tools/call")
            with pytest.raises(RouterError) as caught:
                await seen.call("echo")
            assert caught.value.payload.code == "server_fault"
            assert made.methods.count("tools/call") == before

    run_virtual(main)


def test_closing_while_the_server_is_looked_for_leaves_nothing():
    async def main():
        made = peer()
        for reach in (0, 1.5):
            async with watched(made.server(retry=ONCE, timeouts=SHORT)) as seen:
                made.on.pop("server/discover", None)
                await open_circuit(seen, made)
                made.on["server/discover"] = hangs
                await asyncio.sleep(reach)

    run_virtual(main)


def test_calls_that_are_cut_off_by_our_own_closing_open_no_circuit():
    async def main():
        made = peer(hangs=hangs)
        async with watched(made.server(retry=ONCE, breaker=Breaker(consecutive=1))) as seen:
            await seen.endpoint.shared.ready()
            call = asyncio.ensure_future(seen.call("hangs"))
            await asyncio.sleep(1)
            await seen.upstream.close()
            with pytest.raises(RouterError):
                await call
            assert seen.circuit.state == "closed"

    run_virtual(main)
