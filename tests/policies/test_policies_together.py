"""Policies in pairs, in the order of the pipeline: what one does to the other."""

import asyncio

import pytest
from policy_kit import QUICK, answers, fails, failure, hangs, make_call, now, run, settle

from recloser.call import Deadline
from recloser.errors import CircuitOpen, RouterError
from recloser.events import CircuitChanged, RetryScheduled, RetrySuppressed
from recloser.options import Breaker, Bulkhead, Retry, Timeouts


def reasons(rig):
    return [event.reason for event in rig.told(RetrySuppressed)]


# -- retry x breaker -----------------------------------------------------------------------------------------------


def test_an_open_circuit_ends_the_tries_at_once():
    async def main(rig):
        await rig.fail(5)
        seen = rig.peer.requests
        error = await rig.error(safe=True)
        return error, rig.peer.requests - seen, now(), rig.told(RetryScheduled)

    error, requests, at, scheduled = run(main, fails("server_error"))
    assert isinstance(error, CircuitOpen)
    assert (requests, at, scheduled) == (0, 0.0, [])


def test_one_call_alone_never_opens_the_circuit():
    async def main(rig):
        error = await rig.error(safe=True)
        return error.payload.code, rig.peer.requests, rig.circuit.snapshot()

    code, requests, snapshot = run(
        main, fails("connection_lost"), retry=Retry(attempts=30, budget=10_000, backoff_cap=1)
    )
    assert (code, requests) == ("connection_lost", 30)
    assert (snapshot.state, snapshot.samples, snapshot.failures) == ("closed", 1, 1)


def test_a_call_that_succeeds_after_a_retry_counts_as_a_success():
    async def main(rig):
        for _ in range(30):
            assert await rig.call(safe=True) == "yes"
        return rig.circuit.snapshot()

    snapshot = run(main, *([fails("server_error"), answers("yes")] * 30))
    assert (snapshot.state, snapshot.samples, snapshot.failures) == ("closed", 30, 0)


def test_a_circuit_that_opens_during_back_off_keeps_the_failure_that_was_real():
    async def main(rig):
        async def others():
            await asyncio.sleep(0.5)
            rig.circuit.isolate()

        opening = asyncio.create_task(others())
        error = await rig.error(safe=True)
        await opening
        rig.circuit.close()
        return error.payload, rig.peer.requests, reasons(rig)

    payload, requests, told = run(main, fails("server_error", retry_after=2.0), answers())
    assert (payload.code, payload.delivered, requests) == ("server_error", "maybe", 1)
    assert told == ["circuit_open"]


def test_callers_who_leave_before_their_retry_is_let_through_take_nothing_of_the_budget():
    async def main(rig):
        for patience in (1, 3):  # in back-off, and behind the one call that the bulkhead lets through
            leaving = asyncio.create_task(rig.call(safe=True))
            await settle()
            in_the_way = asyncio.create_task(rig.call())
            await asyncio.sleep(patience)
            left = rig.bulkhead.waiting
            leaving.cancel()
            assert isinstance(*await asyncio.gather(leaving, return_exceptions=True), asyncio.CancelledError)
            await in_the_way
            assert (left, rig.budget.tokens) == (int(patience == 3), 500)

    steps = [fails("server_error", retry_after=2.0), answers(after=20)] * 2
    run(main, *steps, bulkhead=Bulkhead(limit=1), timeouts=Timeouts())


def test_a_half_open_circuit_lets_the_retry_of_a_call_be_the_probe():
    async def main(rig):
        await rig.fail(4)
        # The fifth failure opens the circuit, the reconnect comes while the call backs off.
        asyncio.get_running_loop().call_later(1, rig.circuit.half_open, "reconnected")
        result = await rig.call(safe=True)
        return result, [(event.state, event.reason) for event in rig.told(CircuitChanged)]

    result, changes = run(main, *[fails("server_error")] * 4, fails("server_error", retry_after=2.0), answers("yes"))
    assert result == "yes"
    assert changes == [("open", "failures"), ("half_open", "reconnected"), ("closed", "probe_succeeded")]


def test_a_failing_probe_is_not_tried_again_into_the_open_circuit():
    async def main(rig):
        await rig.fail(5)
        rig.circuit.half_open("reconnected")
        seen = rig.peer.requests
        error = await rig.error(safe=True)
        return error.payload.code, rig.peer.requests - seen, rig.circuit.state, reasons(rig)[-1]

    assert run(main, fails("server_error")) == ("server_error", 1, "open", "circuit_open")


