"""All policies at once: in storms, in outages, and under cancellations at any moment."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from policy_kit import QUICK, answers, fails, failure, hangs, now, run

from recloser.errors import RouterError
from recloser.events import RetryScheduled
from recloser.options import Breaker, Bulkhead, Retry, Timeouts

# -- cancel x everything -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", [0.0, 0.5, 1.0, 1.5, 3.5, 5.0, 7.0, 9.5])
def test_a_cancellation_at_any_moment_goes_out_at_that_moment(moment):
    async def main(rig):
        task = asyncio.create_task(rig.call(safe=True))
        await asyncio.sleep(moment)
        before = rig.circuit.snapshot(), rig.budget.tokens, len(rig.events)
        task.cancel("by the caller")
        with pytest.raises(asyncio.CancelledError):
            await task
        assert now() == moment
        assert task.cancelled()
        assert rig.bulkhead.in_flight == 0
        # A retry that was still to come costs nothing; of the others, nothing changes.
        due = 14 if moment == 1.5 else 0
        return before == (rig.circuit.snapshot(), rig.budget.tokens - due, len(rig.events))

    steps = fails("server_error", after=1, retry_after=1.0), hangs(), answers(after=10)
    assert run(main, *steps, timeouts=Timeouts(attempt=5), rng=lambda: 0.0)


KINDS = [
    "answer",
    "slow",
    "hang",
    "unsent",
    "timeout",
    "server_error",
    "overloaded",
    "invalid_request",
    "bug",
    "stubborn",
]


async def stubborn(call):
    call.trail.sent = True
    for _ in range(3):
        try:
            await asyncio.sleep(40)
        except asyncio.CancelledError:
            continue


async def bug(call):
    raise LookupError("a bug")


STEPS = {
    "answer": answers(),
    "slow": answers(after=4.5),
    "hang": hangs(),
    "unsent": hangs(sent=False),
    "stubborn": stubborn,
    "bug": bug,
    "overloaded": fails("overloaded", retry_after=2.0),
} | {code: fails(code, after=0.1) for code in ("timeout", "server_error", "invalid_request")}


@settings(max_examples=80)
@given(
    st.lists(st.sampled_from(KINDS), min_size=1, max_size=30),
    st.lists(
        st.tuples(st.floats(0, 3), st.booleans(), st.floats(0.1, 30), st.none() | st.floats(0, 8)),
        min_size=1,
        max_size=25,
    ),
)
def test_in_any_storm_every_call_ends_in_time_and_nothing_is_left(kinds, callers):
    async def main(rig):
        async def one(safe, timeout, patience):
            began = now()
            task = asyncio.create_task(rig.call(safe=safe, timeout=timeout))
            if patience is not None:
                asyncio.get_running_loop().call_later(patience, task.cancel)
            try:
                await asyncio.wait([task])
            finally:
                took = now() - began
            assert took <= timeout + 1e-6
            if task.cancelled():
                assert patience is not None
                assert took <= patience + 1e-6
            elif not isinstance(task.exception(), RouterError | LookupError | None):
                raise AssertionError(task.exception())

        running = []
        for pause, *caller in callers:
            await asyncio.sleep(pause)
            running.append(asyncio.create_task(one(*caller)))
        await asyncio.gather(*running)
        assert rig.bulkhead.in_flight == rig.bulkhead.waiting == 0
        assert rig.peer.requests <= 3 * len(callers)
        assert len(rig.told(RetryScheduled)) <= 2 * len(callers)
        await asyncio.sleep(200)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(main, *(STEPS[kind] for kind in kinds), timeouts=QUICK, bulkhead=Bulkhead(limit=3))


@settings(max_examples=60)
@given(st.lists(st.sampled_from(["ran", "ran and lost", "refused", "unsent"]), min_size=1, max_size=6))
def test_an_unsafe_call_runs_at_most_once(kinds):
    executions = []

    async def execute(call):
        call.trail.sent = True
        executions.append(call.call_id)

    async def ran(call):
        await execute(call)
        return "yes"

    async def lost(call):
        await execute(call)
        raise failure("connection_lost")

    steps = {"ran": ran, "ran and lost": lost, "refused": fails("overloaded"), "unsent": hangs(sent=False)}

    async def main(rig):
        try:
            await rig.call()
        except RouterError as error:
            return error.payload.delivered
        return "yes"

    delivered = run(main, *(steps[kind] for kind in kinds), timeouts=QUICK, retry=Retry(attempts=6))
    assert len(executions) <= 1
    # `no` is a proof.
    assert delivered != "no" or not executions


# -- an outage -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("enabled", [True, False], ids=["with the circuit", "without the circuit"])
@pytest.mark.parametrize("code", ["unreachable", "server_error"])
def test_an_outage_multiplies_the_load_by_at_most_a_tenth(enabled, code):
    async def main(rig):
        for _ in range(1000):
            await rig.error(safe=True)
            await asyncio.sleep(1)
        return rig.peer.requests

    requests = run(main, fails(code), breaker=Breaker(enabled=enabled), rng=lambda: 1.0)
    assert requests <= 1100
    if not enabled:
        assert requests == 1000 + 500 // 14


def test_a_storm_of_429s_does_not_multiply_the_load_either():
    async def main(rig):
        for _ in range(1000):
            await rig.error(safe=True)
        return rig.peer.requests, rig.circuit.state

    assert run(main, fails("overloaded")) == (1000 + 500 // 5, "closed")


def test_after_an_outage_the_first_call_after_the_break_is_served():
    async def main(rig):
        await rig.fail(5)
        rig.peer.steps = [answers("back")]
        await asyncio.sleep(rig.circuit.retry_after(now()))
        return await rig.call(), rig.circuit.state

    assert run(main, fails("unreachable", sent=False), retry=Retry(attempts=1)) == ("back", "closed")
