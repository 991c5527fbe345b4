"""What a call leaves behind is done, in order, when there is time."""

from __future__ import annotations

import asyncio

import pytest

from recloser.later import LINGER, SLICE, Later, at_once
from recloser.testing.clock import run_virtual


def test_jobs_wait_for_others_and_are_done_in_order() -> None:
    async def main() -> list[int]:
        later, done = Later(), []
        for number in range(3):
            later(done.append, number)
        assert done == []
        await asyncio.sleep(LINGER)
        return done

    assert run_virtual(main()) == [0, 1, 2]


def test_many_jobs_let_others_run_between_them() -> None:
    async def main() -> list[int]:
        later, done, seen = Later(), [], []
        for number in range(2 * SLICE + 1):
            later(done.append, number)
        await asyncio.sleep(LINGER)
        while len(done) < 2 * SLICE + 1:
            seen.append(len(done))
            await asyncio.sleep(0)
        return seen

    assert set(run_virtual(main())) == {SLICE, 2 * SLICE}


def test_one_timer_serves_many_jobs_and_the_next_job_sets_another() -> None:
    async def main() -> list[float]:
        later, times, loop = Later(), [], asyncio.get_running_loop()

        def job() -> None:
            times.append(loop.time())

        later(job)
        await asyncio.sleep(LINGER / 2)
        later(job)
        await asyncio.sleep(LINGER)
        later(job)
        await asyncio.sleep(LINGER)
        return times

    assert run_virtual(main()) == pytest.approx([LINGER, LINGER, 2.5 * LINGER])


def test_what_waits_is_done_at_once_at_the_end_and_only_once() -> None:
    async def main() -> list[int]:
        later, done = Later(), []
        later.close()
        later(done.append, 1)
        later(later.close)
        later(done.append, 2)
        later.close()
        assert done == [1, 2]
        await asyncio.sleep(LINGER)
        return done

    assert run_virtual(main()) == [1, 2]


def test_a_job_that_fails_is_logged_and_the_next_one_is_done(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> list[int]:
        later, done = Later(), []
        later(int, "x")
        later(done.append, 1)
        later.close()
        return done

    assert run_virtual(main()) == [1]
    assert "int failed" in caplog.text


def test_another_thread_may_have_all_done_that_waits() -> None:
    async def main() -> list[int]:
        later, done = Later(), []
        later(done.append, 1)
        later(done.append, 2)
        await asyncio.to_thread(later.drain)
        assert done == [1, 2]
        await asyncio.sleep(LINGER)
        later(done.append, 3)
        await asyncio.sleep(LINGER)
        return done

    assert asyncio.run(main()) == [1, 2, 3]


def test_at_once_means_now() -> None:
    done: list[int] = []
    at_once(done.append, 1)
    assert done == [1]
