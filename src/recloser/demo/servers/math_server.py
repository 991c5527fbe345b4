"""Arithmetic, and one slow sum that reports its progress."""

from __future__ import annotations

import asyncio
from typing import Annotated, Final

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp_types import ToolAnnotations
from pydantic import Field

from recloser.demo.servers.serving import main

Number = int | float

STEPS: Final = 8
PAUSE: Final = 0.1
"""Seconds of a step of `sum_of_primes`: long enough to watch it work."""

PURE: Final = ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False)

server = MCPServer("Math Server", instructions="Exact arithmetic for agents.", log_level="WARNING")


@server.tool(title="Add", annotations=PURE)
async def add(
    a: Annotated[Number, Field(description="First number")], b: Annotated[Number, Field(description="Second number")]
) -> Number:
    """Add two numbers."""
    return a + b


@server.tool(title="Multiply", annotations=PURE)
async def multiply(
    a: Annotated[Number, Field(description="First number")], b: Annotated[Number, Field(description="Second number")]
) -> Number:
    """Multiply two numbers."""
    return a * b


@server.tool(title="Sum of primes", annotations=PURE)
async def sum_of_primes(below: Annotated[int, Field(ge=2, le=100_000, description="Limit")], context: Context) -> int:
    """Add all primes below a limit; takes about a second and reports its progress."""
    total = 0
    for step in range(STEPS):
        total += sum(number for number in range(2 + step, below, STEPS) if _is_prime(number))
        await context.report_progress(step + 1, STEPS, "adding primes")
        await asyncio.sleep(PAUSE)
    return total


def _is_prime(number: int) -> bool:
    return all(number % divisor for divisor in range(2, int(number**0.5) + 1))


if __name__ == "__main__":
    main(server)
