"""A circuit opens on failures, recloses by itself, and hears nothing that comes late."""

import asyncio
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy_kit import ENDPOINT, SERVER, failure, make_call, now, settle

from recloser.errors import CODES, CircuitOpen, RouterError
from recloser.events import CircuitChanged
from recloser.options import Breaker
from recloser.policies.breaker import CircuitBreaker, CircuitSnapshot
from recloser.testing.clock import run_virtual


async def succeed(call):
    return "yes"


async def fail(call):
    raise failure("server_error")


async def ignored(call):
    raise failure("overloaded")


class Bench:
    """A circuit, its events, and calls whose ends a test decides."""

    def __init__(self, *, rng=lambda: 0.0, lease=31.0, emit=None, **options):
        self.events = []
        self.circuit = CircuitBreaker(
            Breaker(**options), server=SERVER, endpoint=ENDPOINT, rng=rng, emit=emit or self.events.append, lease=lease
        )

    async def call(self, step, call=None):
        try:
            return await self.circuit(call or make_call(), step)
        except RouterError as error:
            return error

    async def calls(self, steps):
        """Make calls one after the other: `f` fails, `s` succeeds, `i` is ignored."""
        for letter in steps:
            await self.call({"f": fail, "s": succeed, "i": ignored}[letter])
        return self.circuit.state

    def begin(self, call=None):
        """Begin a call that is under way until its future is set; return both."""
        end = asyncio.get_running_loop().create_future()

        async def step(call):
            return await end

        return end, asyncio.create_task(self.call(step, call))

    def transitions(self):
        return [(event.previous, event.state, event.reason) for event in self.events]


def run(main, **options):
    async def with_bench():
        return await main(Bench(**options))

    return run_virtual(with_bench)


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


# -- half-open -----------------------------------------------------------------------------------------------------


def test_after_the_break_one_probe_passes_and_its_success_closes_the_circuit():
    async def main(bench):
        await bench.calls("f")
        await asyncio.sleep(2.5)
        probe_end, probe = bench.begin()
        await settle()
        rejected = await bench.call(succeed)
        half_open = bench.circuit.state
        probe_end.set_result("yes")
        assert await probe == "yes"
        return half_open, rejected.payload, bench.circuit.state, bench.transitions()

    half_open, payload, state, transitions = run(main, consecutive=1, open_for=5)
    assert (half_open, state) == ("half_open", "closed")
    assert payload.code == "circuit_open"
    assert payload.retry_after == 5.0
    assert transitions == [
        ("closed", "open", "failures"),
        ("open", "half_open", "break_over"),
        ("half_open", "closed", "probe_succeeded"),
    ]


def test_a_failing_probe_opens_the_circuit_again():
    async def main(bench):
        await bench.calls("f")
        await asyncio.sleep(2.5)
        await bench.calls("f")
        return bench.transitions(), bench.circuit.retry_after(now())

    transitions, wait = run(main, consecutive=1, open_for=5)
    assert transitions[-1] == ("half_open", "open", "probe_failed")
    assert wait == 5.0


def test_an_ignored_probe_makes_room_for_the_next():
    async def main(bench):
        await bench.calls("f")
        await asyncio.sleep(2.5)
        await bench.calls("i")
        return bench.circuit.state, bench.circuit.would_admit(now()), await bench.calls("s")

    assert run(main, consecutive=1) == ("half_open", True, "closed")


def test_a_cancelled_probe_makes_room_for_the_next():
    async def main(bench):
        await bench.calls("f")
        await asyncio.sleep(2.5)
        _, probe = bench.begin()
        await settle()
        assert not bench.circuit.would_admit(now())
        probe.cancel()
        await settle()
        return bench.circuit.state, bench.circuit.would_admit(now())

    assert run(main, consecutive=1) == ("half_open", True)


def test_a_probe_that_is_lost_does_not_wedge_the_circuit():
    async def main(bench):
        await bench.calls("f")
        await asyncio.sleep(2.5)
        lost_end, lost = bench.begin()
        await asyncio.sleep(30.9)
        too_early = bench.circuit.would_admit(now())
        await asyncio.sleep(0.1)
        in_time = bench.circuit.would_admit(now())
        second_end, second = bench.begin()
        await settle()
        # The lost one is heard of after all, and does not count: another one has taken its place.
        lost_end.set_exception(failure("timeout"))
        await lost
        unmoved = bench.circuit.state, bench.circuit.would_admit(now())
        second_end.set_result("yes")
        await second
        return too_early, in_time, unmoved, bench.circuit.state

    assert run(main, consecutive=1, lease=31) == (False, True, ("half_open", False), "closed")


