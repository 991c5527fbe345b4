"""A catalog of 200 servers with 50 tools each: listing it over serializing it once, and routing a call over making one.

python benchmarks/catalog.py [--json] [--quick] [--rounds 9]

The servers run in this process. Listing is timed as hosts meet it (nothing changed since the last time) and after one
server's tools have changed. Routing is all that the router does to a name and its arguments before it sends them; it is
timed with one server too, since it must not grow with them.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from contextlib import AsyncExitStack
from typing import Any

import mcp_types as types
from _many import arguments, conclude
from fixtures import Action, interleaved, percentile, ratio
from mcp import Client
from servers.echo import server as echo_server
from servers.stocked import stocked

from recloser import Router, Server
from recloser.calling import usual

SERVERS = 200
TOOLS = 50
LIMITS = {"listing": 1.0, "listing_changed": 1.0, "routing": 0.05}
MANY = 200
"""Names that are routed one after the other in one timing: one alone is too short for the clock."""


async def measure(servers: int, rounds: int) -> dict[str, list[list[float]]]:
    """Measure a catalog of so many servers, beside one."""
    async with AsyncExitStack() as stack:
        many = [Server(f"s{number}", stocked(f"s{number}", TOOLS)) for number in range(servers)]
        router = await stack.enter_async_context(Router(*many))
        one = await stack.enter_async_context(Router(Server("s0", stocked("s0", TOOLS))))
        raw = await stack.enter_async_context(Client(echo_server))
        await raw.list_tools()  # or the first call would list them, after the tool has run
        await asyncio.gather(one.ready("s0"), *(router.ready(name) for name in router.servers))
        tools = await router.list_tools()
        assert len(tools) == servers * TOOLS, len(tools)
        step = max(1, len(tools) // MANY)
        names = [tool.name for tool in tools[::step]][:MANY]
        few = [tool.name for tool in await one.list_tools()]
        few = (few * MANY)[: len(names)]
        listed = types.ListToolsResult(tools=tools)

        def routing(within: Router, routed: list[str]) -> Action:
            fleet: Any = within._fleet

            async def route() -> None:
                for name in routed:
                    if usual(fleet, name, {"text": "tower"}, None, None) is None:
                        # The catalog has changed since: the first call of a tool finds it the long way.
                        fleet.catalog.tool(name)

            return route

        async def changed() -> None:
            router.disable("s7__tool_3")
            router.enable("s7__tool_3")
            await router.list_tools()

        async def serialize() -> None:
            listed.model_dump_json(by_alias=True, exclude_none=True)

        actions: dict[str, Action] = {
            "serialize": serialize,
            "list": router.list_tools,
            "list_changed": changed,
            "route": routing(router, names),
            "route_of_one": routing(one, few),
            "raw": lambda: raw.call_tool("echo", {"text": "tower"}),
        }
        gc.collect()
        gc.freeze()
        return await interleaved(actions, rounds=rounds, count=20)


async def main(*, rounds: int, quick: bool, as_json: bool) -> int:
    """Measure and print; 1 if a limit was missed."""
    servers = SERVERS // 4 if quick else SERVERS
    samples = await measure(servers, rounds)
    count = min(MANY, servers * TOOLS)
    ratios = {
        "listing": round(ratio(samples, "list", "serialize"), 5),
        "listing_changed": round(ratio(samples, "list_changed", "serialize"), 4),
        "routing": round(ratio(samples, "route", "raw") / count, 4),
        "routing_growth": round(ratio(samples, "route", "route_of_one"), 3),
    }
    p50 = {name: percentile([took for part in parts for took in part], 0.5) * 1e6 for name, parts in samples.items()}
    p50["route"] /= count
    p50["route_of_one"] /= count
    lines = [
        f"{servers} servers of {TOOLS} tools",
        f"  serializing the list once  {p50['serialize']:10.1f} µs",
        f"  listing                    {p50['list']:10.1f} µs   ratio {ratios['listing']:.4f} "
        f"(limit {LIMITS['listing']:g})",
        f"  listing after a change     {p50['list_changed']:10.1f} µs   ratio {ratios['listing_changed']:.4f} "
        f"(limit {LIMITS['listing_changed']:g})",
        f"  a raw call in process      {p50['raw']:10.1f} µs",
        f"  routing a call             {p50['route']:10.2f} µs   ratio {ratios['routing']:.4f} "
        f"(limit {LIMITS['routing']:g})",
        f"  … with one server          {p50['route_of_one']:10.2f} µs   growth {ratios['routing_growth']:.2f}",
    ]
    rounded = {name: round(value, 3) for name, value in p50.items()}
    return conclude(ratios, LIMITS, lines, as_json=as_json, p50_us=rounded)


if __name__ == "__main__":
    given = arguments(__doc__, rounds=9, quick=5)
    sys.exit(asyncio.run(main(rounds=given.rounds, quick=given.quick, as_json=given.json)))
