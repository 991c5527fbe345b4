"""What the router costs on a good day: a call through it over the same call of the raw SDK client, in one run.

python benchmarks/overhead.py [--json] [--rounds 15]

"raw" is `mcp.Client` against the same server. Rounds alternate; a ratio is the median of the rounds' ratios of medians.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys
from contextlib import AsyncExitStack
from typing import Any

from fixtures import ECHO, Action, http_echo, interleaved, machine, percentile, ratio, report
from mcp import Client, StdioServerParameters
from servers.echo import server as echo_server

from recloser import Router, Server

LIMITS = {"in_process": 1.25, "stdio": 1.05, "http": 1.05}
COUNTS = {"in_process": 400, "stdio": 100, "http": 60}


async def measure(kind: str, url: str, rounds: int) -> dict[str, list[list[float]]]:
    """Measure one transport."""
    async with AsyncExitStack() as stack:
        command = {"command": sys.executable, "args": [str(ECHO)]}
        raw_target: Any = {
            "in_process": echo_server,
            "stdio": StdioServerParameters(**command),
            "http": url,
        }[kind]
        ours = {
            "in_process": lambda: Server("echo", echo_server),
            "stdio": lambda: Server("echo", **command),
            "http": lambda: Server("echo", url),
        }[kind]()
        raw = await stack.enter_async_context(Client(raw_target))
        await raw.list_tools()  # or the first call would list them, after the tool has run
        router = await stack.enter_async_context(Router(ours))
        await router.ready("echo")
        actions: dict[str, Action] = {
            "raw": lambda: raw.call_tool("echo", {"text": "tower"}),
            "router": lambda: router.call_tool("echo__echo", {"text": "tower"}),
        }
        answer = await router.call_tool("echo__echo", {"text": "tower"})
        assert not answer.is_error, answer
        gc.collect()
        gc.freeze()
        return await interleaved(actions, rounds=rounds, count=COUNTS[kind])


async def main(*, rounds: int, as_json: bool) -> int:
    """Measure every transport and print what came out; 1 if a limit was missed."""
    table: dict[str, dict[str, float]] = {}
    ratios: dict[str, float] = {}
    async with http_echo() as url:
        for kind in LIMITS:
            samples = await measure(kind, url, rounds)
            flat = {name: [value for part in parts for value in part] for name, parts in samples.items()}
            ratios[kind] = round(ratio(samples, "router", "raw"), 4)
            table[kind] = {
                f"{name}_{mark}_us": round(percentile(values, share) * 1e6, 1)
                for name, values in flat.items()
                for mark, share in (("p50", 0.5), ("p99", 0.99))
            }
    lines = [f"{'':12}{'raw p50':>10}{'p99':>10}{'router p50':>12}{'p99':>10}   (µs)   {'ratio':>6}  limit"]
    for kind, row in table.items():
        lines.append(
            f"{kind:12}{row['raw_p50_us']:10.0f}{row['raw_p99_us']:10.0f}{row['router_p50_us']:12.0f}"
            f"{row['router_p99_us']:10.0f}          {ratios[kind]:6.3f}  {LIMITS[kind]:.2f}"
        )
    passed = all(ratios[kind] <= limit for kind, limit in LIMITS.items())
    document = {"ratios": ratios, "limits": LIMITS, "passed": passed, "latency": table, "machine": machine()}
    report(document, lines, as_json=as_json)
    return 0 if passed else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    sys.exit(asyncio.run(main(rounds=options.rounds, as_json=options.json)))
