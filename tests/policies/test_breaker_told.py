"""Who is told of a circuit, when, and what there is to be seen of it."""

import asyncio
import subprocess
import sys

import pytest
from breaker_kit import Bench, run

from recloser.events import CircuitChanged
from recloser.policies.breaker import CircuitSnapshot
from recloser.testing.clock import run_virtual


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
