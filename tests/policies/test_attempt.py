"""An attempt returns in time, whatever the server does."""

import asyncio
import gc
import weakref

import pytest
from policy_kit import answers, fails, failure, hangs, make_call, now, settle

from recloser.call import Deadline
from recloser.errors import CriticalError, TransientError
from recloser.options import Timeouts
from recloser.policies.attempt import AttemptTimeout
from recloser.testing.clock import run_virtual

TIMEOUTS = Timeouts(total=60, attempt=30)


async def attempt(step, *, policy=None, **facts):
    """Make one attempt; return its result or error, and when it ended."""
    policy = policy or AttemptTimeout(TIMEOUTS)
    try:
        result = await policy(make_call(**facts), step)
    except TransientError as error:
        result = error
    return result, now()


def test_an_answer_in_time_comes_through():
    assert run_virtual(attempt(answers("yes", after=29.999))) == ("yes", 29.999)


def test_a_sent_request_without_an_answer_is_a_timeout_that_may_have_run():
    error, at = run_virtual(attempt(hangs()))

    assert at == 30.0
    assert error.payload.code == "timeout"
    assert error.payload.delivered == "maybe"
    assert error.payload.message == "server 'search' did not answer within 30 s; try again later"
    assert (error.payload.server, error.payload.tool) == ("search", "web")
    assert error.evidence is True


def test_a_request_that_never_left_is_unreachable_and_not_delivered():
    error, at = run_virtual(attempt(hangs(sent=False)))

    assert at == 30.0
    assert error.payload.code == "unreachable"
    assert error.payload.delivered == "no"
    assert error.payload.message == "no connection to server 'search' came about within 30 s; try again later"
    assert (error.payload.server, error.payload.tool) == ("search", "web")
    assert error.evidence is True


def test_an_error_of_the_clock_has_no_hidden_context():
    error, _ = run_virtual(attempt(hangs()))

    assert error.__context__ is None
    assert error.__cause__ is None


def test_what_is_left_of_the_deadline_ends_it_where_that_is_less():
    error, at = run_virtual(attempt(hangs(), deadline=Deadline(12.0)))

    assert at == 12.0
    assert error.payload.message == "server 'search' did not answer within 12 s; try again later"


@pytest.mark.parametrize("left", [0.0, -1.0])
def test_with_nothing_left_nothing_is_started(left):
    async def main():
        started = []
        policy = AttemptTimeout(TIMEOUTS)
        error, _ = await attempt(started.append, policy=policy, deadline=Deadline(left))
        return started, error

    started, error = run_virtual(main)

    assert started == []
    assert (error.payload.code, error.payload.delivered) == ("timeout", "no")
    assert error.payload.message == "no time was left for another attempt at server 'search'; nothing was sent"
    assert (error.payload.server, error.payload.tool) == ("search", "web")
    assert error.evidence is False


def test_a_call_whose_server_and_tool_have_no_name_is_described_all_the_same():
    async def main():
        call = make_call(deadline=Deadline(0.0)).replace(server=None, name="")
        with pytest.raises(TransientError) as caught:
            await AttemptTimeout(TIMEOUTS)(call, answers())
        left = caught.value
        with pytest.raises(TransientError) as caught:
            await AttemptTimeout(TIMEOUTS)(call.replace(deadline=None), hangs())
        return left.payload, caught.value.payload

    left, late = run_virtual(main)
    assert left.message == "no time was left for another attempt at the server; nothing was sent"
    assert left.tool is None
    assert late.message == "the server did not answer within 30 s; try again later"
    assert late.tool is None


def test_every_attempt_begins_unsent_and_with_a_limit():
    async def main():
        call = make_call(deadline=Deadline(10.0))
        call.trail.sent = True

        async def look(inner):
            return inner.trail.sent, inner.limit.at, inner.deadline is call.deadline, inner.limit is call.limit

        return await AttemptTimeout(TIMEOUTS)(call, look)

    assert run_virtual(main) == (False, 10.0, True, False)


