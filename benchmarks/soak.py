"""Whether anything grows: a host that calls for as long as you like, through faults, measured piece by piece.

python benchmarks/soak.py [--json] [--quick] [--minutes 1] [--piece 5]

Two hosts take turns, each in a process of its own: one with a router, one with raw SDK clients. Both call a server
over stdio and one over HTTP; the router has two more, which die, hang, lose their sessions and recover, again and
again. After each piece a host tells its memory, tasks, file descriptors and calls. What counts is the slope of a
straight line through the pieces, the first third left out: bytes for each 1,000 calls, and tasks and descriptors, which
may not grow.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import json
import random
import statistics
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from _many import conclude, piped
from fixtures import http_echo
from mcp import Client, StdioServerParameters
from memory import private

from recloser import Breaker, Router, Server, Timeouts
from recloser.testing.faulty import FaultyStdio, script

LIMITS = {"bytes_per_1000_calls": 16 * 1024.0, "tasks": 2.0, "fds": 4.0}
"""How much a router's host may grow: bytes by the slope, the others from the first counted pieces to the last."""
FAULTS = ("exit_mid_call", "hang_call", "garbage", "exit_idle", "bad_byte")
HTTP_FAULTS = ("status_503", "session_lost", "reset", "hang_call", "restart")
SICK = Timeouts(total=0.5, attempt=0.2, start=1.0, connect=0.2, shutdown=0.5)

