"""The clocks of an attempt: they pause, move and run out, and its end is told by them alone."""

import asyncio

from attempt_kit import TIMEOUTS, attempt
from policy_kit import hangs, now

from recloser.call import Deadline
from recloser.policies.attempt import AttemptTimeout
from recloser.testing.clock import run_virtual


def test_a_pause_of_both_clocks_lets_the_attempt_wait():
    async def main():
        deadline = Deadline(40.0)

        async def asked_back(call):
            call.trail.sent = True
            await asyncio.sleep(20)
            for clock in (call.deadline, call.limit):
                clock.pause(now())
            await asyncio.sleep(300)
            for clock in (call.deadline, call.limit):
                clock.resume(now())
            await asyncio.get_running_loop().create_future()

        error, at = await attempt(asked_back, deadline=deadline)
        return error.payload.code, at, deadline.at

    assert run_virtual(main) == ("timeout", 330.0, 340.0)


def test_with_one_clock_paused_the_other_still_counts():
    async def pauses_limit(call):
        call.limit.pause(now())
        await asyncio.get_running_loop().create_future()

    async def pauses_total(call):
        call.deadline.pause(now())
        await asyncio.get_running_loop().create_future()

    async def main():
        _, first = await attempt(pauses_limit, deadline=Deadline(40.0))
        _, second = await attempt(pauses_total, deadline=Deadline(1000.0))
        return first, second

    assert run_virtual(main) == (40.0, 70.0)


def test_progress_may_move_the_limit_but_never_beyond_the_deadline():
    async def main():
        async def progressing(call):
            while True:
                await asyncio.sleep(10)
                call.limit.move(now() + 30)

        return await attempt(progressing, deadline=Deadline(100.0))

    error, at = run_virtual(main)
    assert at == 100.0
    assert error.payload.code == "unreachable"


def test_without_a_deadline_progress_may_go_on_for_ever():
    async def main():
        async def progressing(call):
            for _ in range(100):
                await asyncio.sleep(10)
                call.limit.move(now() + 30)
            return "done"

        return await attempt(progressing)

    assert run_virtual(main) == ("done", 1000.0)


def test_however_often_a_clock_is_moved_one_alarm_is_set():
    async def main():
        loop = asyncio.get_running_loop()

        async def progressing(call):
            for moment in range(100):
                call.limit.move(50.0 + moment)
            return sum(not timer.cancelled() for timer in loop._scheduled)

        return (await attempt(progressing))[0]

    assert run_virtual(main) == 1


def test_a_limit_that_is_moved_to_now_ends_the_attempt_now():
    async def main():
        async def hasty(call):
            await asyncio.sleep(3)
            call.limit.move(now())
            await asyncio.get_running_loop().create_future()

        return (await attempt(hasty))[1]

    assert run_virtual(main) == 3.0


def test_a_deadline_that_is_moved_earlier_ends_the_attempt_earlier():
    async def main():
        deadline = Deadline(60.0)
        asyncio.get_running_loop().call_later(3, lambda: deadline.move(5.0))
        return (await attempt(hangs(), deadline=deadline))[1]

    assert run_virtual(main) == 5.0


def test_others_who_watch_the_limit_are_told_too():
    async def main():
        told = []

        async def watching(call):
            call.limit.watch(lambda: told.append(call.limit.at))
            call.limit.move(50.0)

        await attempt(watching)
        return told

    assert run_virtual(main) == [50.0]


def test_clocks_that_move_after_the_end_change_nothing():
    async def main():
        deadline = Deadline(60.0)
        kept = []

        async def keeps(call):
            kept.append(call.limit)
            return "yes"

        before = len(asyncio.get_running_loop()._scheduled)
        result, _ = await attempt(keeps, deadline=deadline)
        kept[0].move(1.0)
        deadline.move(1.0)
        deadline.pause(2.0)
        deadline.resume(3.0)
        live = [timer for timer in asyncio.get_running_loop()._scheduled if not timer.cancelled()]
        return result, len(live) - before, deadline._watchers

    assert run_virtual(main) == ("yes", 0, [])


def test_an_answer_that_comes_while_the_loop_was_held_up_is_not_thrown_away():
    async def main():
        async def held_up(call):
            await asyncio.sleep(0)
            asyncio.get_running_loop().advance(1000)
            await asyncio.sleep(0)
            return "just in time"

        return await attempt(held_up)

    assert run_virtual(main) == ("just in time", 1000.0)


def test_an_attempt_that_ends_right_after_its_alarm_is_late_and_not_abandoned():
    async def main():
        async def nearly(call):
            call.trail.sent = True
            await asyncio.sleep(29.9)
            return "too late"

        # Both moments come due in one step of a loop that was held up: first the answer's, then the limit's.
        loop = asyncio.get_running_loop()
        loop.call_later(10, loop.advance, 1000)
        policy = AttemptTimeout(TIMEOUTS)
        error, at = await attempt(nearly, policy=policy)
        return error.payload.code, at, policy.abandoned

    assert run_virtual(main) == ("timeout", 1010.0, 0)
