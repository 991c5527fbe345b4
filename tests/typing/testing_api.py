"""The testing kit in use, for type checkers only: nothing runs this file."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, assert_type

import mcp_types as types

from recloser import Call, Router, Server
from recloser.call import CallNext, Policy, R
from recloser.testing import (
    FakeServer,
    FaultProxy,
    FaultyHttp,
    FaultyStdio,
    Request,
    Toxic,
    VirtualClock,
    VirtualLoop,
    at_most_once,
    by_deadline,
    no_leaks,
    run_virtual,
)
from recloser.testing.chaos import (
    AuthFailure,
    Blackhole,
    ChaosPolicy,
    Delay,
    Disconnect,
    Fault,
    Garbage,
    Latency,
    RateLimited,
    exponential,
    lognormal,
    normal,
    uniform,
)


class Doubled(ChaosPolicy):
    """A policy of a user's own."""

    simulates = "a proxy that sends everything twice"
    outcome = "two executions"

    async def strike(self, call: Call[R], call_next: CallNext[R]) -> R:
        await call_next(call)
        return await call_next(call)


def bumpy(numbers: random.Random) -> float:
    return numbers.random()


own: Delay = bumpy
CHAOS: list[Policy] = [
    Latency(0.2, rate=0.1, seed=1, tools="web*"),
    Latency(own, when=lambda call: call.caller == "alice", active=False),
    Latency(uniform(0.1, 0.2), phase="before"),
    Latency(normal(0.1, 0.01)),
    Latency(exponential(0.1)),
    Latency(lognormal(0.1, 2)),
    Blackhole(phase="after", tools=["web", "grep"]),
    Fault("server_error", delivered="maybe", retry_after=1.0, evidence=False, status=503),
    Disconnect(phase="before"),
    AuthFailure(403),
    RateLimited(None),
    Garbage("schema"),
    Doubled(),
]
server = Server("search", "https://search.example/mcp", chaos=CHAOS)


def settle(request: Request) -> None:
    request.answer("text", structured={"x": 1}, is_error=True)
    request.fail(-32602, "no", data=[1])
    request.fail("overloaded", retry_after=2.0)


async def fakes() -> None:
    definition = types.Tool(name="grep", input_schema={"type": "object"})
    async with FakeServer("web", definition, {"name": "sum"}, resources=["test://a"], era="legacy") as fake:
        fake.on("web", "text")
        fake.on("grep", settle)
        async with Router(fake.server("search", chaos=CHAOS)) as router:
            await router.list_tools()
        request = await fake.expect("tools/call", name="web", arguments={"q": "x"}, timeout=1.0)
        assert_type(request.arguments, dict[str, Any])
        assert_type(request.hold(), Request)
        request.progress(1, 2, "half")
        request.answer(raw=types.CallToolResult(content=[]))
        assert_type(await request.ask("roots/list"), dict[str, Any])
        await request.until_cancelled()
        assert_type(fake.executed("web"), list[str])
        at_most_once(fake, "web")
        fake.check()


async def networks() -> None:
    async with FaultProxy("127.0.0.1", 80, engine="auto", seed=1) as proxy:
        toxic = await proxy.add("latency", latency=0.5, jitter=0.1, stream="upstream", toxicity=0.5, name="slow")
        assert_type(toxic, Toxic)
        await toxic.update(latency=1.0, toxicity=1.0)
        await toxic.remove()
        await proxy.down()
        await proxy.up()
        await proxy.reset()
        assert_type(proxy.toxics, tuple[Toxic, ...])


async def sure() -> float:
    async with FaultyHttp() as http, no_leaks(), by_deadline(1.0, grace=0.1) as timing:
        at_most_once(http, "write")
        at_most_once({"label": 1})
        at_most_once(["a", "b"])
    with FaultyStdio() as faulty:
        at_most_once(faulty)
    return timing.overrun


assert_type(run_virtual(sure), float)
assert_type(run_virtual(sure(), grace=0.1), float)
assert_type(VirtualClock(patience=1.0).run(sure), float)
assert_type(VirtualLoop().time(), float)
fixture: Callable[..., FakeServer] = FakeServer
