"""When it is tried again, after how long, and at whose expense."""

import asyncio
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy_kit import Peer, answers, fails, failure, make_call, now
from retry_kit import Outcome, make

from recloser.call import Deadline
from recloser.errors import ErrorPayload
from recloser.options import Retry
from recloser.policies.budget import RetryBudget
from recloser.policies.retry import Retrying, backoff
from recloser.testing.clock import run_virtual

# -- when ----------------------------------------------------------------------------------------------------------


def test_back_off_doubles_up_to_its_cap():
    done = make(fails("server_error"), retry=Retry(attempts=6, backoff=1, backoff_cap=5), rng=lambda: 1.0)

    assert done.delays == [1, 2, 4, 5, 5]
    assert [at for at, _ in done.peer.seen] == [0, 1, 3, 7, 12, 17]


@pytest.mark.parametrize(("share", "delays"), [(0.0, [0.1, 0.2, 0.4]), (1.0, [0.2, 0.4, 0.8])])
def test_a_server_that_cannot_be_reached_gets_a_moment_in_any_case(share, delays):
    done = make(fails("unreachable"), retry=Retry(attempts=4), rng=lambda: share)

    assert done.delays == pytest.approx(delays)


def test_after_a_429_back_off_is_longer_and_cheaper():
    done = make(fails("overloaded"), rng=lambda: 1.0)

    assert done.delays == [1.0, 2.0]
    assert done.budget.tokens == 490


def test_other_failures_cost_the_full_price():
    assert make(fails("server_error")).budget.tokens == 500 - 28


def test_the_code_of_each_failure_is_told():
    done = make(fails("overloaded"), fails("timeout"), fails("server_error"))

    assert [event.code for event in done.events] == ["overloaded", "timeout", "server_error"]


@pytest.mark.parametrize(
    ("asked", "waited"),
    [(0.0, 0.5), (0.25, 0.5), (3.0, 3.0), (5.5, 5.5), (5.6, 5.5), (60.0, 5.5)],
)
def test_a_servers_wish_is_followed_as_far_as_the_slack_goes(asked, waited):
    done = make(fails("overloaded", retry_after=asked), answers())

    assert done.delays == [waited]


def test_a_back_off_that_would_pass_the_deadline_is_not_begun():
    done = make(fails("overloaded", retry_after=4.0), answers(), deadline=Deadline(4.0))

    assert done.at == 0.0
    assert done.reasons == ["deadline"]
    assert done.error.payload.code == "overloaded"
    assert done.error.payload.retry_after == 4.0
    assert done.budget.tokens == 500


def test_a_back_off_that_ends_before_the_deadline_is_waited_for():
    done = make(fails("overloaded", retry_after=4.0), answers("yes"), deadline=Deadline(4.001))

    assert (done.result, done.at) == ("yes", 4.0)


def test_a_deadline_that_stood_still_counts_from_where_it_went_on():
    async def asked_back(call):
        call.deadline.pause(now())
        await asyncio.sleep(100)
        call.deadline.resume(now())
        raise failure("overloaded", retry_after=4.0)

    done = make(asked_back, answers("yes"), deadline=Deadline(5.0))

    assert (done.result, done.at) == ("yes", 104.0)


def test_without_budget_the_first_failure_stands():
    done = make(fails("unreachable"), answers(), retry=Retry(budget=13))

    assert done.error.payload.code == "unreachable"
    assert done.reasons == ["budget"]
    assert done.budget.tokens == 13
    assert done.at == 0.0


def test_free_retries_need_no_budget():
    assert make(fails("unreachable"), answers("yes"), retry=Retry(budget=0, cost=0)).result == "yes"


def test_only_the_last_retry_of_a_success_comes_back():
    done = make(fails("timeout"), fails("overloaded"), answers("yes"))

    assert done.result == "yes"
    assert done.budget.tokens == 500 - 14


