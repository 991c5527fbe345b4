"""What is tried again, when, how often, and at whose expense."""

import asyncio
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy_kit import Peer, answers, fails, failure, make_call, now

from recloser.call import Deadline
from recloser.errors import CODES, ErrorPayload, RouterError
from recloser.events import RetryScheduled, RetrySuppressed
from recloser.options import Retry
from recloser.policies.budget import RetryBudget
from recloser.policies.retry import Retrying, backoff
from recloser.testing.clock import run_virtual

PASSING = {"timeout", "connection_lost", "unreachable", "overloaded", "server_error"}
OWN = {"circuit_open", "bulkhead_full", "throttled"}


class Outcome:
    """What became of one call, and what it took."""

    def __init__(self, peer, retry, rng, facts):
        self.events = []
        self.budget = RetryBudget(retry)
        self.peer = peer
        self.call = make_call(**facts)
        self.policy = Retrying(retry, self.budget, rng=rng, emit=self.events.append, server="search")

    async def __call__(self):
        self.result = self.error = None
        try:
            self.result = await self.policy(self.call, self.peer)
        except RouterError as error:
            self.error = error
        self.at = now()
        return self

    @property
    def reasons(self):
        return [event.reason for event in self.events if isinstance(event, RetrySuppressed)]

    @property
    def delays(self):
        return [event.delay for event in self.events if isinstance(event, RetryScheduled)]


def make(*steps, retry=Retry(), rng=lambda: 0.5, **facts):  # noqa: B008 - frozen
    facts.setdefault("safe", True)
    return run_virtual(Outcome(Peer(*steps), retry, rng, facts))


# -- what is tried again -------------------------------------------------------------------------------------------


def test_a_clean_success_costs_nothing_and_earns_a_token():
    async def main():
        outcome = Outcome(Peer(answers("yes")), Retry(), lambda: 0.5, {})
        outcome.budget.take(throttled=True)
        return await outcome()

    done = run_virtual(main)

    assert done.result == "yes"
    assert done.budget.tokens == 496
    assert done.events == []


def test_a_failure_that_passes_is_made_good_by_another_attempt():
    done = make(fails("server_error"), answers("yes"))

    assert done.result == "yes"
    assert done.peer.seen == [(0.0, 1), (0.025, 2)]
    assert done.budget.tokens == 500
    assert done.events == [
        RetryScheduled(
            call_id=done.call.call_id, server="search", name="web", attempt=1, code="server_error", delay=0.025
        )
    ]


@pytest.mark.parametrize("code", sorted(CODES))
@pytest.mark.parametrize("safe", [True, False])
@pytest.mark.parametrize("delivered", ["no", "maybe", "yes"])
@pytest.mark.parametrize("server_faults", [True, False])
def test_only_what_may_pass_and_is_safe_is_tried_again(code, safe, delivered, server_faults):
    retry = Retry(server_faults=server_faults)

    done = make(fails(code, delivered=delivered), answers("yes"), retry=retry, safe=safe)

    passing = code in PASSING or (code == "server_fault" and server_faults)
    expected = passing and (safe or delivered == "no")
    assert (done.result == "yes") is expected
    assert done.peer.requests == (2 if expected else 1)
    if expected:
        assert done.reasons == []
    elif passing:
        assert done.reasons == ["not_safe"]
    elif code in OWN - {"circuit_open"}:
        assert done.reasons == ["not_retryable"]
    else:
        assert done.events == []


def test_a_fault_of_an_unknown_kind_with_the_code_of_a_fault_is_not_tried_again():
    done = make(fails("invalid_result"), answers("yes"), retry=Retry(server_faults=True))

    assert done.error.payload.code == "invalid_result"


def test_the_suppressed_retry_of_a_call_is_told_with_its_facts():
    done = make(fails("timeout"), safe=False)

    assert done.events == [
        RetrySuppressed(
            call_id=done.call.call_id, server="search", name="web", attempt=1, code="timeout", reason="not_safe"
        )
    ]


def test_the_trail_tells_how_long_a_call_has_waited_and_what_was_decided_last():
    done = make(fails("server_error"), fails("timeout"), answers("yes"))

    assert len(done.delays) == 2
    assert done.call.trail.delay == pytest.approx(sum(done.delays))
    assert done.call.trail.last_delay == done.delays[-1] != done.delays[0]
    assert done.call.trail.decision == "retry"


@pytest.mark.parametrize(
    ("facts", "retry", "reason", "attempt"),
    [
        ({"safe": False}, Retry(), "not_safe", 1),
        ({}, Retry(budget=14, cost=14), "budget", 2),
        ({}, Retry(attempts=3), "max_attempts", 3),
        ({"deadline": Deadline(0.05)}, Retry(), "deadline", 2),
    ],
)
def test_the_decision_against_a_retry_is_on_the_trail_and_told_with_its_attempt(facts, retry, reason, attempt):
    done = make(fails("server_error"), retry=retry, **facts)

    assert done.call.trail.decision == reason
    assert (done.events[-1].reason, done.events[-1].attempt) == (reason, attempt)


