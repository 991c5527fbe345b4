"""A call that is over leaves nothing that only a collection finds: all other work of its host would pay for that."""

from __future__ import annotations

import asyncio
import gc
from contextlib import AsyncExitStack
from typing import Any

import pytest
from mcp import Client, StdioServerParameters

from recloser import Router, Server
from support.commands import listening, server

CALLS = 20
WHERE = {"city": "Berlin"}


async def left_by(action: Any) -> int:
    """Return how many objects of some calls only a collection finds."""
    for _ in range(CALLS):
        await action()  # what the first calls set up is not meant
    gc.collect()
    gc.disable()
    try:
        for _ in range(CALLS):
            await action()
        for _ in range(10):
            await asyncio.sleep(0)  # the SDK's own tasks end after the answer
        return gc.collect()
    finally:
        gc.enable()


@pytest.mark.parametrize("era", ["auto", "legacy"])
@pytest.mark.parametrize("over", ["stdio", "http"])
def test_a_call_leaves_no_more_cycles_than_the_sdks_own_client(over: str, era: Any) -> None:
    async def main() -> None:
        async with AsyncExitStack() as stack:
            program = server("weather")
            url = await stack.enter_async_context(listening("weather")) if over == "http" else None
            ours = Server("weather", url, era=era) if url else Server("weather", era=era, **program)
            router = await stack.enter_async_context(Router(ours))
            raw = await stack.enter_async_context(Client(url or StdioServerParameters(**program), mode=era))
            await raw.list_tools()
            answer = await router.call_tool("weather__get_weather", WHERE)
            assert not answer.is_error, answer
            left = await left_by(lambda: router.call_tool("weather__get_weather", WHERE))
            assert left - await left_by(lambda: raw.call_tool("get_weather", WHERE)) < CALLS

    asyncio.run(main())


@pytest.mark.parametrize("name", ["weather__no_such_tool", "gone__anything", "nobody__anything"])
def test_an_error_is_not_kept_by_the_frames_that_it_keeps(name: str) -> None:
    async def main() -> None:
        gone = Server("gone", "http://127.0.0.1:9/mcp")
        async with Router(Server("weather", **server("weather")), gone) as router:
            await router.ready("weather")
            answer = await router.call_tool(name)
            assert answer.is_error
            assert await left_by(lambda: router.call_tool(name)) < CALLS

    asyncio.run(main())
