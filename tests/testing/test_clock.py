"""Virtual time passes exactly when every task waits, and only then."""

import asyncio
import hashlib
import os
import threading
from collections.abc import Coroutine

import pytest

from recloser.testing.clock import VirtualClock, VirtualLoop, run_virtual


async def now() -> float:
    return asyncio.get_running_loop().time()


def busy() -> int:
    return len(hashlib.pbkdf2_hmac("sha256", b"some", b"work", 60_000))


def test_virtual_time_begins_at_zero_and_jumps_over_a_sleep():
    async def main():
        began = await now()
        await asyncio.sleep(86_400 * 30)
        return began, await now()

    assert run_virtual(main()) == (0.0, 86_400 * 30)


def test_an_async_function_is_run_as_well_as_a_coroutine():
    assert run_virtual(now) == 0.0


def test_tasks_wake_in_the_order_of_their_moments():
    async def main():
        woken = []

        async def sleeper(seconds):
            await asyncio.sleep(seconds)
            woken.append((seconds, await now()))

        await asyncio.gather(*(sleeper(seconds) for seconds in (3, 1, 2.5)))
        return woken

    assert run_virtual(main) == [(1, 1.0), (2.5, 2.5), (3, 3.0)]


def test_a_timeout_fires_at_its_very_moment():
    async def main():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(7.25):
                await asyncio.Event().wait()
        return await now()

    assert run_virtual(main) == 7.25


def test_time_stands_still_while_a_task_works():
    async def main():
        for _ in range(100):
            await asyncio.sleep(0)
        return await now()

    assert run_virtual(main) == 0.0


def test_time_that_a_busy_loop_loses_makes_timers_late():
    async def main():
        loop = asyncio.get_running_loop()
        rung = []
        loop.call_later(3, lambda: rung.append(loop.time()))
        loop.advance(10)
        await asyncio.sleep(1)
        return rung, loop.time()

    assert run_virtual(main) == ([10.0], 11.0)


def test_what_is_already_readable_comes_before_time_jumps():
    async def main():
        loop = asyncio.get_running_loop()
        reader, writer = os.pipe()
        seen = loop.create_future()
        loop.add_reader(reader, lambda: seen.done() or seen.set_result(loop.time()))
        os.write(writer, b"x")
        try:
            async with asyncio.timeout(50):
                return await seen
        finally:
            loop.remove_reader(reader)
            os.close(reader)
            os.close(writer)

    assert run_virtual(main) == 0.0


def test_with_grace_a_thread_is_waited_for_before_time_jumps():
    async def main():
        async with asyncio.timeout(50):
            return await asyncio.to_thread(busy), await now()

    assert run_virtual(main, grace=60.0) == (32, 0.0)


def test_without_grace_a_timer_overtakes_a_thread_that_is_still_busy():
    gate = threading.Event()

    async def main():
        work = asyncio.get_running_loop().run_in_executor(None, gate.wait)
        try:
            async with asyncio.timeout(50):
                await asyncio.shield(work)
        except TimeoutError:
            return await now()
        finally:
            gate.set()
            await work

    assert run_virtual(main) == 50.0


def test_without_a_timer_a_thread_is_waited_for_in_real_time():
    async def main():
        return await asyncio.to_thread(lambda: 42)

    assert run_virtual(main) == 42


def test_a_deadlock_names_the_waiting_tasks_and_the_lines_of_the_user_where_they_wait():
    async def wait_for_nothing():
        await asyncio.Event().wait()

    async def main():
        task = asyncio.create_task(wait_for_nothing(), name="stuck one")
        await task

    with pytest.raises(RuntimeError, match="never comes: ") as told:
        run_virtual(main, patience=0.01)
    line = wait_for_nothing.__code__.co_firstlineno + 1
    assert f"stuck one at {wait_for_nothing.__qualname__} ({__file__}:{line})" in str(told.value)
    assert f"at {main.__qualname__} ({__file__}:{main.__code__.co_firstlineno + 2})" in str(told.value)


def test_a_task_without_a_line_of_the_user_is_named_with_the_innermost_line_that_it_has():
    async def main():
        await asyncio.create_task(asyncio.Event().wait(), name="a library's")

    with pytest.raises(RuntimeError, match=r"a library's at Event\.wait \(.*locks\.py:\d+\)"):
        run_virtual(main, patience=0.01)


def test_a_loop_that_is_stuck_without_a_task_says_so():
    loop = VirtualLoop(patience=0.01)
    try:
        with pytest.raises(RuntimeError, match="never comes: no task is left"):
            loop.run_forever()
    finally:
        loop.close()


def test_a_task_that_waits_for_no_line_of_python_is_still_named():
    class Bare(Coroutine):
        def __init__(self):
            self.steps = iter(asyncio.get_running_loop().create_future())

        def __await__(self):
            return self.steps

        def send(self, value):
            return self.steps.send(value)

        def throw(self, *given):
            return self.steps.throw(*given)

    async def main():
        await asyncio.get_running_loop().create_task(Bare(), name="bare")

    with pytest.raises(RuntimeError, match="bare at an unknown place"):
        run_virtual(main, patience=0.01)


def test_errors_come_out_as_they_are():
    async def main():
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        run_virtual(main)


def test_a_clock_tells_and_changes_the_time_of_what_runs_on_it():
    clock = VirtualClock(grace=0.0, patience=0.1)
    assert clock.time() == 0.0
    with pytest.raises(RuntimeError, match="nothing runs on this clock"):
        clock.advance(1)

    async def main():
        await asyncio.sleep(2)
        clock.advance(3)
        return clock.time(), await now()

    assert clock.run(main) == (5.0, 5.0)
    assert clock.time() == 5.0
    with pytest.raises(RuntimeError, match="nothing runs on this clock"):
        clock.advance(1)
    assert clock.run(now()) == 0.0


def test_the_patience_of_a_clock_is_that_of_its_loops():
    async def stuck():
        await asyncio.get_running_loop().create_future()

    with pytest.raises(RuntimeError, match="every task waits for something that never comes"):
        VirtualClock(patience=0.01).run(stuck)