def test_an_attempt_is_cancelled_but_never_awaited():
    async def main():
        policy = AttemptTimeout(TIMEOUTS)
        ended = []

        async def courtesy(call):
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                await asyncio.sleep(5)
                ended.append(now())

        _, at = await attempt(courtesy, policy=policy)
        gc.collect()
        held = policy.abandoned
        await asyncio.sleep(10)
        return at, held, ended, policy.abandoned

    assert run_virtual(main) == (30.0, 1, [35.0], 0)


def test_what_an_abandoned_attempt_ends_in_is_nobodys_concern(caplog):
    async def main():
        reported = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context))

        async def late_error(call):
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                raise LookupError("too late") from None

        async def late_answer(call):
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                return "too late"

        policy = AttemptTimeout(TIMEOUTS)
        for step in (late_error, late_answer):
            await attempt(step, policy=policy)
            await settle()
        gc.collect()
        return reported, policy.abandoned

    assert run_virtual(main) == ([], 0)
    assert caplog.records == []


def test_the_callers_cancellation_does_not_wait_for_the_attempt():
    async def main():
        policy = AttemptTimeout(TIMEOUTS)
        heard = []

        async def stubborn(call):
            while True:
                try:
                    await asyncio.sleep(7)
                    return
                except asyncio.CancelledError:
                    heard.append(now())

        task = asyncio.create_task(policy(make_call(), stubborn))
        await asyncio.sleep(2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        at, held = now(), policy.abandoned
        await asyncio.sleep(20)
        return at, heard, held, policy.abandoned

    assert run_virtual(main) == (2.0, [2.0], 1, 0)


@pytest.mark.parametrize("outcome", [None, LookupError("unseen")])
def test_a_cancellation_in_the_moment_of_the_outcome_reports_nothing(outcome, caplog):
    async def main():
        reported = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context))

        async def ends(call):
            # The attempt cancels its own caller in the step in which it ends, or right after it.
            await asyncio.sleep(1)
            at_once = call.params["at_once"]
            callers[0].cancel() if at_once else asyncio.get_running_loop().call_soon(callers[0].cancel)
            if outcome is not None:
                raise outcome

        for at_once in (True, False):
            call = make_call(params={"at_once": at_once})
            callers = [asyncio.create_task(AttemptTimeout(TIMEOUTS)(call, ends))]
            with pytest.raises(asyncio.CancelledError):
                await callers[0]
            callers.clear()
            gc.collect()
        return reported

    assert run_virtual(main) == []
    assert caplog.records == []


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


def test_an_error_of_another_kind_is_not_wrapped():
    async def main():
        await AttemptTimeout(TIMEOUTS)(make_call(), fails("server_fault"))

    with pytest.raises(CriticalError, match="it was server_fault") as caught:
        run_virtual(main)
    assert caught.value.__context__ is None


def test_an_ended_attempt_leaves_nothing_to_collect_on_success():
    class Answer:
        pass

    async def main():
        made = []

        async def step(call):
            answer = Answer()
            made.append(weakref.ref(answer))
            return answer

        gc.disable()
        try:
            await AttemptTimeout(TIMEOUTS)(make_call(deadline=Deadline(50.0)), step)
            await settle()
            return made[0]()
        finally:
            gc.enable()

    assert run_virtual(main) is None


def test_an_attempt_has_its_own_copy_of_the_context():
    import contextvars

    here = contextvars.ContextVar("here", default="outside")

    async def main():
        async def step(call):
            seen = here.get()
            here.set("inside")
            return seen

        here.set("caller")
        return await AttemptTimeout(TIMEOUTS)(make_call(), step), here.get()

    assert run_virtual(main) == ("caller", "caller")


def test_a_failure_before_the_limit_is_the_attempts_own():
    async def main():
        return await attempt(fails("connection_lost", after=3))

    error, at = run_virtual(main)
    assert (error.payload.code, at) == (failure("connection_lost").payload.code, 3.0)