def test_a_cancellation_during_back_off_goes_out_as_it_came():
    async def main():
        outcome = Outcome(Peer(fails("overloaded", retry_after=4.0), answers()), Retry(), lambda: 0.5, {"safe": True})
        task = asyncio.create_task(outcome())
        await asyncio.sleep(2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return now(), outcome.peer.requests, task.cancelling(), outcome.reasons, outcome.budget.tokens

    # What the retry would have cost is there again: it was never made.
    assert run_virtual(main) == (2.0, 1, 1, [], 500)


def test_a_cancellation_during_a_later_attempt_goes_out_as_it_came_and_that_attempt_stays_paid_for():
    async def main():
        outcome = Outcome(Peer(fails("timeout"), answers(after=50), answers()), Retry(), lambda: 0.5, {"safe": True})
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(10):
                await outcome()
        return now(), outcome.peer.requests, asyncio.current_task().cancelling(), outcome.budget.tokens

    assert run_virtual(main) == (10.0, 2, 0, 500 - 14)


@pytest.mark.parametrize(
    "refusal",
    [fails("circuit_open", sent=False), fails("bulkhead_full", sent=False), fails("timeout", delivered="no")],
)
def test_a_retry_that_is_refused_on_our_side_costs_nothing(refusal):
    done = make(fails("server_error"), refusal, retry=Retry(attempts=2))

    assert done.error.payload.code == "server_error"
    assert done.budget.tokens == 500


def test_only_the_retry_that_was_refused_comes_back():
    done = make(fails("timeout"), fails("overloaded"), fails("circuit_open"))

    assert done.budget.tokens == 500 - 14


def test_calls_at_the_same_time_do_not_mix_up_their_attempts():
    async def main():
        events = []
        policy = Retrying(Retry(), RetryBudget(Retry(budget=10_000)), emit=events.append, server="search")

        async def flaky(call):
            await asyncio.sleep(0.1)
            if call.attempt < call.params["n"] % 3 + 1:
                raise failure("connection_lost")
            return call.params["n"], call.attempt

        calls = [make_call(safe=True, params={"n": n}) for n in range(60)]
        return await asyncio.gather(*(policy(call, flaky) for call in calls))

    assert run_virtual(main) == [(n, n % 3 + 1) for n in range(60)]


def test_tenacity_is_loaded_by_the_first_retry_not_by_the_import():
    code = "import sys, recloser.policies.retry; sys.exit('tenacity' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# -- back-off as a rule --------------------------------------------------------------------------------------------

SECONDS = st.just(0.0) | st.floats(1e-6, 1e6)


def payload(code, retry_after):
    return ErrorPayload(type="transient", code=code, message="it failed", retry_after=retry_after)


@given(
    st.builds(
        Retry,
        backoff=SECONDS,
        throttled_backoff=SECONDS,
        reconnect_backoff=SECONDS,
        backoff_cap=SECONDS,
        retry_after_slack=st.floats(0, 100),
    ),
    st.integers(0, 5000),
    st.sampled_from(["timeout", "overloaded", "server_error", "unreachable"]),
    st.none() | SECONDS,
    st.floats(0, 1),
)
def test_back_off_keeps_its_bounds(retry, index, code, asked, share):
    waited = backoff(retry, index, payload(code, asked), share)

    bases = {"overloaded": retry.throttled_backoff, "unreachable": retry.reconnect_backoff}
    base = bases.get(code, retry.backoff)
    if code == "unreachable":
        share = 0.5 + share / 2
    own = share * min(retry.backoff_cap, base * 2.0 ** min(index, 1000)) if base else 0.0
    assert 0 <= own <= retry.backoff_cap
    assert waited >= own
    if asked is None:
        assert waited == own
    else:
        assert waited <= max(own, asked)
        assert waited <= own + retry.retry_after_slack
        assert waited in (own, asked, own + retry.retry_after_slack)


@given(st.integers(0, 60), st.floats(0, 0.999), st.floats(0, 0.999))
def test_more_of_the_random_share_never_waits_less(index, one, other):
    low, high = sorted((one, other))

    assert backoff(Retry(), index, payload("timeout", None), low) <= backoff(
        Retry(), index, payload("timeout", None), high
    )
