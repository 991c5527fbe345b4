"""An open circuit: what it says, for how long it is open, and what operators can do."""

import asyncio

import pytest
from breaker_kit import run, succeed
from policy_kit import now

from recloser.errors import CircuitOpen

# -- while it is open ----------------------------------------------------------------------------------------------


def test_an_open_circuit_sends_nothing_and_says_who_since_when_and_until_when():
    async def main(bench):
        await bench.calls("f")
        await asyncio.sleep(1.5)
        return await bench.call(succeed), now()

    error, at = run(main, consecutive=1, open_for=5)
    assert isinstance(error, CircuitOpen)
    assert at == 1.5
    assert error.evidence is False
    payload = error.payload
    assert (payload.type, payload.code, payload.server, payload.delivered) == (
        "transient",
        "circuit_open",
        "search",
        "no",
    )
    assert (payload.retryable, payload.retry_after, payload.next_action) == (True, 1.0, "retry_later")
    assert payload.message == "server 'search' keeps failing: its circuit opened 2 s ago; try again in 1.0 s"


def test_since_when_is_the_beginning_of_the_outage_not_of_the_last_break():
    async def main(bench):
        await bench.calls("f")
        await asyncio.sleep(10)
        await bench.calls("f")
        await asyncio.sleep(2)
        return (await bench.call(succeed)).payload.message, bench.circuit.snapshot().since

    message, since = run(main, consecutive=1, open_for=5)
    assert message == "server 'search' keeps failing: its circuit opened 12 s ago; try again in 3.0 s"
    assert since == 10.0


def test_rejections_of_a_tenth_of_a_second_share_a_payload_but_no_error():
    async def main(bench):
        await bench.calls("f")
        first, second = await bench.call(succeed), await bench.call(succeed)
        await asyncio.sleep(0.099)
        third = await bench.call(succeed)
        await asyncio.sleep(0.001)
        return first, second, third, await bench.call(succeed)

    first, second, third, fourth = run(main, consecutive=1)
    assert first.payload is second.payload is third.payload
    assert len({id(error) for error in (first, second, third)}) == 3
    assert fourth.payload is not first.payload
    assert fourth.payload.retry_after == pytest.approx(2.4)


def test_a_rejection_never_speaks_of_the_state_before():
    async def main(bench):
        await bench.calls("f")
        first = await bench.call(succeed)
        bench.circuit.isolate()
        return first.payload.message, (await bench.call(succeed)).payload.message

    first, second = run(main, consecutive=1)
    assert "keeps failing: its circuit opened 0 s ago" in first
    assert "isolated by an operator 0 s ago" in second


@pytest.mark.parametrize(("rng", "break_"), [(0.0, 2.5), (0.5, 3.75), (1.0, 5.0)])
def test_a_break_is_at_least_half_and_jittered(rng, break_):
    async def main(bench):
        await bench.calls("f")
        moment = now()
        just_before = bench.circuit.would_admit(moment + break_ - 0.001)
        return bench.circuit.retry_after(moment), just_before, bench.circuit.would_admit(moment + break_)

    assert run(main, consecutive=1, open_for=5, rng=lambda: rng) == (break_, False, True)


def test_breaks_double_up_to_their_cap_and_begin_anew_after_a_close():
    async def main(bench):
        lasted = []
        for _ in range(6):
            await bench.calls("f")
            lasted.append(bench.circuit.retry_after(now()))
            await asyncio.sleep(lasted[-1])
        await bench.calls("s")
        await bench.calls("f")
        return lasted, bench.circuit.retry_after(now()), bench.circuit.snapshot().open_count

    lasted, again, count = run(main, consecutive=1, open_for=5, open_cap=30, rng=lambda: 1.0)
    assert lasted == [5, 10, 20, 30, 30, 30]
    assert again == 5
    assert count == 7


def test_an_outage_of_many_breaks_overflows_nothing():
    async def main(bench):
        await bench.calls("f")
        for _ in range(1200):
            bench.circuit.half_open()
            await bench.calls("f")
        return bench.circuit.retry_after(now())

    assert run(main, consecutive=1, open_for=5, open_cap=300, rng=lambda: 1.0) == 300


def test_looking_changes_nothing():
    async def main(bench):
        await bench.calls("f")
        await asyncio.sleep(100)
        for _ in range(5):
            assert bench.circuit.would_admit(now())
            assert bench.circuit.retry_after(now()) == 0
        return bench.circuit.state, len(bench.events)

    assert run(main, consecutive=1) == ("open", 1)


# -- operators -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("enabled", [True, False])
def test_an_isolated_circuit_stays_so_until_it_is_closed(enabled):
    async def main(bench):
        await asyncio.sleep(3)
        bench.circuit.isolate()
        bench.circuit.isolate()
        await asyncio.sleep(1_000)
        error = await bench.call(succeed)
        looked = bench.circuit.would_admit(now()), bench.circuit.retry_after(now()), repr(bench.circuit)
        bench.circuit.close()
        bench.circuit.close()
        return error.payload, looked, await bench.call(succeed), bench.transitions()

    payload, looked, result, transitions = run(main, enabled=enabled)
    assert looked == (False, None, "CircuitBreaker('search#1', isolated)")
    assert result == "yes"
    assert payload.message == ("server 'search' was isolated by an operator 1000 s ago; use another tool, or ask them")
    assert (payload.retry_after, payload.next_action, payload.delivered) == (None, "ask_operator", "no")
    assert transitions == [("closed", "isolated", "operator"), ("isolated", "closed", "operator")]


def test_an_operator_may_close_an_open_circuit_and_nothing_is_held_against_it():
    async def main(bench):
        await bench.calls("fffff")
        bench.circuit.close()
        snapshot = bench.circuit.snapshot()
        return snapshot, await bench.calls("ffff"), bench.transitions()[-1]

    snapshot, state, last = run(main)
    assert (snapshot.state, snapshot.samples, snapshot.failures, snapshot.consecutive) == ("closed", 0, 0, 0)
    assert state == "closed"
    assert last == ("open", "closed", "operator")


def test_after_isolation_a_circuit_that_was_open_works_as_new():
    async def main(bench):
        await bench.calls("f")
        bench.circuit.isolate()
        bench.circuit.close()
        await bench.calls("f")
        return bench.circuit.retry_after(now()), bench.transitions()[-1]

    assert run(main, consecutive=1, open_for=5) == (2.5, ("closed", "open", "failures"))