def test_attempts_are_the_first_one_included():
    done = make(fails("unreachable"), retry=Retry(attempts=4))

    assert [attempt for _, attempt in done.peer.seen] == [1, 2, 3, 4]
    assert done.reasons == ["max_attempts"]
    assert done.events[-1].attempt == 4
    assert done.call.attempt == 1


def test_with_one_attempt_nothing_is_tried_again():
    done = make(fails("unreachable"), retry=Retry(attempts=1))

    assert done.peer.requests == 1
    assert done.reasons == ["max_attempts"]
    assert done.budget.tokens == 500


def test_a_later_failure_that_will_not_pass_ends_the_tries():
    done = make(fails("timeout"), fails("unauthenticated"), answers())

    assert done.error.payload.code == "unauthenticated"
    assert done.peer.requests == 2
    assert done.reasons == []


def test_a_later_failure_of_an_unsafe_call_that_may_have_run_ends_the_tries():
    done = make(fails("unreachable"), fails("timeout"), answers(), safe=False)

    assert done.error.payload.code == "timeout"
    assert done.peer.requests == 2
    assert done.reasons == ["not_safe"]
    assert done.events[-1].attempt == 2


def test_a_bug_in_a_later_attempt_goes_out_as_it_is():
    bug = ValueError("a bug")

    async def buggy(call):
        raise bug

    async def main():
        await Outcome(Peer(fails("timeout"), buggy), Retry(), lambda: 0.5, {"safe": True})()

    with pytest.raises(ValueError, match="a bug") as caught:
        run_virtual(main)
    assert caught.value is bug


def test_tenacitys_own_signal_from_below_is_an_error_like_any_other():
    async def odd(call):
        from tenacity import TryAgain

        raise TryAgain

    async def main():
        outcome = Outcome(Peer(fails("timeout"), odd, answers()), Retry(), lambda: 0.5, {"safe": True})
        try:
            await outcome()
        except Exception as error:
            return type(error).__name__, outcome.peer.requests

    assert run_virtual(main) == ("TryAgain", 2)


# -- which error comes out -----------------------------------------------------------------------------------------


def raised(*errors, **facts):
    async def step(call):
        raise errors[call.attempt - 1]

    facts.setdefault("safe", True)
    return run_virtual(Outcome(Peer(step), facts.pop("retry", Retry()), lambda: 0.5, facts)).error


def test_the_last_real_failure_comes_out():
    errors = [failure("timeout"), failure("connection_lost"), failure("server_error")]

    assert raised(*errors) is errors[2]
    assert errors[2].__context__ is None
    assert errors[2].__cause__ is None


@pytest.mark.parametrize("code", sorted(OWN))
def test_a_refusal_of_our_own_does_not_hide_the_failure_before_it(code):
    real = failure("server_error")

    error = raised(real, failure(code, retry_after=7.0))

    assert error is real
    assert error.__context__ is None
    assert error.payload.delivered == "maybe"
    assert error.payload.retry_after == 7.0


def test_what_the_server_asked_for_is_not_overwritten_by_a_refusal():
    error = raised(failure("server_error", retry_after=2.0), failure("circuit_open", retry_after=7.0))

    assert error.payload.retry_after == 2.0


def test_no_time_for_another_attempt_does_not_hide_the_failure_before_it():
    real = failure("server_error")

    assert raised(real, failure("timeout", delivered="no", evidence=False), retry=Retry(attempts=2)) is real


def test_a_timeout_that_may_have_run_is_a_failure_of_its_own():
    real = failure("timeout")

    assert raised(failure("server_error"), real, retry=Retry(attempts=2)) is real


def test_not_delivered_is_only_said_where_no_attempt_may_have_run():
    error = raised(failure("timeout"), failure("unreachable"), retry=Retry(attempts=2))
    assert error.payload.code == "unreachable"
    assert error.payload.delivered == "maybe"

    error = raised(failure("unreachable"), failure("unreachable"), retry=Retry(attempts=2))
    assert error.payload.delivered == "no"

    error = raised(failure("unreachable"), failure("invalid_result"))
    assert error.payload.delivered == "yes"


def test_a_rejection_at_once_is_not_an_attempt_that_could_be_repeated():
    done = make(fails("circuit_open"))

    assert done.error.payload.code == "circuit_open"
    assert done.events == []


def test_a_rejection_of_a_later_attempt_is_told():
    done = make(fails("timeout"), fails("circuit_open"))

    assert done.error.payload.code == "timeout"
    assert done.reasons == ["circuit_open"]
    assert done.events[-1].attempt == 2
    assert done.events[-1].code == "circuit_open"


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
        return now(), outcome.peer.requests, task.cancelling(), outcome.reasons

    assert run_virtual(main) == (2.0, 1, 1, [])


def test_a_cancellation_during_a_later_attempt_goes_out_as_it_came():
    async def main():
        outcome = Outcome(Peer(fails("timeout"), answers(after=50), answers()), Retry(), lambda: 0.5, {"safe": True})
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(10):
                await outcome()
        return now(), outcome.peer.requests, asyncio.current_task().cancelling()

    assert run_virtual(main) == (10.0, 2, 0)


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