# -- retry x budget ------------------------------------------------------------------------------------------------


def test_with_an_empty_budget_calls_are_made_once():
    async def main(rig):
        error = await rig.error(safe=True)
        return error.payload.code, rig.peer.requests, reasons(rig)

    assert run(main, fails("unreachable", sent=False), retry=Retry(budget=0)) == ("unreachable", 1, ["budget"])


def test_calls_share_the_budget():
    async def main(rig):
        await asyncio.gather(*(rig.error(safe=True) for _ in range(4)))
        return rig.peer.requests, rig.budget.tokens

    assert run(main, fails("timeout"), retry=Retry(budget=30), breaker=Breaker(consecutive=99)) == (6, 2)


# -- retry x deadline ----------------------------------------------------------------------------------------------


def test_attempts_and_back_off_share_the_callers_time():
    async def main(rig):
        error = await rig.error(safe=True, timeout=12)
        return error.payload.code, rig.peer.seen, now()

    code, seen, at = run(main, hangs(), timeouts=QUICK, retry=Retry(backoff=2), rng=lambda: 1.0)
    assert seen == [(0.0, 1), (7.0, 2)]
    assert (code, at) == ("timeout", 12.0)


def test_a_server_that_wants_more_time_than_there_is_is_not_waited_for():
    async def main(rig):
        error = await rig.error(safe=True, timeout=3)
        return error.payload.code, error.payload.retry_after, now(), reasons(rig)

    assert run(main, fails("overloaded", retry_after=30.0)) == ("overloaded", 30.0, 0.0, ["deadline"])


def test_a_call_without_time_starts_nothing():
    async def main(rig):
        error = await rig.error(timeout=0)
        return error.payload.code, error.payload.delivered, rig.peer.requests, rig.circuit.snapshot().samples

    assert run(main) == ("timeout", "no", 0, 0)


def test_a_loop_that_was_held_up_during_back_off_does_not_hide_the_real_failure():
    async def main(rig):
        asyncio.get_running_loop().call_later(1, asyncio.get_running_loop().advance, 100)
        error = await rig.error(safe=True, timeout=10)
        return error.payload.code, error.payload.delivered, rig.peer.requests, rig.circuit.snapshot().samples

    assert run(main, fails("server_error", retry_after=2.0)) == ("server_error", "maybe", 1, 0)


# -- attempt x retry -----------------------------------------------------------------------------------------------


def test_an_unsafe_call_that_was_sent_is_never_sent_again():
    async def main(rig):
        error = await rig.error()
        return error.payload.code, rig.peer.requests, now(), reasons(rig)

    assert run(main, hangs(), answers(), timeouts=QUICK) == ("timeout", 1, 5.0, ["not_safe"])


def test_an_unsafe_call_that_never_left_is_tried_again():
    async def main(rig):
        return await rig.call(), [at for at, _ in rig.peer.seen]

    assert run(main, hangs(sent=False), answers("yes"), timeouts=QUICK) == ("yes", [0.0, 5.15])


def test_a_request_that_was_sent_does_not_make_the_next_attempt_look_sent():
    async def main(rig):
        error = await rig.error(safe=True)
        return error.payload.code, error.payload.delivered, rig.peer.requests

    assert run(main, hangs(), hangs(sent=False), timeouts=QUICK, retry=Retry(attempts=2)) == (
        "unreachable",
        "maybe",
        2,
    )


# -- attempt x breaker ---------------------------------------------------------------------------------------------


def test_attempts_that_hang_open_the_circuit():
    async def main(rig):
        await asyncio.gather(*(rig.error() for _ in range(5)))
        return rig.circuit.state, now()

    assert run(main, hangs(), timeouts=QUICK) == ("open", 5.0)


def test_an_attempt_without_time_is_no_evidence():
    async def main(rig):
        async def held_up(call):
            asyncio.get_running_loop().advance(100)
            return await rig.attempt(call, rig.peer)

        for _ in range(5):
            with pytest.raises(RouterError, match="no time was left"):
                await rig.circuit(make_call(deadline=Deadline(now() + 1)), held_up)
        return rig.circuit.snapshot().samples, rig.peer.requests

    assert run(main) == (0, 0)


