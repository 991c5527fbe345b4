"""A circuit opens on failures: which of them count, and how often one call does."""

import asyncio

import pytest
from breaker_kit import fail, ignored, run, succeed
from hypothesis import given
from hypothesis import strategies as st
from policy_kit import SERVER, failure, make_call, now

from recloser.errors import CODES, RouterError
from recloser.options import Breaker
from recloser.policies.breaker import CircuitBreaker


def after(steps, **options):
    async def main(bench):
        return await bench.calls(steps)

    return run(main, **options)


RATE = {"consecutive": 1000, "volume": 4, "rate": 0.5}


# -- when it opens -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "state"),
    [
        ("ffff", "closed"),
        ("fffff", "open"),
        ("ffffsf", "closed"),
        ("ffffsffffsf", "open"),
        ("ffffif", "open"),
        ("iiiiiiiiii", "closed"),
    ],
)
def test_failures_in_a_row_open_it_at_any_volume(steps, state):
    assert after(steps, consecutive=5) == state


@pytest.mark.parametrize(
    ("steps", "state"),
    [
        ("fff", "closed"),
        ("ffff", "open"),
        ("ssff", "open"),
        ("sssff", "closed"),
        ("sssfff", "open"),
        ("ffss", "closed"),
        ("ffssf", "open"),
        ("ssffi", "open"),
        ("sssfi", "closed"),
    ],
)
def test_a_share_of_failures_opens_it_once_there_are_enough_calls(steps, state):
    assert after(steps, **RATE) == state


def test_a_rate_that_is_reached_exactly_counts_as_reached():
    # 7 of 100 is not less than 0.07, though 100 * 0.07 is more than 7.
    assert after("s" * 93 + "f" * 7, consecutive=1000, volume=100, rate=0.07) == "open"


def test_a_success_never_opens_it():
    assert after("ffs", consecutive=1000, volume=3, rate=0.5) == "closed"


@pytest.mark.parametrize(
    ("moments", "state"),
    [
        ([0, 0, 0, 0], "open"),
        ([0, 29.9, 29.9, 29.9], "open"),
        ([0, 30, 30, 30], "closed"),
        ([2.9, 29.9, 29.9, 29.9], "open"),
        ([2.9, 30, 30, 30], "closed"),
        ([3, 30, 30, 30], "open"),
        ([3, 32.9, 32.9, 32.9], "open"),
        ([3, 33, 33, 33], "closed"),
        ([0, 0, 30, 30, 30], "closed"),
        ([0, 0, 30, 30, 30, 30], "open"),
        ([0, 1000, 1000, 1000, 1000], "open"),
    ],
)
def test_a_call_counts_for_as_many_parts_of_the_window_as_there_are(moments, state):
    async def main(bench):
        for moment in moments:
            await asyncio.sleep(moment - now())
            await bench.call(fail)
        return bench.circuit.state

    assert run(main, window=30, buckets=10, **RATE) == state


def test_a_window_of_one_part_forgets_all_at_once():
    async def main(bench):
        await bench.calls("fff")
        await asyncio.sleep(30)
        await bench.calls("fff")
        before = bench.circuit.state
        await bench.calls("f")
        return before, bench.circuit.state

    assert run(main, window=30, buckets=1, **RATE) == ("closed", "open")


@pytest.mark.parametrize("code", sorted(CODES))
def test_only_evidence_counts(code):
    async def main(bench):
        async def step(call):
            raise failure(code)

        await bench.call(step)
        return bench.circuit.state

    assert run(main, consecutive=1) == ("open" if CODES[code].evidence else "closed")


@pytest.mark.parametrize("evidence", [True, False])
def test_whoever_raises_an_error_may_know_better_whether_it_is_evidence(evidence):
    async def main(bench):
        async def step(call):
            raise failure("timeout", evidence=evidence)

        await bench.call(step)
        return bench.circuit.state

    assert run(main, consecutive=1) == ("open" if evidence else "closed")


class OddError(BaseException):
    pass


@pytest.mark.parametrize("error", [ValueError("a bug"), asyncio.CancelledError(), OddError()], ids=repr)
@pytest.mark.parametrize("half_open", [False, True])
def test_what_is_no_error_of_ours_is_no_evidence_and_goes_out(error, half_open):
    async def main(bench):
        if half_open:
            await bench.calls("f")
            bench.circuit.half_open()
        before = bench.circuit.snapshot()

        async def step(call):
            raise error

        with pytest.raises(type(error)) as caught:
            await bench.circuit(make_call(), step)
        assert caught.value is error
        assert bench.circuit.snapshot() == before
        assert bench.circuit.would_admit(now())

    run(main, consecutive=1)


