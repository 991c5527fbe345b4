"""A retry budget: failures empty it, successes fill it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recloser.options import Retry
from recloser.policies.budget import RetryBudget

RETRY = Retry(budget=20, cost=14, throttled_cost=5, refill=1)


def test_it_begins_full():
    assert RetryBudget(Retry()).tokens == 500


def test_a_retry_costs_less_after_a_429():
    budget = RetryBudget(RETRY)

    assert budget.take(throttled=True) == 5
    assert budget.tokens == 15
    assert budget.take(throttled=False) == 14
    assert budget.tokens == 1


def test_what_is_not_there_is_not_granted_and_costs_nothing():
    budget = RetryBudget(RETRY)
    budget.take(throttled=False)

    assert budget.take(throttled=False) is None
    assert budget.tokens == 6
    assert budget.take(throttled=True) == 5


def test_the_last_token_can_be_spent():
    budget = RetryBudget(Retry(budget=14, cost=14))

    assert budget.take(throttled=False) == 14
    assert budget.tokens == 0


def test_a_success_earns_a_token_up_to_the_full_bucket():
    budget = RetryBudget(RETRY)
    budget.take(throttled=True)

    for _ in range(4):
        budget.reward()
    assert budget.tokens == 19
    for _ in range(4):
        budget.reward()
    assert budget.tokens == 20


def test_a_reward_never_overfills():
    budget = RetryBudget(Retry(budget=20, refill=7, throttled_cost=5))
    budget.take(throttled=True)

    budget.reward()

    assert budget.tokens == 20


def test_what_a_retry_cost_comes_back_up_to_the_full_bucket():
    budget = RetryBudget(RETRY)
    cost = budget.take(throttled=False)

    budget.give_back(cost)
    assert budget.tokens == 20
    budget.give_back(cost)
    assert budget.tokens == 20


def test_a_free_retry_is_granted_by_an_empty_budget():
    assert RetryBudget(Retry(budget=0, cost=0)).take(throttled=False) == 0


STEPS = st.lists(st.sampled_from(["take", "throttled", "reward", "give back"]), max_size=200)


@given(STEPS, st.integers(0, 60), st.integers(0, 20), st.integers(0, 20), st.integers(0, 9))
def test_its_tokens_are_always_what_the_books_say(steps, size, cost, throttled, refill):
    budget = RetryBudget(Retry(budget=size, cost=cost, throttled_cost=throttled, refill=refill))
    books, last = size, 0
    for step in steps:
        if step in ("take", "throttled"):
            price = cost if step == "take" else throttled
            granted = budget.take(throttled=step == "throttled")
            assert granted == (price if price <= books else None)
            if granted is not None:
                books, last = books - price, price
        elif step == "reward":
            budget.reward()
            books = min(size, books + refill)
        else:
            budget.give_back(last)
            books = min(size, books + last)
        assert budget.tokens == books
        assert 0 <= books <= size


@pytest.mark.parametrize("calls", [1, 40, 1000])
def test_in_an_outage_it_grants_no_more_than_it_holds(calls):
    budget = RetryBudget(Retry())

    granted = sum(budget.take(throttled=False) is not None for _ in range(2 * calls))

    assert granted == min(2 * calls, 500 // 14)
