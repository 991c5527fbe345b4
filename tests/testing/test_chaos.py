"""Chaos policies: whom they strike, and how long it takes."""

from __future__ import annotations

import asyncio
import math
import random
import re
from typing import Any

import pytest
from chaos_policy_kit import Peer, a_call, failed, now, through

from recloser.errors import RouterError, TransientError
from recloser.options import Timeouts
from recloser.pipeline import compose
from recloser.policies.attempt import AttemptTimeout
from recloser.testing import chaos
from recloser.testing.chaos import (
    AuthFailure,
    Blackhole,
    ChaosPolicy,
    Disconnect,
    Fault,
    Garbage,
    Latency,
    RateLimited,
    exponential,
    lognormal,
    normal,
    uniform,
)
from recloser.testing.clock import run_virtual

POLICIES = (Latency(1), Fault("server_error"), Blackhole(), Disconnect(), AuthFailure(), RateLimited(), Garbage())


# --- whom they strike


def strikes(policy: ChaosPolicy, calls: int = 200) -> list[int]:
    async def main() -> list[int]:
        found = []
        for number in range(calls):
            before = policy.struck
            try:
                await policy(a_call(), Peer())
            except RouterError:
                assert policy.struck == before + 1
                found.append(number)
        return found

    return run_virtual(main)


def test_the_same_seed_strikes_the_same_calls_and_another_one_others() -> None:
    once, again, other = (strikes(Fault("server_error", rate=0.3, seed=seed)) for seed in (7, 7, 8))
    assert once == again
    assert once != other
    assert 30 < len(once) < 90


def test_of_two_runs_with_one_seed_the_lower_rate_strikes_a_part_of_what_the_other_does() -> None:
    few, many = (set(strikes(Fault("server_error", rate=rate, seed=3))) for rate in (0.1, 0.5))
    assert few < many


@pytest.mark.parametrize(("rate", "struck"), [(0, 0), (1, 50)])
def test_a_rate_of_nought_strikes_none_and_one_of_one_all(rate: float, struck: int) -> None:
    policy = Fault("server_error", rate=rate)
    assert len(strikes(policy, 50)) == struck == policy.struck
    assert policy.seen == 50


def test_a_seed_that_was_not_given_is_told_so_that_the_run_can_be_repeated() -> None:
    first = Fault("server_error", rate=0.5)
    assert strikes(first) == strikes(Fault("server_error", rate=0.5, seed=first.seed))
    assert f"seed={first.seed}" in repr(first)


def test_what_a_fault_draws_for_itself_does_not_shift_whom_it_strikes() -> None:
    def struck(delay: Any) -> list[int]:
        policy = Latency(delay, rate=0.4, seed=1)

        async def main() -> list[int]:
            found = []
            for number in range(100):
                before = policy.struck
                await policy(a_call(), Peer())
                found += [number] if policy.struck > before else []
            return found

        return run_virtual(main)

    assert struck(1.0) == struck(uniform(0, 1))


def test_it_can_be_switched_off_and_on_and_its_rate_be_changed_while_it_is_used() -> None:
    policy = Fault("server_error", active=False)
    assert not policy.active
    assert strikes(policy, 3) == []
    policy.on()
    assert strikes(policy, 3) == [0, 1, 2]
    policy.rate = 0
    assert strikes(policy, 3) == []
    policy.rate = 1
    policy.off()
    assert strikes(policy, 3) == []
    assert (policy.seen, policy.struck) == (6, 3)
    assert "off, 3 of 6" in repr(policy)


@pytest.mark.parametrize("tools", ["w*", ["grep", "web"]])
def test_only_the_calls_of_the_tools_that_it_is_meant_for_are_struck(tools: Any) -> None:
    policy = Fault("server_error", tools=tools)
    assert failed(policy, call=a_call("web")).payload.code == "server_error"
    through(policy, call=a_call("other"))
    through(policy, call=a_call("web").replace(method="prompts/get"))
    assert (policy.seen, policy.struck) == (1, 1)


def test_a_condition_of_the_users_own_decides_call_by_call() -> None:
    policy = Fault("server_error", when=lambda call: call.caller == "bob")
    through(policy, call=a_call(caller="alice"))
    assert failed(policy, call=a_call(caller="bob")).payload.code == "server_error"


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan")])
def test_a_rate_that_is_no_share_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="rate must be between 0 and 1"):
        Fault("server_error", rate=rate)


@pytest.mark.parametrize("rate", [True, "0.5", None])
def test_a_rate_that_is_no_number_is_refused(rate: Any) -> None:
    with pytest.raises(TypeError, match="rate must be a number"):
        Fault("server_error", rate=rate)


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: type(policy).__name__)
def test_each_says_what_it_simulates_and_what_comes_of_it(policy: ChaosPolicy) -> None:
    assert policy.simulates
    assert policy.outcome
    assert "Simulates" in (type(policy).__doc__ or "")


def test_what_the_room_offers_is_what_it_names() -> None:
    assert chaos.__all__ == sorted(chaos.__all__)
    assert all(hasattr(chaos, name) for name in chaos.__all__)


# --- time


@pytest.mark.parametrize("phase", ["before", "after"])
def test_a_latency_is_waited_for_and_the_call_goes_through(phase: Any) -> None:
    peer = Peer()

    async def main() -> float:
        assert await Latency(2.5, phase=phase)(a_call(), peer) is peer.answer
        return now()

    assert run_virtual(main) == 2.5
    assert peer.executions == 1