def test_a_late_probe_whose_place_nobody_took_still_counts():
    async def main(bench):
        await bench.calls("f")
        await asyncio.sleep(2.5)
        end, probe = bench.begin()
        await asyncio.sleep(1000)
        end.set_exception(failure("timeout"))
        await probe
        return bench.transitions()[-1]

    assert run(main, consecutive=1) == ("half_open", "open", "probe_failed")


def test_no_more_probes_than_allowed_are_under_way():
    async def main(bench):
        await bench.calls("f")
        await asyncio.sleep(2.5)
        probes = [bench.begin() for _ in range(5)]
        await settle()
        under_way = [not task.done() for _, task in probes]
        probes[0][0].set_result("yes")
        await settle()
        still_half_open = bench.circuit.state, bench.circuit.would_admit(now())
        probes[1][0].set_result("yes")
        await settle()
        return under_way, still_half_open, bench.circuit.state

    assert run(main, consecutive=1, probes=2, successes=2) == (
        [True, True, False, False, False],
        ("half_open", True),
        "closed",
    )


def test_successes_of_probes_before_a_failure_do_not_count_later():
    async def main(bench):
        await bench.calls("f")
        for steps in ("sf", "ss"):
            await asyncio.sleep(300)
            await bench.calls(steps)
        state = bench.circuit.state
        return state, await bench.calls("s")

    assert run(main, consecutive=1, successes=3) == ("half_open", "closed")


def test_a_busy_half_open_circuit_names_no_longer_wait_than_its_first_break():
    async def main(bench):
        await bench.calls("f")
        await asyncio.sleep(100)
        bench.begin()
        await settle()
        waits = [bench.circuit.retry_after(now() + later) for later in (0, 29, 31)]
        bench.begin()
        await settle()
        return waits, bench.circuit.state

    waits, state = run(main, consecutive=1, open_for=5, lease=31)
    assert waits == [5.0, 2.0, 0.0]
    assert state == "half_open"


def test_probes_are_not_counted_into_the_window_of_the_closed_circuit():
    async def main(bench):
        call = make_call()
        await bench.call(fail, call)
        await asyncio.sleep(2.5)
        await bench.call(succeed, call)
        before = bench.circuit.snapshot()
        return before.samples, before.state, await bench.calls("f")

    assert run(main, consecutive=1) == (0, "closed", "open")


def test_a_reconnect_makes_an_open_circuit_half_open_at_once():
    async def main(bench):
        await bench.calls("f")
        bench.circuit.half_open("reconnected")
        bench.circuit.half_open("reconnected")
        return bench.circuit.state, await bench.calls("s"), bench.transitions()

    state, then, transitions = run(main, consecutive=1)
    assert (state, then) == ("half_open", "closed")
    assert transitions[1:] == [
        ("open", "half_open", "reconnected"),
        ("half_open", "closed", "probe_succeeded"),
    ]


def test_a_reconnect_changes_neither_a_closed_nor_an_isolated_circuit():
    async def main(bench):
        bench.circuit.half_open()
        closed = bench.circuit.state
        bench.circuit.isolate()
        bench.circuit.half_open()
        return closed, bench.circuit.state

    assert run(main) == ("closed", "isolated")


# -- late results --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("late", ["failure", "success"])
@pytest.mark.parametrize("state", ["open", "half_open", "closed", "isolated"])
def test_a_result_from_before_a_change_changes_nothing(late, state):
    async def main(bench):
        end, task = bench.begin()
        await settle()
        await bench.calls("f")
        if state in ("half_open", "closed"):
            bench.circuit.half_open()
        if state == "closed":
            await bench.calls("s")
        if state == "isolated":
            bench.circuit.isolate()
        before = bench.circuit.snapshot(), len(bench.events), bench.circuit.would_admit(now())
        end.set_result("yes") if late == "success" else end.set_exception(failure("timeout"))
        await task
        assert (bench.circuit.snapshot(), len(bench.events), bench.circuit.would_admit(now())) == before
        assert bench.circuit.state == state

    run(main, consecutive=1)


