"""How long a start takes: many servers over the raw SDK clients, and 50 that each take a second over one that does.

python benchmarks/start_up.py [--json] [--quick] [--rounds 3]

The first table's servers are processes, over stdio; the raw clients are opened one after the other, as one task must.
The slow ones take a second before they answer their handshake. The limit holds for servers in this process, since 50
processes that start at once would measure the processor; over HTTP, all of them in one other process, it is shown too.
A ratio is the median of the rounds'.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import perf_counter

from _many import arguments, conclude, raw_clients, router_of
from mcp.server import MCPServer

from recloser import Router, Server

SIZES = (1, 10, 50, 200)
QUICK = (1, 10)
RAW_UP_TO = 50
"""Servers beyond which the raw clients are not opened any more: one after the other that takes too long."""
SLOW = 50
DELAY = 1.0
LIMITS = {"slow": 1.3, "1": 1.5, "10": 1.0, "50": 1.0}
"""`slow` is the design's; for one server a router lists more than tools, several are started side by side."""

SERVED = """
import asyncio, sys
from recloser.testing.faulty import FaultyHttp

async def main():
    servers = [FaultyHttp(era="legacy", page=100) for _ in range(int(sys.argv[1]))]
    for server in servers:
        await server.start()
        server.fault("late_answer", on="initialize", delay=float(sys.argv[2]))
    print(*(server.url for server in servers), flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@asynccontextmanager
async def lifespan(_: object) -> AsyncIterator[None]:
    """Take a second before anything is served."""
    await asyncio.sleep(DELAY)
    yield


def late_server(name: str) -> Server:
    """Return a server of this process that takes a second to be ready."""
    server = MCPServer(name, log_level="ERROR", lifespan=lifespan)

    @server.tool()
    async def echo(text: str) -> str:
        return text

    return Server(name, server)


@asynccontextmanager
async def late(count: int) -> AsyncIterator[list[str]]:
    """Run servers that take a second to be ready, and yield their URLs."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVED, str(count), str(DELAY), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        assert process.stdout is not None
        yield (await process.stdout.readline()).decode().split()
    finally:
        process.kill()
        await process.wait()


async def start_raw(count: int) -> float:
    """Return the seconds until so many raw clients are open and have listed their tools."""
    begun = perf_counter()
    async with raw_clients(count):
        return perf_counter() - begun


async def start_router(count: int) -> float:
    """Return the seconds until a router's servers are all ready."""
    begun = perf_counter()
    async with router_of(count):
        return perf_counter() - begun


async def start_late(servers: list[Server]) -> float:
    """Return the seconds until a router's servers, each a second late, are all ready."""
    begun = perf_counter()
    async with Router(*servers) as router:
        await asyncio.gather(*(router.ready(name) for name in router.servers))
        return perf_counter() - begun


async def main(*, rounds: int, quick: bool, as_json: bool) -> int:
    """Measure and print; 1 if a limit was missed."""
    ratios: dict[str, float] = {}
    seconds: dict[str, dict[str, float]] = {}
    lines = [f"{'servers':>8}{'raw':>9}{'router':>9}   (s)   {'ratio':>6}"]
    for size in QUICK if quick else SIZES:
        pairs = []
        for _ in range(rounds if size < SIZES[-1] else 1):
            ours = await start_router(size)
            pairs.append((ours, await start_raw(size) if size <= RAW_UP_TO else None))
        ours = statistics.median(mine for mine, _ in pairs)
        found = [raw for _, raw in pairs if raw is not None]
        seconds[str(size)] = {"router": round(ours, 3)}
        if not found:
            lines.append(f"{size:8}{'':9}{ours:9.3f}")
            continue
        ratio = statistics.median(mine / raw for mine, raw in pairs if raw is not None)
        ratios[str(size)] = round(ratio, 3)
        seconds[str(size)]["raw"] = round(statistics.median(found), 3)
        lines.append(f"{size:8}{statistics.median(found):9.3f}{ours:9.3f}         {ratio:6.3f}")
    async with late(SLOW) as urls:
        over_http = [Server(f"s{number}", url) for number, url in enumerate(urls)]
        here = [late_server(f"s{number}") for number in range(SLOW)]
        for name, servers in (("slow", here), ("slow_http", over_http)):
            await start_late(servers[:1])  # compiled files, warm disk
            trials = [(await start_late(servers[:1]), await start_late(servers)) for _ in range(rounds)]
            ratios[name] = round(statistics.median(every / one for one, every in trials), 3)
            one, every = (statistics.median(values) for values in zip(*trials, strict=True))
            seconds[name] = {"one": round(one, 3), str(SLOW): round(every, 3)}
            where, limit = ("in process", f" (limit {LIMITS['slow']:g})") if name == "slow" else ("over HTTP", "")
            lines.append(
                f"one that takes {DELAY:g} s, {where}: {one:.3f} s; {SLOW} of them: {every:.3f} s, "
                f"ratio {ratios[name]:.3f}{limit}"
            )
    limits = {name: limit for name, limit in LIMITS.items() if name in ratios}
    return conclude(ratios, limits, lines, as_json=as_json, seconds=seconds)


if __name__ == "__main__":
    given = arguments(__doc__, rounds=3, quick=3)
    sys.exit(asyncio.run(main(rounds=given.rounds, quick=given.quick, as_json=given.json)))