def test_a_probe_that_hangs_opens_the_circuit_again():
    async def main(rig):
        await asyncio.gather(*(rig.error() for _ in range(5)))
        rig.circuit.half_open()
        error = await rig.error()
        return error.payload.code, rig.circuit.state, now()

    assert run(main, hangs(), timeouts=QUICK) == ("timeout", "open", 10.0)


def test_what_an_abandoned_attempt_still_says_reaches_no_circuit():
    async def stubborn(call):
        call.trail.sent = True
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            await asyncio.sleep(3)
            raise failure("server_error") from None

    async def main(rig):
        await rig.error()
        before = rig.circuit.snapshot()
        await asyncio.sleep(10)
        return before.failures, rig.circuit.snapshot().failures

    assert run(main, stubborn, timeouts=QUICK) == (1, 1)


# -- bulkhead x breaker --------------------------------------------------------------------------------------------


def test_who_waits_for_a_permit_leaves_when_the_circuit_opens():
    async def main(rig):
        holding = [asyncio.create_task(rig.error()) for _ in range(5)]
        await settle()
        waiting = [asyncio.create_task(rig.error(safe=True)) for _ in range(3)]
        await settle()
        assert (rig.bulkhead.in_flight, rig.bulkhead.waiting) == (5, 3)
        errors = await asyncio.gather(*waiting)
        await asyncio.gather(*holding)
        return [error.payload.code for error in errors], rig.peer.requests, now()

    codes, requests, at = run(main, hangs(), timeouts=QUICK, bulkhead=Bulkhead(limit=5))
    assert at == 5.0
    assert requests <= 8
    assert set(codes) == {"circuit_open"}


def test_an_open_circuit_is_told_at_once_though_no_permit_is_free():
    async def main(rig):
        holding = asyncio.create_task(rig.error())
        await settle()
        rig.circuit.isolate()
        error = await rig.error()
        at = now()
        await holding
        rig.circuit.close()
        return error.payload.code, at

    assert run(main, hangs(), timeouts=QUICK, bulkhead=Bulkhead(limit=1)) == ("circuit_open", 0.0)


def test_a_rejected_call_gives_its_permit_back():
    async def main(rig):
        rig.circuit.isolate()
        for _ in range(10):
            await rig.error()
        rig.circuit.close()
        return await rig.call(), rig.bulkhead.in_flight

    assert run(main, answers("yes"), bulkhead=Bulkhead(limit=1)) == ("yes", 0)


# -- bulkhead x retry, deadline, cancel ----------------------------------------------------------------------------


def test_a_call_that_backs_off_holds_no_permit():
    async def main(rig):
        backing_off = asyncio.create_task(rig.call(safe=True))
        await settle()
        held = rig.bulkhead.in_flight
        other = await rig.call(timeout=1)
        return held, other, await backing_off

    first = fails("overloaded", retry_after=4.0)
    assert run(main, first, answers("other"), answers("first"), bulkhead=Bulkhead(limit=1)) == (0, "other", "first")


def test_a_full_bulkhead_is_not_tried_again():
    async def main(rig):
        holding = asyncio.create_task(rig.error())
        await settle()
        error = await rig.error(safe=True, timeout=2)
        at, told = now(), reasons(rig)
        await holding
        return error.payload.code, at, told, rig.circuit.snapshot().failures

    assert run(main, hangs(), timeouts=QUICK, bulkhead=Bulkhead(limit=1)) == (
        "bulkhead_full",
        2.0,
        ["not_retryable"],
        1,
    )


def test_time_spent_waiting_for_a_permit_is_the_calls_own():
    async def main(rig):
        first = asyncio.create_task(rig.call())
        await settle()
        error = await rig.error(timeout=6)
        await first
        return error.payload.code, now()

    assert run(main, answers(after=4), hangs(), timeouts=QUICK, bulkhead=Bulkhead(limit=1)) == ("timeout", 6.0)


def test_a_caller_who_leaves_the_queue_or_the_call_takes_nothing_along():
    async def main(rig):
        calls = [asyncio.create_task(rig.call()) for _ in range(4)]
        await settle()
        for task in calls:
            task.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        assert all(task.cancelled() for task in calls)
        return now(), rig.bulkhead.in_flight, rig.circuit.snapshot().samples, rig.budget.tokens, rig.events

    assert run(main, hangs(), bulkhead=Bulkhead(limit=2)) == (0.0, 0, 0, 500, [])
