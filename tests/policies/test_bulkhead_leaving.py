"""Who leaves the queue without a permit: because he was cancelled, or the circuit has opened."""

import asyncio

from bulkhead_kit import Circuit, Doors, make, outcome
from policy_kit import now, settle

from recloser.call import Deadline
from recloser.errors import CircuitOpen
from recloser.testing.clock import run_virtual


def test_neither_a_permit_nor_an_opening_circuit_reaches_who_is_cancelled_already():
    async def main():
        circuit = Circuit()
        doors = Doors(make(circuit=circuit))
        doors.start("a")
        waiting = [doors.start("b"), doors.start("c")]
        await settle()
        for task in waiting:
            task.cancel()
        # Both have heard of it only after what follows.
        doors.let_out("a")
        await asyncio.sleep(0)
        assert doors.bulkhead.in_flight == 0
        await settle()

        doors.start("d")
        late = doors.start("e")
        await settle()
        late.cancel()
        circuit.become(admits=False)
        doors.let_out("d")
        await settle()
        return [task.cancelled() for task in (*waiting, late)], doors.bulkhead.in_flight, doors.bulkhead.waiting

    assert run_virtual(main) == ([True, True, True], 0, 0)


def test_when_the_circuit_opens_all_who_wait_leave():
    async def main():
        circuit = Circuit()
        doors = Doors(make(circuit=circuit))
        doors.start("a")
        waiting = [doors.start(name) for name in "bcd"]
        await asyncio.sleep(2)
        circuit.become(admits=False)
        errors = await asyncio.gather(*waiting, return_exceptions=True)
        assert now() == 2.0
        assert doors.bulkhead.waiting == 0
        assert doors.bulkhead.in_flight == 1
        doors.let_out("a")
        await settle()
        assert doors.bulkhead.in_flight == 0
        return errors

    errors = run_virtual(main)
    assert [type(error) for error in errors] == [CircuitOpen] * 3
    assert errors[0].payload.retry_after == 3.0


def test_while_the_circuit_is_open_nobody_queues():
    async def main():
        circuit = Circuit()
        doors = Doors(make(circuit=circuit))
        doors.start("a")
        await settle()
        circuit.become(admits=False)
        task = doors.start("b")
        code = await outcome(task)
        return code, doors.bulkhead.waiting, now()

    assert run_virtual(main) == ("circuit_open", 0, 0.0)


def test_the_circuit_is_asked_about_the_moment_at_which_a_call_would_wait():
    class Timed(Circuit):
        def would_admit(self, now, /):
            return now >= 5.0

    async def main():
        doors = Doors(make(circuit=Timed()))
        doors.start("a")
        await settle()
        early = await outcome(doors.start("b"))
        await asyncio.sleep(5.0)
        late = doors.start("c")
        await settle()
        waiting = doors.bulkhead.waiting
        doors.let_out("a")
        doors.let_out("c")
        return early, waiting, await late

    assert run_virtual(main) == ("circuit_open", 1, "c")


def test_a_call_with_little_time_left_waits_for_as_long_as_that():
    async def main():
        doors = Doors(make())
        doors.start("a")
        await settle()
        task = doors.start("b", deadline=Deadline(0.5))
        asyncio.get_running_loop().call_later(0.4, doors.let_out, "a")
        asyncio.get_running_loop().call_later(0.6, doors.let_out, "b")
        return await task

    assert run_virtual(main) == "b"


def test_a_change_that_lets_calls_through_sends_nobody_away():
    async def main():
        circuit = Circuit()
        doors = Doors(make(circuit=circuit))
        doors.start("a")
        doors.start("b")
        await settle()
        circuit.become(admits=True)
        await settle()
        assert doors.bulkhead.waiting == 1
        doors.let_out("a")
        doors.let_out("b")
        return await doors.tasks["b"]

    assert run_virtual(main) == "b"


def test_a_cancelled_waiter_leaves_the_queue():
    async def main():
        doors = Doors(make())
        doors.start("a")
        doors.start("b")
        doors.start("c")
        await settle()
        doors.tasks["b"].cancel()
        await settle()
        assert doors.bulkhead.waiting == 1
        doors.let_out("a")
        await settle()
        return doors.inside

    assert run_virtual(main) == ["a", "c"]


def test_a_permit_that_reaches_a_cancelled_waiter_goes_on_to_the_next():
    async def main():
        doors = Doors(make())
        doors.start("a")
        doors.start("b")
        doors.start("c")
        await settle()
        doors.let_out("a")
        # It comes after the permit was handed to b, and before b runs.
        asyncio.get_running_loop().call_soon(doors.tasks["b"].cancel)
        await settle()
        return doors.inside, doors.tasks["b"].cancelled()

    assert run_virtual(main) == (["a", "c"], True)
