"""A tool that was called before is called again by a shorter way, which ends like the long one."""

from __future__ import annotations

import asyncio
from typing import Any

from mcp.server import MCPServer

from recloser import Router, Server, error_of

served = MCPServer("s")


@served.tool()
async def echo(text: str) -> str:
    """Return the text."""
    return text


def test_a_second_call_that_cannot_be_sent_is_refused_like_a_first_one() -> None:
    async def main() -> list[Any]:
        async with Router(Server("s", served)) as router:
            first = error_of(await router.call_tool("s__echo", {"text": float("nan")}))
            assert error_of(await router.call_tool("s__echo", {"text": "well"})) is None
            second = error_of(await router.call_tool("s__echo", {"text": float("nan")}))
            return [(error.code, error.message, error.tool, error.attempts) for error in (first, second) if error]

    first, second = asyncio.run(main())

    assert first == second
    assert first[0] == "invalid_request"


def test_a_tool_that_is_switched_off_after_its_first_call_is_refused() -> None:
    async def main() -> list[str | None]:
        async with Router(Server("s", served)) as router:
            codes = []
            for change in (lambda: None, lambda: router.disable("s__echo"), lambda: router.enable("s__echo")):
                change()
                error = error_of(await router.call_tool("s__echo", {"text": "x"}))
                codes.append(None if error is None else error.code)
            return codes

    assert asyncio.run(main()) == [None, "unknown_tool", None]