Ask = Callable[[], Awaitable[Any]]


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Return the slope of the straight line that fits the points best; 0 where there are fewer than two."""
    if len({x for x, _ in points}) < 2:
        return 0.0
    return statistics.linear_regression(*zip(*points, strict=True)).slope


def grown(pieces: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return by how much a host has grown, its first third left out: there everything is still being warmed up."""
    counted = pieces[len(pieces) // 3 :]
    middle = max(1, len(counted) // 2)
    early, late = counted[:middle], counted[-middle:]
    result = {"bytes_per_1000_calls": slope([(piece["calls"], piece["bytes"]) for piece in counted]) * 1000}
    for name in ("tasks", "fds"):
        result[name] = statistics.median(p[name] for p in late) - statistics.median(p[name] for p in early)
    return {name: round(value, 2) for name, value in result.items()}


async def until(moment: float, ask: Ask) -> int:
    """Call again and again until a moment of the loop's clock; return how often."""
    loop = asyncio.get_running_loop()
    count = 0
    while loop.time() < moment:
        await ask()
        count += 1
    return count


async def raw_host(stack: AsyncExitStack, url: str) -> Sequence[Ask]:
    """Open the raw clients."""
    clients = [await stack.enter_async_context(Client(target)) for target in (StdioServerParameters(**piped()), url)]
    return [lambda client=client: client.call_tool("echo", {"text": "tower"}) for client in clients]


@asynccontextmanager
async def http_faulty() -> AsyncIterator[str]:
    """Run a faulty server over HTTP, not in the host's process: it remembers what it has seen. Yield its URL."""
    process = await asyncio.create_subprocess_exec(
        *script("--transport", "http", "--era", "legacy"), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        assert process.stdout is not None
        yield (await process.stdout.readline()).decode().strip()
    finally:
        process.kill()
        await process.wait()


def ordered(url: str, order: dict[str, Any]) -> None:
    """Tell a server over HTTP what to do wrong; one that restarts hears it not, and goes on as it was."""
    data = json.dumps(order).encode()
    with suppress(OSError), urllib.request.urlopen(url.replace("/mcp", "/control"), data=data, timeout=5):
        pass


async def router_host(stack: AsyncExitStack, url: str, sick: str) -> Sequence[Ask]:
    """Open a router; its sick servers change their minds with every fiftieth call."""
    pipe = stack.enter_context(FaultyStdio())
    more: dict[str, Any] = {"timeouts": SICK, "breaker": Breaker(open_for=0.2, open_cap=0.5, window=60)}
    router = await stack.enter_async_context(
        Router(
            Server("stdio", **piped()),
            Server("http", url),
            Server("pipe", command=pipe.command, args=pipe.args, **more),
            Server("web", sick, **more),
        )
    )
    rng, turns = random.Random(1), itertools.count(1)

    async def trouble() -> None:
        if next(turns) % 25 == 0:
            pipe.heal()
            if rng.random() < 0.7:
                pipe.fault(rng.choice(FAULTS), times=rng.randint(1, 3))
            fault = rng.choice(HTTP_FAULTS) if rng.random() < 0.7 else None
            order = {"fault": fault} if fault is None else {"fault": fault, "times": rng.randint(1, 3)}
            await asyncio.to_thread(ordered, sick, order)
        for name in ("pipe", "web"):
            await router.call_tool(f"{name}__echo", {"text": "tower"})
        await asyncio.sleep(0.005)

    return [
        lambda: router.call_tool("stdio__echo", {"text": "tower"}),
        lambda: router.call_tool("http__echo", {"text": "tower"}),
        trouble,
    ]


async def host(kind: str, url: str, sick: str) -> None:
    """Work for as many seconds as each line on stdin says, and print what this process has then."""
    calls = 0
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        asks = await (router_host(stack, url, sick) if kind == "router" else raw_host(stack, url))
        while line := await asyncio.to_thread(sys.stdin.readline):
            moment = loop.time() + float(line)
            calls += sum(await asyncio.gather(*(until(moment, ask) for ask in asks)))
            gc.collect()
            found = {
                "calls": calls,
                "bytes": private(),
                "tasks": len(asyncio.all_tasks()),
                "fds": sum(1 for _ in Path("/proc/self/fd").iterdir()),
            }
            print(json.dumps(found), flush=True)


class Soaked:
    """One host's process."""

    def __init__(self, kind: str, process: asyncio.subprocess.Process) -> None:
        self.kind = kind
        self.pieces: list[dict[str, float]] = []
        self._process = process

    @classmethod
    async def start(cls, kind: str, *urls: str) -> Soaked:
        """Start it."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, __file__, "--host", kind, *urls, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        return cls(kind, process)

    async def work(self, seconds: float) -> None:
        """Let it work, and keep what it says."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{seconds}\n".encode())
        line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the host with {self.kind} has ended")
        self.pieces.append(json.loads(line))

    async def end(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(10):
                await self._process.wait()
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


async def main(*, minutes: float, piece: float, as_json: bool) -> int:
    """Measure and print, piece by piece; 1 if the router's host has grown."""
    count = max(6, round(minutes * 60 / (2 * piece)))
    async with http_echo() as url, http_faulty() as sick:
        hosts = [await Soaked.start(kind, url, sick) for kind in ("raw", "router")]
        try:
            for number in range(1, count + 1):
                for each in hosts:
                    await each.work(piece)
                    found = each.pieces[-1]
                    print(
                        f"{number:4} of {count}  {each.kind:7}{found['calls']:10.0f} calls"
                        f"{found['bytes'] / 2**20:9.2f} MiB{found['tasks']:6.0f} tasks{found['fds']:5.0f} fds",
                        file=sys.stderr,
                    )
        finally:
            for each in hosts:
                await each.end()
    growth = {each.kind: grown(each.pieces) for each in hosts}
    lines = [
        f"{kind:8}{found['bytes_per_1000_calls']:12.0f} bytes for 1,000 calls"
        f"{found['tasks']:6.1f} tasks{found['fds']:6.1f} fds"
        for kind, found in growth.items()
    ]
    pieces = {each.kind: each.pieces for each in hosts}
    return conclude(growth["router"], LIMITS, lines, as_json=as_json, raw=growth["raw"], pieces=pieces)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--host"]:
        asyncio.run(host(*sys.argv[2:]))
        sys.exit(0)
    if not Path("/proc/self/smaps_rollup").exists():
        print("memory is read from /proc, which only Linux has: nothing was measured", file=sys.stderr)
        sys.exit(0)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true", help="half a minute")
    parser.add_argument("--minutes", type=float, help="how long in all; 1 unless told")
    parser.add_argument("--piece", type=float, default=4.0, help="seconds of one piece of one host")
    given = parser.parse_args()
    wanted = given.minutes or (0.5 if given.quick else 1.5)
    sys.exit(asyncio.run(main(minutes=wanted, piece=given.piece / (2 if given.quick else 1), as_json=given.json)))