def test_an_error_is_late_too() -> None:
    async def main() -> None:
        with pytest.raises(TransientError):
            await compose([Latency(2), Fault("server_error")], Peer())(a_call())
        assert now() == 2

    run_virtual(main)


@pytest.mark.parametrize(
    ("phase", "code", "executions"), [("after", "timeout", 1), ("before", "unreachable", 0)], ids=["after", "before"]
)
def test_a_latency_beyond_the_limit_is_what_a_slow_peer_is(phase: Any, code: str, executions: int) -> None:
    peer = Peer()
    error = failed(AttemptTimeout(Timeouts(attempt=1, total=5)), Latency(10, phase=phase), peer=peer)
    assert (error.payload.code, peer.executions) == (code, executions)


@pytest.mark.parametrize("delay", [uniform(0.1, 0.2), normal(0.2, 0.05), exponential(0.3), lognormal(0.1, 2.0)])
def test_a_distribution_gives_the_same_delays_again_and_shows_its_numbers(delay: Any) -> None:
    def delays() -> list[float]:
        policy = Latency(delay, seed=5)

        async def main() -> list[float]:
            found = []
            for _ in range(20):
                begun = now()
                await policy(a_call(), Peer())
                found.append(now() - begun)
            return found

        return run_virtual(main)

    assert delays() == delays()
    assert len(set(delays())) > 15
    assert str(next(iter(vars(delay).values()))) in repr(delay)


def test_distributions_are_where_they_say() -> None:
    numbers = random.Random(1)
    drawn = sorted(lognormal(0.1, 2.0)(numbers) for _ in range(10_000))
    assert drawn[5000] == pytest.approx(0.1, rel=0.1)
    assert drawn[9900] == pytest.approx(2.0, rel=0.2)
    assert sum(exponential(0.3)(numbers) for _ in range(10_000)) / 10_000 == pytest.approx(0.3, rel=0.1)
    assert exponential(0)(numbers) == 0
    assert sum(normal(5, 1)(numbers) for _ in range(10_000)) / 10_000 == pytest.approx(5, rel=0.01)
    assert all(1 <= uniform(1, 2)(numbers) <= 2 for _ in range(100))


def test_a_delay_below_nought_is_none() -> None:
    async def main() -> float:
        await Latency(lambda _: -1.0)(a_call(), Peer())
        return now()

    assert run_virtual(main) == 0


def test_delays_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="delay must not be negative"):
        Latency(-1)
    with pytest.raises(ValueError, match="phase must be one of before, after, got 'during'"):
        Latency(1, phase="during")
    with pytest.raises(ValueError, match="0 < median <= p99"):
        lognormal(2, 1)
    with pytest.raises(ValueError, match="phase must be one of before, during, after"):
        Blackhole(phase="sometimes")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: uniform(3, 1), "uniform needs low <= high, got 3 and 1"),
        (lambda: uniform(math.nan, 1), "low must be finite, got nan"),
        (lambda: uniform(0, math.inf), "high must be finite, got inf"),
        (lambda: normal(0.1, -1), "deviation must not be negative, got -1"),
        (lambda: normal(math.nan, 1), "mean must be finite, got nan"),
        (lambda: exponential(math.nan), "mean must be finite, got nan"),
        (lambda: exponential(-1), "mean must not be negative, got -1"),
        (lambda: lognormal(1, math.inf), "p99 must be finite, got inf"),
    ],
)
def test_distributions_of_which_there_are_none_are_refused(make: Any, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        make()


def test_a_distribution_may_lean_below_zero() -> None:
    assert (uniform(-1, -1)(random.Random(1)), normal(-1, 0)(random.Random(1))) == (-1, -1)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"seed": 1.5}, "seed must be a whole number, got 1.5"),
        ({"seed": "x"}, "seed must be a whole number, got 'x'"),
        ({"seed": True}, "seed must be a whole number, got True"),
        ({"when": 5}, "when must be a function of a call, got 5"),
        ({"active": "no"}, "active must be True or False, got 'no'"),
    ],
)
def test_what_a_policy_is_told_is_of_the_right_kind(wrong: Any, said: str) -> None:
    with pytest.raises(TypeError, match=re.escape(said)):
        Fault("timeout", **wrong)


@pytest.mark.parametrize(
    ("phase", "code", "delivered", "executions"),
    [("before", "unreachable", "no", 0), ("during", "timeout", "maybe", 0), ("after", "timeout", "maybe", 1)],
)
def test_a_black_hole_ends_at_the_limit_of_the_attempt(phase: Any, code: str, delivered: str, executions: int) -> None:
    peer = Peer()

    async def main() -> None:
        with pytest.raises(TransientError) as caught:
            await compose([AttemptTimeout(Timeouts(attempt=3, total=9)), Blackhole(phase=phase)], peer)(a_call())
        assert now() == 3
        assert (caught.value.payload.code, caught.value.payload.delivered) == (code, delivered)
        assert caught.value.evidence
        assert peer.executions == executions

    run_virtual(main)


def test_a_call_in_a_black_hole_is_cancelled_like_any_other() -> None:
    async def main() -> None:
        task = asyncio.create_task(compose([Blackhole()], Peer())(a_call()))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_virtual(main)
