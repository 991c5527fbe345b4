"""Chaos policies in their place: inside a router, before the connection to a real server of this kit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from recloser import Breaker, Retry, Router, RouterError, Server, Timeouts
from recloser.testing.asserts import at_most_once, by_deadline
from recloser.testing.chaos import AuthFailure, Blackhole, Disconnect, Fault, Garbage, Latency, RateLimited, uniform
from recloser.testing.clock import run_virtual
from recloser.testing.fake import FakeServer
from recloser.testing.faulty import FaultyHttp
from recloser.testing.leaks import no_leaks


def run(main: Callable[[], Any]) -> Any:
    async def whole() -> Any:
        async with no_leaks():
            return await main()

    return run_virtual(whole)


def answering(*tools: str) -> FakeServer:
    fake = FakeServer(*tools)
    fake.on("tools/call", lambda request: request.answer(str(request.arguments.get("text", ""))))
    return fake


def test_a_policy_can_be_put_into_a_server_and_switched_while_the_router_runs() -> None:
    async def main() -> None:
        fault = Fault("server_error", tools="web")
        async with answering("web", "grep") as fake, Router(fake.server("search", chaos=[fault])) as router:
            with pytest.raises(RouterError) as caught:
                await router.call_tool("search__web", raise_on_error=True)
            assert caught.value.payload.code == "server_error"
            assert fake.received == []
            await router.call_tool("search__grep", raise_on_error=True)
            fault.off()
            await router.call_tool("search__web", raise_on_error=True)
            assert [request.name for request in fake.received] == ["grep", "web"]

    run(main)


def test_several_policies_strike_one_after_the_other_the_first_one_outermost() -> None:
    async def main() -> None:
        slow, late = Latency(1), Disconnect(phase="after")
        async with answering("web") as fake, Router(fake.server("search", chaos=[slow, late])) as router:
            begun = asyncio.get_running_loop().time()
            result = await router.call_tool("search__web")
            assert result.is_error
            assert asyncio.get_running_loop().time() - begun == 1
            assert len(fake.received) == 1

    run(main)


STORM = [
    Latency(uniform(0, 3), rate=0.5, seed=1),
    Blackhole(rate=0.05, seed=2),
    Blackhole(rate=0.05, phase="after", seed=3),
    Disconnect(rate=0.1, seed=4),
    Disconnect(rate=0.1, phase="before", seed=5),
    Disconnect(rate=0.1, phase="after", seed=6),
    RateLimited(0.5, rate=0.1, seed=7),
    AuthFailure(rate=0.02, seed=8),
    Garbage(rate=0.05, seed=9),
    Garbage("nonsense", rate=0.05, seed=10),
    Fault("server_fault", rate=0.05, seed=11),
]


def test_in_a_storm_of_all_of_them_no_call_runs_twice_or_overruns_its_deadline() -> None:
    async def main() -> None:
        async with answering("write") as fake:
            server = fake.server(
                "s",
                chaos=STORM,
                timeouts=Timeouts(attempt=2, total=6),
                retry=Retry(attempts=5),
                breaker=Breaker(enabled=False),
            )
            async with Router(server) as router:

                async def one(number: int) -> None:
                    async with by_deadline(6):
                        await router.call_tool("s__write", {"text": f"call {number}"})

                await asyncio.gather(*(one(number) for number in range(200)))
            assert all(policy.struck > 0 for policy in STORM)
            assert len(fake.executed()) > 100
            at_most_once(fake)

    run(main)


def test_faults_that_end_are_got_over_by_every_safe_call() -> None:
    async def main() -> None:
        fault = Fault("server_error", rate=0.3, seed=1)
        async with answering("read") as fake:
            server = fake.server("s", chaos=[fault], idempotent=["*"], retry=Retry(attempts=10, budget=10_000))
            async with Router(server) as router:
                results = [await router.call_tool("s__read", {"text": str(n)}) for n in range(50)]
            assert [result.content[0].text for result in results] == [str(n) for n in range(50)]
            assert fault.struck > 5

    run(main)


def test_it_stands_before_a_server_of_any_kind() -> None:
    async def main() -> None:
        async with FaultyHttp() as http:
            server = Server("s", http.url, chaos=[Disconnect(phase="after", tools="write")])
            async with Router(server) as router:
                result = await router.call_tool("s__write", {"text": "once"})
                assert result.is_error
            at_most_once(http)
            assert http.executed("write") == ["once"]

    run(main)
