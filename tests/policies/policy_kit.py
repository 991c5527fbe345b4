"""A peer that does what its script says, and the whole pipeline around it, on virtual time."""

import asyncio
from collections.abc import Callable
from typing import Any

from recloser.call import Call
from recloser.errors import RouterError, error_for
from recloser.options import Breaker, Bulkhead, Retry, Timeouts
from recloser.pipeline import compose
from recloser.policies.attempt import AttemptTimeout
from recloser.policies.breaker import CircuitBreaker
from recloser.policies.budget import RetryBudget
from recloser.policies.bulkhead import BulkheadLimit
from recloser.policies.deadline import TotalDeadline
from recloser.policies.retry import Retrying
from recloser.testing.clock import run_virtual

SERVER = "search"
ENDPOINT = "search#1"
QUICK = Timeouts(total=60, attempt=5)


def make_call(**facts: Any) -> Call[Any]:
    return Call(method="tools/call", key="search__web", server=SERVER, name="web", **facts)


def now() -> float:
    return asyncio.get_running_loop().time()


def failure(code: str, **facts: Any) -> RouterError:
    return error_for(code, f"it was {code}", server=SERVER, **facts)


Step = Callable[[Call[Any]], Any]


def answers(value: Any = "answer", *, after: float = 0.0) -> Step:
    async def step(call):
        call.trail.sent = True
        await asyncio.sleep(after)
        return value

    return step


def fails(code: str, *, after: float = 0.0, sent: bool = True, **facts: Any) -> Step:
    async def step(call):
        call.trail.sent = sent
        await asyncio.sleep(after)
        raise failure(code, **facts)

    return step


def hangs(*, sent: bool = True) -> Step:
    async def step(call):
        call.trail.sent = sent
        await asyncio.get_running_loop().create_future()

    return step


def raising(error: BaseException) -> Step:
    async def call_next(call):
        await asyncio.sleep(0)
        raise error

    return call_next


class Peer:
    """Plays its steps one a request, the last one for ever."""

    def __init__(self, *steps: Step) -> None:
        self.steps = list(steps) or [answers()]
        self.seen: list[tuple[float, int]] = []
        self.calls: list[Call[Any]] = []

    async def __call__(self, call: Call[Any]) -> Any:
        step = self.steps[min(len(self.seen), len(self.steps) - 1)]
        self.seen.append((now(), call.attempt))
        self.calls.append(call)
        call.trail.attempts += 1  # as an endpoint counts what is let through
        return await step(call)

    @property
    def requests(self) -> int:
        return len(self.seen)


class Rig:
    """The pipeline in its order, around a peer; every part can be looked at."""

    def __init__(
        self,
        peer: Any,
        *,
        timeouts: Timeouts | None = None,
        retry: Retry | None = None,
        breaker: Breaker | None = None,
        bulkhead: Bulkhead | None = None,
        rng: Callable[[], float] = lambda: 0.5,
    ) -> None:
        timeouts, retry = timeouts or Timeouts(), retry or Retry()
        breaker, bulkhead = breaker or Breaker(), bulkhead or Bulkhead()
        self.peer = peer
        self.events: list[Any] = []
        self.budget = RetryBudget(retry)
        self.circuit = CircuitBreaker(
            breaker, server=SERVER, endpoint=ENDPOINT, rng=rng, emit=self.events.append, lease=timeouts.attempt + 1
        )
        self.bulkhead = BulkheadLimit(bulkhead, server=SERVER, endpoint=ENDPOINT, circuit=self.circuit)
        self.attempt = AttemptTimeout(timeouts)
        self.chain = compose(
            [
                TotalDeadline(timeouts),
                Retrying(retry, self.budget, rng=rng, emit=self.events.append, server=SERVER),
                self.bulkhead,
                self.circuit,
                self.attempt,
            ],
            peer,
        )

    async def call(self, **facts: Any) -> Any:
        return await self.chain(make_call(**facts))

    async def error(self, **facts: Any) -> RouterError:
        """Make a call that must fail with an error of ours; return it."""
        try:
            result = await self.call(**facts)
        except RouterError as error:
            return error
        raise AssertionError(f"it answered {result!r}")

    async def fail(self, times: int = 5) -> None:
        """Make calls that are not safe to repeat until as many have failed."""
        for _ in range(times):
            await self.error()

    def told(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def at_rest(self) -> bool:
        """Whether nothing is held any more."""
        return self.bulkhead.in_flight == 0 and self.bulkhead.waiting == 0 and self.attempt.abandoned == 0


async def settle() -> None:
    """Let everything run that can run now."""
    for _ in range(10):
        await asyncio.sleep(0)


def run(main, *steps, **options):
    async def with_rig():
        rig = Rig(Peer(*steps), **options)
        result = await main(rig)
        await asyncio.sleep(100)
        assert rig.at_rest
        return result

    return run_virtual(with_rig)
