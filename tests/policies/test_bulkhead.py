"""How many attempts are in flight, and who waits for whom."""

import asyncio

import pytest
from bulkhead_kit import Circuit, Doors, make, outcome
from hypothesis import given, settings
from hypothesis import strategies as st
from policy_kit import make_call, now, settle

from recloser.call import Deadline
from recloser.errors import RouterError
from recloser.testing.clock import run_virtual


def test_up_to_the_limit_nobody_waits():
    async def main():
        doors = Doors(make(limit=3))
        for name in "abc":
            doors.start(name)
        await settle()
        assert (doors.inside, doors.bulkhead.in_flight, doors.bulkhead.waiting) == (["a", "b", "c"], 3, 0)
        assert repr(doors.bulkhead) == "BulkheadLimit('search#1', 3 of 3, waiting=0)"
        for name in "abc":
            doors.let_out(name)
        assert await asyncio.gather(*doors.tasks.values()) == ["a", "b", "c"]
        assert doors.bulkhead.in_flight == 0

    run_virtual(main)


def test_beyond_the_limit_those_who_wait_come_in_in_order():
    async def main():
        doors = Doors(make(limit=2))
        for name in "abcde":
            doors.start(name)
        await settle()
        assert (doors.inside, doors.bulkhead.waiting) == (["a", "b"], 3)
        for leaving, entering in (("b", "c"), ("a", "d"), ("c", "e")):
            doors.let_out(leaving)
            await settle()
            assert doors.inside[-1] == entering
            assert doors.bulkhead.in_flight == 2
        doors.let_out("d")
        doors.let_out("e")
        await settle()
        assert (doors.bulkhead.in_flight, doors.bulkhead.waiting) == (0, 0)

    run_virtual(main)


def test_a_newcomer_does_not_overtake_one_who_waits():
    async def main():
        doors = Doors(make())
        doors.start("a")
        doors.start("b")
        await settle()
        doors.let_out("a")
        newcomer = doors.bulkhead(make_call(), doors.enter)
        # Its first step comes after the permit was handed to b, and before b runs.
        asyncio.get_running_loop().call_soon(newcomer.send, None)
        await settle()
        assert doors.inside == ["a", "b"]
        assert doors.bulkhead.waiting == 1
        newcomer.close()
        doors.let_out("b")
        await settle()
        return doors.bulkhead.in_flight, doors.bulkhead.waiting

    assert run_virtual(main) == (0, 0)


def test_who_would_wait_past_the_deadline_is_turned_away_at_it():
    async def main():
        doors = Doors(make())
        doors.start("a")
        late = doors.start("b", deadline=Deadline(5.0))
        patient = doors.start("c", deadline=Deadline(50.0))
        with pytest.raises(RouterError) as caught:
            await late
        at = now()
        assert doors.bulkhead.waiting == 1
        doors.let_out("a")
        doors.let_out("c")
        assert await patient == "c"
        assert doors.bulkhead.in_flight == doors.bulkhead.waiting == 0
        return caught.value, at, doors.inside

    error, at, inside = run_virtual(main)
    assert at == 5.0
    assert inside == ["a", "c"]
    assert error.payload.code == "bulkhead_full"
    assert error.payload.delivered == "no"
    assert (error.payload.server, error.payload.tool) == ("search", "web")
    assert error.evidence is False
    assert error.payload.message == (
        "server 'search' already has 1 calls in flight, and none ended in time for this one; try again later"
    )


@pytest.mark.parametrize("deadline", [0.0, -3.0])
def test_with_no_time_left_nobody_queues(deadline):
    async def main():
        doors = Doors(make())
        doors.start("a")
        await settle()
        task = doors.start("b", deadline=Deadline(deadline))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert task.done()
        return await outcome(task), doors.bulkhead.waiting

    assert run_virtual(main) == ("bulkhead_full", 0)


def test_an_uncontended_call_does_not_look_at_its_deadline():
    async def main():
        doors = Doors(make())
        task = doors.start("a", deadline=Deadline(-1.0))
        doors.let_out("a")
        return await task

    assert run_virtual(main) == "a"


def test_a_call_without_a_name_names_no_tool():
    async def main():
        doors = Doors(make())
        doors.start("a")
        await settle()
        with pytest.raises(RouterError) as caught:
            await doors.bulkhead(make_call(deadline=Deadline(1.0)).replace(name=""), doors.enter)
        return caught.value.payload.tool

    assert run_virtual(main) is None


