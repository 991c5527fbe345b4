"""What every policy keeps, whatever its own idea is."""

import asyncio
import gc
from contextlib import nullcontext

import pytest
from policy_kit import ENDPOINT, SERVER, failure, make_call, now, raising, settle

from recloser.errors import CriticalError
from recloser.options import Breaker, Bulkhead, Retry, Timeouts
from recloser.pipeline import compose
from recloser.policies.attempt import AttemptTimeout
from recloser.policies.breaker import CircuitBreaker
from recloser.policies.budget import RetryBudget
from recloser.policies.bulkhead import BulkheadLimit
from recloser.policies.deadline import TotalDeadline
from recloser.policies.retry import Retrying
from recloser.testing.clock import run_virtual


def circuit(events, **options):
    return CircuitBreaker(Breaker(**options), server=SERVER, endpoint=ENDPOINT, emit=events.append, lease=31)


class Case:
    """One policy, and what can be read off it."""

    def __init__(self, name):
        self.events = []
        self.budget = RetryBudget(Retry())
        self.circuit = circuit(self.events, enabled=name != "disabled breaker")
        self.bulkhead = BulkheadLimit(Bulkhead(limit=3), server=SERVER, endpoint=ENDPOINT, circuit=self.circuit)
        self.attempt = AttemptTimeout(Timeouts())
        self.policy = {
            "deadline": TotalDeadline(Timeouts()),
            "retry": Retrying(Retry(), self.budget, emit=self.events.append, server=SERVER),
            "bulkhead": self.bulkhead,
            "breaker": self.circuit,
            "disabled breaker": self.circuit,
            "half-open breaker": self.circuit,
            "attempt": self.attempt,
        }[name]
        self.half_open = name == "half-open breaker"

    async def prepare(self):
        if self.half_open:
            for _ in range(5):
                with pytest.raises(Exception, match="it was server_error"):
                    await self.circuit(make_call(), raising(failure("server_error")))
            self.circuit.half_open()
            self.events.clear()
        return self

    def facts(self):
        return (
            self.events[:],
            self.budget.tokens,
            self.circuit.snapshot(),
            self.circuit.would_admit(now()),
            self.bulkhead.in_flight,
            self.bulkhead.waiting,
            self.attempt.abandoned,
        )


NAMES = ["deadline", "retry", "bulkhead", "breaker", "disabled breaker", "half-open breaker", "attempt"]
each_policy = pytest.mark.parametrize("name", NAMES)


def run(name, main):
    async def prepared():
        return await main(await Case(name).prepare())

    return run_virtual(prepared)


@each_policy
@pytest.mark.parametrize("result", [None, 0, False, "", (), object(), ValueError("a value"), NotImplemented])
def test_a_result_of_any_type_passes_through_untouched(name, result):
    async def call_next(call):
        return result

    async def main(case):
        return await case.policy(make_call(), call_next)

    assert run(name, main) is result


@each_policy
@pytest.mark.parametrize(
    "error",
    [
        failure("server_error"),
        failure("overloaded", retry_after=3.0),
        failure("circuit_open"),
        failure("unauthenticated"),
        failure("server_fault"),
        failure("invalid_request"),
        ValueError("a bug"),
        TimeoutError("not ours"),
        ExceptionGroup("two", [ValueError("a"), KeyError("b")]),
    ],
    ids=repr,
)
def test_an_error_passes_through_as_it_is(name, error):
    # Not safe to repeat, and one attempt at most: nothing but the error itself may come out.
    error.__cause__ = cause = LookupError("underneath")
    error.__traceback__ = None

    async def main(case):
        with pytest.raises(type(error)) as caught:
            await compose([case.policy], raising(error))(make_call(timeout=0.9))
        return caught.value

    assert run(name, main) is error
    assert error.__cause__ is cause
    assert error.__context__ is None


@each_policy
def test_a_cancellation_goes_out_as_it_came_and_nothing_is_counted(name):
    async def main(case):
        before = case.facts()
        heard = []

        async def call_next(call):
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError as error:
                heard.append(error.args)
                raise

        task = asyncio.create_task(case.policy(make_call(), call_next))
        await settle()
        task.cancel("enough")
        with pytest.raises(asyncio.CancelledError):
            await task
        await settle()

        assert task.cancelled()
        assert len(heard) == 1
        assert case.facts() == before

    run(name, main)


class OddError(BaseException):
    pass


@each_policy
@pytest.mark.parametrize("error", [asyncio.CancelledError(), OddError()], ids=repr)
def test_a_cancellation_that_comes_from_inside_goes_out_too_but_for_that_of_an_attempt(name, error):
    async def main(case):
        before = case.facts()
        # An attempt has a task of its own: one that ends so was cancelled by nobody who waits for it.
        expected = CriticalError if name == "attempt" else type(error)
        with pytest.raises(expected):
            await case.policy(make_call(), raising(error))
        assert case.facts() == before
        assert asyncio.current_task().cancelling() == 0

    run(name, main)


@each_policy
def test_a_second_cancellation_is_not_swallowed(name):
    async def slow_to_clean_up(call):
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await asyncio.sleep(500)

    async def main(case):
        before = case.facts()
        task = asyncio.create_task(case.policy(make_call(), slow_to_clean_up))
        await settle()
        task.cancel()
        await settle()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert now() == 0.0
        await asyncio.sleep(1000)
        assert case.facts()[:-1] == before[:-1]
        assert case.attempt.abandoned == 0

    run(name, main)


@each_policy
def test_a_timeout_of_the_caller_is_still_a_timeout(name):
    async def main(case):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(7):
                await case.policy(make_call(), lambda call: asyncio.sleep(20))
        assert now() == 7
        assert asyncio.current_task().cancelling() == 0

    run(name, main)


@each_policy
def test_the_call_itself_is_not_changed(name):
    async def main(case):
        call = make_call(meta={"a": 1})
        before = dict(call.__dict__)

        async def call_next(inner):
            assert inner.call_id == call.call_id
            assert inner.trail is call.trail
            return inner

        await case.policy(call, call_next)
        assert call.__dict__ == before

    run(name, main)


@each_policy
@pytest.mark.parametrize("outcome", ["answer", "error"])
def test_no_task_and_no_permit_is_left_behind(name, outcome):
    async def call_next(call):
        await asyncio.sleep(1)
        if outcome == "error":
            raise failure("invalid_request")
        return outcome

    async def main(case):
        for _ in range(4):
            with pytest.raises(Exception, match="invalid_request") if outcome == "error" else nullcontext():
                await case.policy(make_call(), call_next)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert case.bulkhead.in_flight == case.bulkhead.waiting == case.attempt.abandoned == 0
        assert case.circuit.would_admit(now())

    run(name, main)


@each_policy
def test_concurrent_calls_get_each_their_own_answer(name):
    async def echo(call):
        await asyncio.sleep(len(call.key) % 5)
        return call.key

    async def main(case):
        keys = ["k" * length for length in range(1, 30)]
        # A half-open circuit lets one through at a time.
        if case.half_open:
            return [await case.policy(make_call().replace(key=key), echo) for key in keys], keys
        calls = (case.policy(make_call().replace(key=key), echo) for key in keys)
        return await asyncio.gather(*calls), keys

    answers, keys = run(name, main)
    assert answers == keys


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
@each_policy
def test_the_end_of_the_program_is_not_held_up(name, error):
    with pytest.raises(type(error)):
        run(name, lambda case: case.policy(make_call(), raising(error)))
    gc.collect()
