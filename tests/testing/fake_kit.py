"""What the tests of the fake server share: one with a router before it, on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Self

import pytest

from recloser import Router
from recloser.testing.clock import run_virtual
from recloser.testing.fake import FakeServer
from recloser.testing.leaks import no_leaks

ERAS = ["legacy", "modern"]
each_era = pytest.mark.parametrize("era", ERAS)


def run(main: Callable[[], Any]) -> Any:
    async def whole() -> Any:
        async with no_leaks():
            return await main()

    return run_virtual(whole)


def now() -> float:
    return asyncio.get_running_loop().time()


class Case:
    """A fake server with a router before it."""

    def __init__(self, *tools: Any, options: dict[str, Any] | None = None, **facts: Any) -> None:
        self.fake = FakeServer(*tools, **facts)
        self.router = Router(self.fake.server("search", **(options or {})))
        self.tasks: list[asyncio.Task[Any]] = []

    async def __aenter__(self) -> Self:
        await self.fake.__aenter__()
        await self.router.__aenter__()
        return self

    async def __aexit__(self, kind: object, error: object, trace: object) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.router.__aexit__(kind, error, trace)
        await self.fake.__aexit__(kind, error, trace)

    def call(self, name: str = "web", arguments: Any = None, **options: Any) -> asyncio.Task[Any]:
        options.setdefault("raise_on_error", True)
        task = asyncio.create_task(self.router.call_tool(f"search__{name}", arguments, **options))
        self.tasks.append(task)
        return task
