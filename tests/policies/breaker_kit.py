"""What the tests of circuits share: a circuit with its events, and calls whose ends a test decides."""

import asyncio

from policy_kit import ENDPOINT, SERVER, failure, make_call

from recloser.errors import RouterError
from recloser.options import Breaker
from recloser.policies.breaker import CircuitBreaker
from recloser.testing.clock import run_virtual


async def succeed(call):
    return "yes"


async def fail(call):
    raise failure("server_error")


async def ignored(call):
    raise failure("overloaded")


class Bench:
    """A circuit, its events, and calls whose ends a test decides."""

    def __init__(self, *, rng=lambda: 0.0, lease=31.0, emit=None, **options):
        self.events = []
        self.circuit = CircuitBreaker(
            Breaker(**options), server=SERVER, endpoint=ENDPOINT, rng=rng, emit=emit or self.events.append, lease=lease
        )

    async def call(self, step, call=None):
        try:
            return await self.circuit(call or make_call(), step)
        except RouterError as error:
            return error

    async def calls(self, steps):
        """Make calls one after the other: `f` fails, `s` succeeds, `i` is ignored."""
        for letter in steps:
            await self.call({"f": fail, "s": succeed, "i": ignored}[letter])
        return self.circuit.state

    def begin(self, call=None):
        """Begin a call that is under way until its future is set; return both."""
        end = asyncio.get_running_loop().create_future()

        async def step(call):
            return await end

        return end, asyncio.create_task(self.call(step, call))

    def transitions(self):
        return [(event.previous, event.state, event.reason) for event in self.events]


def run(main, **options):
    async def with_bench():
        return await main(Bench(**options))

    return run_virtual(with_bench)
