"""What is tried again, and which error comes out."""

import pytest
from policy_kit import Peer, answers, fails, failure
from retry_kit import Outcome, make

from recloser.call import Deadline
from recloser.errors import CODES
from recloser.events import RetryScheduled, RetrySuppressed
from recloser.options import Retry
from recloser.testing.clock import run_virtual

PASSING = {"timeout", "connection_lost", "unreachable", "overloaded", "server_error"}
OWN = {"circuit_open", "bulkhead_full", "throttled"}


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
