"""The window of what is counted: on the loop's time, and in bounded memory."""

from __future__ import annotations

import asyncio
import math
import random

import pytest
from stats_kit import nothing, of_one, told

from recloser.telemetry import stats
from recloser.telemetry.stats import Stats
from recloser.telemetry.window import GROWTH, LONGEST, SHORTEST, Numbers, Window
from recloser.testing.clock import run_virtual
from support.status import attempt, call, health

# --- the window


def test_what_is_older_than_the_window_does_not_count() -> None:
    async def tell(heard: Stats) -> None:
        heard(call(duration=50.0))
        await asyncio.sleep(50)
        heard(call(duration=1.0))
        await asyncio.sleep(30)

    traffic = of_one(tell)["traffic"]
    assert (traffic["calls"], traffic["longest"]) == (1, 1.0)
    assert traffic["p95"] == pytest.approx(1.0, rel=0.025)


def test_a_server_that_nobody_calls_any_more_has_no_traffic() -> None:
    async def tell(heard: Stats) -> None:
        heard(call())
        await asyncio.sleep(61)

    found = told(tell)
    assert (found["traffic"]["calls"], found["traffic"]["rate"]) == (0, 0.0)
    assert found["uptime"] == 61.0


@pytest.mark.parametrize("seconds", [7.0, 55.0, 60.0, 3607.0])
def test_the_rate_is_that_of_the_time_which_is_covered(seconds: float) -> None:
    async def tell(heard: Stats) -> None:
        for _ in range(int(seconds * 2)):
            heard(call())
            await asyncio.sleep(0.5)

    found = told(tell)
    covered = found["window"]["covered"]
    assert min(seconds, 55.0) <= covered <= min(seconds, 60.0) + 1e-6
    assert found["traffic"]["rate"] == pytest.approx(2.0, rel=0.03)


def test_a_moment_after_the_start_the_rate_is_not_blown_up() -> None:
    async def tell(heard: Stats) -> None:
        heard(call())
        await asyncio.sleep(0.001)

    assert of_one(tell)["traffic"]["rate"] == 1.0


def test_the_window_can_be_another() -> None:
    async def tell(heard: Stats) -> None:
        heard(call())
        await asyncio.sleep(13)
        heard(call())

    found = told(tell, window=12.0)
    assert found["window"]["seconds"] == 12.0
    assert found["traffic"]["calls"] == 1


@pytest.mark.parametrize("window", [0, -1.0, float("nan")])
def test_a_window_of_nothing_is_refused(window: float) -> None:
    with pytest.raises(ValueError, match="window must be more than 0 s"):
        Stats(window=window)


def test_before_the_first_event_there_is_a_document_too() -> None:
    found = told(nothing)
    assert (found["uptime"], found["window"]["covered"], found["changes"]) == (None, 0.0, [])
    assert found["servers"][0]["last_request"] is None


@pytest.mark.parametrize("seed", range(5))
def test_quantiles_are_right_to_two_and_a_half_percent(seed: int) -> None:
    rng = random.Random(seed)
    durations = [min(rng.lognormvariate(-3, 2), 3000.0) for _ in range(997)]
    numbers = Numbers()
    for duration in durations:
        numbers.took(duration)
    exact = [sorted(durations)[math.ceil(share * 997) - 1] for share in (0.5, 0.95)]
    assert numbers.quantiles(0.5, 0.95) == pytest.approx(exact, rel=GROWTH**0.5 - 1 + 1e-9)


def test_durations_beyond_all_measure_are_held_at_the_ends() -> None:
    numbers = Numbers()
    for duration in (0.0, -1.0, SHORTEST, LONGEST * 1000, float("inf")):
        numbers.took(duration)
    low, high = numbers.quantiles(0.5, 1.0)
    assert low == pytest.approx(SHORTEST, rel=0.03)
    assert high == pytest.approx(LONGEST, rel=0.03)
    assert len(numbers.durations) == 2


def test_a_window_s_sum_is_what_a_recount_finds() -> None:
    rng = random.Random(3)
    window, kept, now = Window(5.0, 12), [], 0.0
    for _ in range(3000):
        now += rng.expovariate(2.0) if rng.random() < 0.999 else 70.0
        key, duration = rng.choice("abc"), rng.random()
        kept.append((int(now // 5.0), key, duration))
        numbers = window.at(now)
        numbers.count(key)
        numbers.took(duration)
        if rng.random() < 0.1:
            left = [one for one in kept if int(now // 5.0) - 12 < one[0]]
            total = window.total(now)
            assert total.counts == {key: n for key in "abc" if (n := sum(one[1] == key for one in left))}
            assert sum(total.durations.values()) == len(left)
            assert total.longest == max(one[2] for one in left)


# --- memory and cost


def test_memory_does_not_grow_with_calls_or_codes() -> None:
    import tracemalloc

    async def main() -> tuple[int, int]:
        heard, rng = Stats(), random.Random(1)

        async def a_minute() -> None:
            for number in range(1200):
                heard(attempt(code="timeout" if number % 3 else None, call_id=str(number)))
                heard(call(duration=rng.lognormvariate(-3, 2), call_id=str(number)))
                await asyncio.sleep(0.05)

        await a_minute()
        tracemalloc.start()
        sizes = []
        for _ in range(2):
            await a_minute()
            sizes.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
        return sizes[0], sizes[1]

    first, second = run_virtual(main())
    assert second < first + 64 * 1024


def test_servers_that_come_and_go_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stats, "SERVERS", 3)

    async def tell(heard: Stats) -> None:
        for name in ("a", "b", "c"):
            heard(call(name))
            await asyncio.sleep(1)
        heard(call("a"))
        heard(call("d"))  # pushes out b, which was heard of least recently
        heard(call("d"))

    found = told(tell, {name: health(name) for name in "abcd"})
    assert {server["name"]: server["traffic"]["calls"] for server in found["servers"]} == {
        "a": 2,
        "b": 0,
        "c": 1,
        "d": 2,
    }
