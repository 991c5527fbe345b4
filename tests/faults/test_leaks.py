"""A thousand calls through every fault, many at once: afterwards nothing is open that was not open before."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from itertools import cycle, islice, product
from typing import Any

import pytest

from faults.bench import BETWEEN_SESSIONS, OF_CALLS, Sick
from recloser import Breaker, Retry, Router, Server, Timeouts
from recloser.errors import ErrorPayload, error_of
from recloser.testing.faulty import FAULTS, FaultyHttp
from recloser.testing.leaks import no_leaks
from support.lag import Lag, measured_lag

pytestmark = [pytest.mark.thorough, pytest.mark.processes]

CALLS = 1000
AT_ONCE = 64
STRIKES = 20
"""How often each fault comes at least, over all servers."""
TIMEOUTS = Timeouts(total=0.9, attempt=0.3, start=0.9, connect=0.3, shutdown=0.5)
REST = 0.1
"""Seconds between the calls of one caller, at most; without it callers leave the servers no time on a slow machine."""
OPTIONS: dict[str, Any] = {
    "retry": Retry(backoff=0.02, throttled_backoff=0.02, reconnect_backoff=0.02),
    # Opens only where nothing else helps: a call that is rejected at once meets no fault.
    "breaker": Breaker(open_for=0.1, open_cap=0.2, consecutive=12, rate=1.0, volume=1000),
    "idempotent": ["upsert"],
}
SLACK = 1.0
"""Seconds past its deadline, less the loop's own lag, at which a call is late; `benchmarks` hold it to 50 ms."""
PATIENCE = 3.0
"""Seconds that an order is given to strike: an open circuit keeps calls away."""

FAULTS_OF_CALLS = (*OF_CALLS, "forks_sleeper")
LIST = (*BETWEEN_SESSIONS, *FAULTS_OF_CALLS)
A_TIME = dict.fromkeys(LIST, 5) | dict.fromkeys((*BETWEEN_SESSIONS, "wedged_stdin"), 2)
"""How often one order strikes; where each strike costs a connection, less often."""


