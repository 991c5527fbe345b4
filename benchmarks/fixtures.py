"""What the benchmarks share: real servers, rounds that alternate, and numbers from them."""

from __future__ import annotations

import asyncio
import json
import platform
import socket
import statistics
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any

ECHO = Path(__file__).parent / "servers" / "echo.py"

Action = Callable[[], Awaitable[Any]]


def free_port() -> int:
    """Return a loopback port that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def http_echo() -> AsyncIterator[str]:
    """Run the echo server over streamable HTTP and yield its URL."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(ECHO), "--port", str(port), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    try:
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                break
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        process.kill()
        await process.wait()


async def timed(action: Action, count: int) -> list[float]:
    """Run an action `count` times, one after the other; return the seconds of each."""
    took = []
    for _ in range(count):
        begun = perf_counter()
        await action()
        took.append(perf_counter() - begun)
    return took


async def interleaved(actions: dict[str, Action], *, rounds: int, count: int) -> dict[str, list[list[float]]]:
    """Run all actions in turn, round after round, so that a noisy moment hits all of them."""
    samples: dict[str, list[list[float]]] = {name: [] for name in actions}
    for action in actions.values():
        await timed(action, min(count, 50))  # warm up
    for index in range(rounds):
        names = list(actions) if index % 2 == 0 else list(reversed(actions))
        for name in names:
            samples[name].append(await timed(actions[name], count))
    return samples


def percentile(values: Iterable[float], share: float) -> float:
    """Return the value below which `share` of the values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def ratio(samples: dict[str, list[list[float]]], name: str, base: str) -> float:
    """Return the median over rounds of one action's median over the other's in the same round."""
    pairs = zip(samples[name], samples[base], strict=True)
    return statistics.median(statistics.median(ours) / statistics.median(theirs) for ours, theirs in pairs)


def machine() -> dict[str, str]:
    """Return what a reader must know to compare numbers."""
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "mcp": version("mcp"),
        "recloser": version("recloser"),
    }


def report(document: dict[str, Any], lines: Iterable[str], *, as_json: bool) -> None:
    """Print the JSON document to stdout, or the table."""
    if as_json:
        print(json.dumps(document, indent=2))
    else:
        print("\n".join(lines))