@pytest.mark.parametrize("late", ["failure", "success"])
def test_a_probe_from_before_a_change_changes_nothing(late):
    async def main(bench):
        await bench.calls("f")
        bench.circuit.half_open()
        end, task = bench.begin()
        await settle()
        bench.circuit.isolate()
        bench.circuit.close()
        before = bench.circuit.snapshot(), len(bench.events)
        end.set_result("yes") if late == "success" else end.set_exception(failure("timeout"))
        await task
        assert (bench.circuit.snapshot(), len(bench.events)) == before

    run(main, consecutive=1)


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


# -- who is told ---------------------------------------------------------------------------------------------------


def test_an_event_says_all_about_a_change():
    async def main(bench):
        await bench.calls("f")
        return bench.events

    assert run(main, consecutive=1, open_for=5, rng=lambda: 1.0) == [
        CircuitChanged(
            server="search", endpoint="search#1", previous="closed", state="open", reason="failures", retry_after=5.0
        )
    ]


def test_only_an_open_circuit_names_a_wait():
    async def main(bench):
        await bench.calls("f")
        bench.circuit.half_open()
        await bench.calls("s")
        return [event.retry_after for event in bench.events]

    assert run(main, consecutive=1, open_for=5) == [2.5, None, None]


def test_who_is_told_finds_the_state_that_he_is_told_of():
    seen = []

    async def main():
        bench = Bench(consecutive=1, emit=lambda event: seen.append((event.state, bench.circuit.state)))
        bench.circuit.watch(lambda: seen.append(("watcher", bench.circuit.state)))
        await bench.calls("f")
        bench.circuit.half_open()

    run_virtual(main)
    assert seen == [("open", "open"), ("watcher", "open"), ("half_open", "half_open"), ("watcher", "half_open")]


def test_whoever_changes_the_circuit_when_told_does_not_mix_up_the_order():
    first, second = [], []

    async def main():
        def emit(event):
            first.append(event.state)
            if event.state == "open":
                bench.circuit.close()
            second.append(event.state)

        bench = Bench(consecutive=1, emit=emit)
        await bench.calls("f")
        return bench.circuit.state

    assert run_virtual(main) == "closed"
    assert first == second == ["open", "closed"]


def test_a_listener_that_raises_is_heard_of_and_tells_the_rest_later():
    told = []

    async def main():
        def emit(event):
            told.append(event.state)
            if event.state == "open":
                raise LookupError("a listener's own")

        bench = Bench(consecutive=1, emit=emit)
        with pytest.raises(LookupError):
            await bench.calls("f")
        bench.circuit.close()

    run_virtual(main)
    assert told == ["open", "closed"]


def test_a_watcher_can_leave_once_and_again():
    async def main(bench):
        told = []
        leave = bench.circuit.watch(lambda: told.append("one"))
        bench.circuit.watch(lambda: told.append("two"))
        bench.circuit.isolate()
        leave()
        leave()
        bench.circuit.close()
        return told

    assert run(main) == ["one", "two", "two"]


def test_a_snapshot_tells_what_is_known():
    async def main(bench):
        fresh = bench.circuit.snapshot()
        await bench.calls("sff")
        await asyncio.sleep(7)
        counting = bench.circuit.snapshot()
        await bench.calls("fff")
        return fresh, counting, bench.circuit.snapshot(), bench.circuit

    fresh, counting, opened, circuit = run(main, open_for=5)
    blank = {"failures": 0, "samples": 0, "consecutive": 0, "retry_after": 0.0, "open_count": 0}
    assert fresh == CircuitSnapshot(state="closed", since=None, **blank)
    assert counting == CircuitSnapshot(
        state="closed", since=None, **(blank | {"failures": 2, "samples": 3, "consecutive": 2})
    )
    expected = CircuitSnapshot(state="open", since=7.0, **(blank | {"retry_after": 2.5, "open_count": 1}))
    assert opened == expected
    # Outside the event loop the moment is given.
    assert circuit.snapshot(9.0).retry_after == 0.5


def test_pybreaker_is_loaded_by_the_first_circuit_not_by_the_import():
    code = "import sys, recloser.policies.breaker; sys.exit('pybreaker' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# -- a rule of its own ---------------------------------------------------------------------------------------------


@given(st.lists(st.sampled_from("fsi"), max_size=60), st.integers(1, 6))
def test_consecutive_failures_open_it_exactly_when_so_many_came_in_a_row(steps, consecutive):
    counting = "".join(step for step in steps if step != "i")

    state = after(steps, consecutive=consecutive, volume=10_000)

    assert (state == "open") is ("f" * consecutive in counting)