class Ward:
    """All servers of the storm, and what has been done to them and by them."""

    def __init__(self, sick: dict[str, Sick], router: Router, rng: random.Random, lag: Lag) -> None:
        self.sick = sick
        self.router = router
        self.rng = rng
        self.lag = lag
        self.came: Counter[str] = Counter()
        self.told: dict[str, tuple[str, ErrorPayload | None]] = {}
        self.in_flight = 0
        self.most_in_flight = 0
        self.sessions = 0

    def able(self, fault: str) -> list[str]:
        """Return the servers that can do it."""
        known = FAULTS[fault]
        return [name for name, one in self.sick.items() if one.transport in known.transports and one.era in known.eras]

    def deck(self, name: str) -> Iterator[str]:
        """Return what one server has to go through, in random order."""
        mine = [fault for fault in LIST if name in self.able(fault)]
        orders = [fault for fault in mine for _ in range(-(-STRIKES // (len(self.able(fault)) * A_TIME[fault])))]
        self.rng.shuffle(orders)
        yield from orders
        # Where an order did not strike as often as it might: until there is enough of it.
        for fault in cycle(mine):
            if all(self.came[each] >= STRIKES for each in mine):
                return
            if self.came[fault] < STRIKES:
                yield fault

    async def torment(self, name: str) -> None:
        server = self.sick[name]
        for fault in self.deck(name):
            before = server.fired
            server.fault(fault, times=A_TIME[fault], **({"down": 0.05} if fault == "restart" else {}))
            meeting = asyncio.create_task(self.meet(name)) if fault in BETWEEN_SESSIONS else None
            for _ in range(int(PATIENCE / 0.02)):
                if server.fired - before >= A_TIME[fault]:
                    break
                await asyncio.sleep(0.02)
            self.came[fault] += server.fired - before
            if meeting is not None:
                await meeting
        server.heal()

    async def meet(self, name: str) -> None:
        """Make the router connect: over HTTP a caller wants a session of his own, over stdio the process dies."""
        server = self.sick[name]
        if server.transport == "stdio":
            if server.starts:
                server.kill()
            return
        for _ in range(max(map(A_TIME.__getitem__, BETWEEN_SESSIONS))):
            self.sessions += 1
            await self.call(name, session=f"session {self.sessions}")

    async def call(self, name: str, **more: Any) -> None:
        tool = self.rng.choice(("write", "write", "upsert", "echo", *["sleep"] * 6))
        label = f"call {len(self.told)}"
        arguments = {"seconds": 0.15} if tool == "sleep" else {"text": label}
        self.told[label] = (tool, None)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        loop = asyncio.get_running_loop()
        begun, lost = loop.time(), self.lag.lost
        result = await self.router.call_tool(f"{name}__{tool}", arguments, **more)
        assert loop.time() - begun - (self.lag.lost - lost) < TIMEOUTS.total + SLACK, result
        self.in_flight -= 1
        error = error_of(result)
        assert error is not None or result.content[0].text, result
        assert error is None or error.code != "internal", error
        self.told[label] = (tool, error)

    async def caller(self, over: asyncio.Event) -> None:
        names = [*self.sick, "well"]
        while not over.is_set() or len(self.told) < CALLS:
            await self.call(self.rng.choice(names))
            await asyncio.sleep(self.rng.uniform(0, REST))

    def check(self, well: FaultyHttp) -> None:
        ran = Counter(label for server in (*self.sick.values(), well) for label in server.executed())
        for label, (tool, error) in self.told.items():
            if error is None and tool != "sleep":
                assert ran[label] >= 1, label
            if tool == "write":
                assert ran[label] <= 1, (label, error)
            if error is not None and error.delivered == "no":
                assert ran[label] == 0, (label, error)


async def patient(sick: dict[str, Sick]) -> Timeouts:
    """Return times in which servers can start on this machine, as it is now: a start is tried and measured."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    async with Router(*(one.options(name) for name, one in sick.items())) as router:
        await asyncio.gather(*map(router.ready, sick))
    return dataclasses.replace(TIMEOUTS, start=max(TIMEOUTS.start, 3 * (loop.time() - begun)))


@pytest.mark.timeout(500)
def test_a_storm_of_all_faults_leaves_nothing_behind():
    seed = int(os.environ.get("RECLOSER_SEED") or random.SystemRandom().randrange(2**32))
    print(f"RECLOSER_SEED={seed}")
    rng = random.Random(seed)

    async def main():
        async with no_leaks(grace=6.0), AsyncExitStack() as stack:
            kinds = list(islice(cycle(product(("http", "stdio"), ("legacy", "modern"))), 8))
            sick = {
                f"sick-{number}": await stack.enter_async_context(Sick(transport, era))
                for number, (transport, era) in enumerate(kinds)
            }
            well = await stack.enter_async_context(FaultyHttp())
            times = await patient(sick)
            servers = [one.options(name, timeouts=times, **OPTIONS) for name, one in sick.items()]
            router = Router(*servers, Server("well", well.url), rng=rng.random)
            await stack.enter_async_context(router)
            for one in sick.values():
                one.keep_up()
            ward = Ward(sick, router, rng, await stack.enter_async_context(measured_lag()))
            over = asyncio.Event()
            callers = [asyncio.create_task(ward.caller(over)) for _ in range(AT_ONCE)]
            await asyncio.gather(*map(ward.torment, sick))
            over.set()
            await asyncio.gather(*callers)
            print(f"{len(ward.told)} calls, at most {ward.most_in_flight} at once, {times.start:.1f} s to start")
            print(dict(ward.came))
            assert len(ward.told) >= CALLS
            assert ward.most_in_flight >= 50
            assert all(ward.came[fault] >= STRIKES for fault in LIST)
            ward.check(well)
            task = asyncio.current_task()
            assert task is not None
            assert task.cancelling() == 0

    asyncio.run(main())