def test_a_deadline_that_stands_still_or_moves_is_waited_for():
    async def main():
        doors = Doors(make())
        deadline = Deadline(5.0)
        doors.start("a")
        task = doors.start("b", deadline=deadline)
        await asyncio.sleep(4)
        deadline.pause(now())
        await asyncio.sleep(100)
        assert not task.done()
        deadline.resume(now())
        deadline.move(110.0)
        code = await outcome(task)
        return code, now(), deadline._watchers

    assert run_virtual(main) == ("bulkhead_full", 110.0, [])


def test_no_alarm_and_no_watcher_outlives_the_wait():
    async def main():
        loop = asyncio.get_running_loop()
        doors = Doors(make())
        deadline = Deadline(50.0)
        doors.start("a")
        doors.start("b", deadline=deadline)
        await settle()
        for moment in range(100):
            deadline.move(60.0 + moment)
        waiting = sum(not timer.cancelled() for timer in loop._scheduled)
        doors.let_out("a")
        await settle()
        after = sum(not timer.cancelled() for timer in loop._scheduled)
        doors.let_out("b")
        await doors.tasks["b"]
        return waiting, after, deadline._watchers

    assert run_virtual(main) == (1, 0, [])


def test_a_deadline_that_stands_still_from_the_beginning_is_waited_for():
    async def main():
        doors = Doors(make())
        deadline = Deadline(5.0)
        deadline.pause(0.0)
        doors.start("a")
        task = doors.start("b", deadline=deadline)
        await asyncio.sleep(100)
        assert not task.done()
        doors.let_out("a")
        doors.let_out("b")
        return await task

    assert run_virtual(main) == "b"


def test_a_permit_that_comes_at_the_deadline_itself_is_not_lost():
    async def main():
        doors = Doors(make())
        deadline = Deadline(5.0)
        doors.start("a")
        task = doors.start("b", deadline=deadline)
        doors.start("c")
        await settle()
        # The loop is held up beyond the deadline, and the permit comes first.
        asyncio.get_running_loop().advance(10)
        doors.let_out("a")
        doors.let_out("b")
        await settle()
        first = await outcome(task)
        doors.let_out("c")
        await settle()
        return first, doors.inside, doors.bulkhead.in_flight

    code, inside, in_flight = run_virtual(main)
    assert in_flight == 0
    assert (code, inside) in [("b", ["a", "b", "c"]), ("bulkhead_full", ["a", "c"])]


STEPS = st.lists(
    st.tuples(st.sampled_from(["start", "finish", "cancel", "tick", "open", "close", "yield"]), st.integers(0, 30)),
    max_size=80,
)


@settings(max_examples=150)
@given(STEPS, st.integers(1, 4))
def test_no_permit_is_ever_lost_or_made(steps, limit):
    async def main():
        circuit = Circuit()
        bulkhead = make(limit, circuit)
        doors = Doors(bulkhead)
        for number, (step, which) in enumerate(steps):
            names = list(doors.tasks)
            if step == "start":
                doors.start(f"call {number}", deadline=Deadline(now() + which) if which % 3 else None)
            elif step == "tick":
                await asyncio.sleep(which)
            elif step == "yield":
                await asyncio.sleep(0)
            elif step in ("open", "close"):
                circuit.become(admits=step == "close")
            elif names and step == "finish":
                doors.let_out(names[which % len(names)])
            elif names:
                doors.tasks[names[which % len(names)]].cancel()
            assert 0 <= bulkhead.in_flight <= limit
            # Nobody waits while a permit lies idle.
            live = sum(not turn.done() for turn in bulkhead._waiters)
            assert live == 0 or bulkhead.in_flight == limit
        for name in doors.tasks:
            doors.let_out(name)
        await asyncio.gather(*doors.tasks.values(), return_exceptions=True)
        assert (bulkhead.in_flight, bulkhead.waiting) == (0, 0)
        circuit.become(admits=True)
        # All permits are there: as many as the limit come in at once, and one more waits.
        again = Doors(bulkhead)
        for number in range(limit + 1):
            again.start(f"again {number}")
        await settle()
        assert (bulkhead.in_flight, bulkhead.waiting) == (limit, 1)
        for name in again.tasks:
            again.let_out(name)
        await asyncio.gather(*again.tasks.values())
        assert (bulkhead.in_flight, bulkhead.waiting) == (0, 0)

    run_virtual(main)
