"""An attempt returns in time, whatever the server does."""

import asyncio
import gc
import weakref

import pytest
from attempt_kit import TIMEOUTS, attempt
from policy_kit import answers, fails, failure, hangs, make_call, now, raising, settle

from recloser.call import Deadline
from recloser.errors import CriticalError, TransientError
from recloser.policies.attempt import AttemptTimeout
from recloser.testing.clock import run_virtual


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


async def cancels_its_task(call):
    asyncio.current_task().cancel()
    await asyncio.sleep(1)


@pytest.mark.parametrize(
    ("step", "exception"),
    [
        (raising(asyncio.CancelledError("mine")), "asyncio.CancelledError"),
        (cancels_its_task, "asyncio.CancelledError"),
        (raising(GeneratorExit()), "GeneratorExit"),
        (raising(BaseExceptionGroup("two", [asyncio.CancelledError(), ValueError("x")])), "BaseExceptionGroup"),
    ],
    ids=["cancelled", "cancels itself", "generator", "group"],
)
@pytest.mark.parametrize("sent", [True, False])
def test_what_only_a_server_in_this_process_can_raise_fails_its_call_and_not_its_host(step, exception, sent):
    async def main():
        async def told(call):
            call.trail.sent = sent
            await step(call)

        with pytest.raises(CriticalError) as caught:
            await AttemptTimeout(TIMEOUTS)(make_call(), told)
        assert asyncio.current_task().cancelling() == 0
        return caught.value

    error = run_virtual(main)
    payload = error.payload
    assert (payload.code, payload.delivered, payload.server) == ("internal", "maybe" if sent else "no", "search")
    assert payload.cause.exception == exception
    assert (
        payload.message == f"the call to server 'search' failed in an unforeseen way ({exception}); tell the operator."
    )
    assert type(error.__cause__).__name__ == exception.rpartition(".")[2]