def test_disabled_it_counts_nothing_and_lets_everything_pass():
    async def main(bench):
        state = await bench.calls("f" * 50)
        return state, bench.circuit.snapshot(), bench.events

    state, snapshot, events = run(main, enabled=False)
    assert (state, snapshot.samples, events) == ("closed", 0, [])


# -- one call counts once ------------------------------------------------------------------------------------------


def test_one_call_counts_once_however_many_attempts_it_makes():
    async def main(bench):
        call = make_call()
        for _ in range(50):
            await bench.call(fail, call)
        return bench.circuit.snapshot()

    snapshot = run(main)
    assert (snapshot.state, snapshot.samples, snapshot.failures, snapshot.consecutive) == ("closed", 1, 1, 1)


def test_the_attempt_that_succeeds_has_the_last_word():
    async def main(bench):
        await bench.calls("fff")
        call = make_call()
        await bench.call(fail, call)
        await bench.call(succeed, call)
        snapshot = bench.circuit.snapshot()
        return snapshot, await bench.calls("ffff"), await bench.calls("f")

    snapshot, before, then = run(main)
    assert (snapshot.samples, snapshot.failures, snapshot.consecutive) == (4, 3, 0)
    assert (before, then) == ("closed", "open")


def test_a_call_that_succeeded_counts_for_nothing_more():
    async def main(bench):
        call = make_call()
        for step in (succeed, fail, succeed, fail):
            await bench.call(step, call)
        return bench.circuit.snapshot()

    snapshot = run(main)
    assert (snapshot.samples, snapshot.failures, snapshot.consecutive) == (1, 0, 0)


def test_a_call_that_was_corrected_counts_for_nothing_more():
    async def main(bench):
        call = make_call()
        for step in (fail, succeed, fail, succeed):
            await bench.call(step, call)
        return bench.circuit.snapshot()

    snapshot = run(main)
    assert (snapshot.samples, snapshot.failures, snapshot.consecutive) == (1, 0, 0)


def test_an_ignored_attempt_corrects_nothing():
    async def main(bench):
        call = make_call()
        await bench.call(fail, call)
        await bench.call(ignored, call)
        return bench.circuit.snapshot()

    snapshot = run(main)
    assert (snapshot.samples, snapshot.failures, snapshot.consecutive) == (1, 1, 1)


@pytest.mark.parametrize(("moment", "samples"), [(29.9, 0), (30.0, 1)])
def test_a_failure_that_has_left_the_window_is_followed_by_a_success_of_its_own(moment, samples):
    async def main(bench):
        call = make_call()
        await bench.call(fail, call)
        await asyncio.sleep(moment)
        await bench.call(succeed, call)
        await asyncio.sleep(33 - moment)
        snapshot = bench.circuit.snapshot()
        return snapshot.samples, snapshot.failures, snapshot.consecutive

    assert run(main, window=30, buckets=10) == (samples, 0, 0)


def test_a_corrected_failure_leaves_the_window_with_its_part():
    async def main(bench):
        call = make_call()
        await bench.call(fail, call)
        await asyncio.sleep(20)
        await bench.call(succeed, call)
        await asyncio.sleep(10)
        return bench.circuit.snapshot()

    snapshot = run(main, window=30, buckets=10)
    assert (snapshot.samples, snapshot.failures) == (0, 0)


def test_endpoints_count_a_call_each_for_itself():
    async def main(bench):
        other = CircuitBreaker(Breaker(), server=SERVER, endpoint="search#2", emit=bench.events.append, lease=31)
        call = make_call()
        await bench.call(fail, call)
        with pytest.raises(RouterError):
            await other(call, fail)
        return bench.circuit.snapshot().failures, other.snapshot().failures

    assert run(main) == (1, 1)


def test_a_call_that_outlives_an_outage_counts_once_more_after_it():
    async def main(bench):
        call = make_call()
        await bench.call(fail, call)
        bench.circuit.isolate()
        bench.circuit.close()
        await bench.call(fail, call)
        await bench.call(fail, call)
        failed = bench.circuit.snapshot()
        bench.circuit.isolate()
        bench.circuit.close()
        await bench.call(succeed, call)
        return (failed.samples, failed.failures), bench.circuit.snapshot()

    failed, snapshot = run(main)
    assert failed == (1, 1)
    assert (snapshot.samples, snapshot.failures) == (1, 0)


# -- a rule of its own ---------------------------------------------------------------------------------------------


@given(st.lists(st.sampled_from("fsi"), max_size=60), st.integers(1, 6))
def test_consecutive_failures_open_it_exactly_when_so_many_came_in_a_row(steps, consecutive):
    counting = "".join(step for step in steps if step != "i")

    state = after(steps, consecutive=consecutive, volume=10_000)

    assert (state == "open") is ("f" * consecutive in counting)
