"""A half-open circuit recloses by itself, or opens again; and hears nothing that comes late."""

import asyncio

import pytest
from breaker_kit import fail, run, succeed
from policy_kit import failure, make_call, now, settle

from recloser.call import Deadline

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


def test_a_probe_keeps_its_place_for_as_long_as_its_call_may_run():
    async def main(bench):
        await bench.calls("f")
        await asyncio.sleep(2.5)
        deadline = Deadline(now() + 60)
        end, probe = bench.begin(make_call(deadline=deadline))
        places = []
        await asyncio.sleep(59)
        places.append(bench.circuit.would_admit(now()))  # progress lets an attempt run to the end of its call
        deadline.pause(now())
        await asyncio.sleep(250)
        places.append((bench.circuit.would_admit(now()), bench.circuit.retry_after(now())))  # somebody is asked
        deadline.resume(now())
        await asyncio.sleep(1.9)
        places.append(bench.circuit.would_admit(now()))
        end.set_result("yes")
        await probe
        return places, bench.transitions()[-1]

    places, last = run(main, consecutive=1, lease=31)
    assert places == [False, (False, 2.0), False]
    assert last == ("half_open", "closed", "probe_succeeded")


def test_a_probe_that_is_lost_makes_room_when_its_call_is_long_over():
    async def main(bench):
        await bench.calls("f")
        await asyncio.sleep(2.5)
        bench.begin(make_call(deadline=Deadline(now() + 60)))
        await asyncio.sleep(60.9)
        too_early = bench.circuit.would_admit(now())
        await asyncio.sleep(0.1)
        return too_early, bench.circuit.would_admit(now()), await bench.calls("s")

    assert run(main, consecutive=1, lease=31) == (False, True, "closed")


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
