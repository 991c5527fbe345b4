"""Many servers at once, and documents that all look alike; no benchmark of its own."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from fixtures import machine, report
from mcp import Client, StdioServerParameters

from recloser import Router, Server
from recloser.testing.faulty import script

__all__ = ["arguments", "conclude", "piped", "raw_clients", "router_of"]


def piped(era: str = "dual") -> dict[str, Any]:
    """Return the command of a server over stdio that is small and quick to start: many of them fit on a machine."""
    command, *args = script("--transport", "stdio", "--era", era, "--page", "100")
    return {"command": command, "args": args}


@asynccontextmanager
async def raw_clients(count: int) -> AsyncIterator[list[Client]]:
    """Open so many of the SDK's clients, one after the other: a client belongs to the task that opens it."""
    async with AsyncExitStack() as stack:
        clients, kept = [], []
        for _ in range(count):
            client = await stack.enter_async_context(Client(StdioServerParameters(**piped())))
            # A host shows its model the tools, and keeps them; and the first call would list them otherwise.
            kept.append(await client.list_tools())
            clients.append(client)
        yield clients
        kept.clear()


@asynccontextmanager
async def router_of(count: int) -> AsyncIterator[Router]:
    """Open a router of so many servers, and wait until all of them are ready."""
    async with Router(*(Server(f"s{number}", **piped()) for number in range(count))) as router:
        await asyncio.gather(*(router.ready(name) for name in router.servers))
        yield router


def arguments(description: str | None, *, rounds: int, quick: int) -> argparse.Namespace:
    """Read the command line that these benchmarks share."""
    parser = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true", help="a short form, for a first look and for CI")
    parser.add_argument("--rounds", type=int)
    given = parser.parse_args()
    given.rounds = given.rounds or (quick if given.quick else rounds)
    return given


def conclude(
    ratios: Mapping[str, float],
    limits: Mapping[str, float],
    lines: Iterable[str],
    *,
    as_json: bool,
    **more: Any,
) -> int:
    """Print the document or the table; return 1 where a ratio is over its limit."""
    missed = [name for name, limit in limits.items() if name in ratios and ratios[name] > limit]
    document = {"ratios": ratios, "limits": limits, "passed": not missed, **more, "machine": machine()}
    told: Sequence[str] = [
        *lines,
        *(f"over its limit: {name}, {ratios[name]:.3f} > {limits[name]:g}" for name in missed),
    ]
    report(document, told, as_json=as_json)
    if as_json and missed:
        print("\n".join(told), file=sys.stderr)
    return 1 if missed else 0
