"""What asking many servers at once costs: a fan-out of the router over the same calls gathered on the raw SDK clients.

python benchmarks/fan_out.py [--json] [--quick] [--rounds 9]

Every server is a process of its own, over stdio, and answers at once. A ratio is the median of the rounds' ratios.
"""

from __future__ import annotations

import asyncio
import gc
import sys

from _many import arguments, conclude, raw_clients, router_of
from fixtures import Action, interleaved, percentile, ratio

from recloser import Call

SIZES = (1, 10, 30, 100)
QUICK = (1, 20)
LIMIT = 1.25
"""As for one call in process: nothing but the router's own work is added, and nothing hides it."""
COUNT = 400
"""Calls in one part of a round, all servers together."""


async def measure(size: int, rounds: int) -> dict[str, list[list[float]]]:
    """Measure one number of servers."""
    async with raw_clients(size) as clients, router_of(size) as router:
        calls = [Call.tool(f"s{number}__echo", {"text": "tower"}) for number in range(size)]

        async def raw() -> None:
            await asyncio.gather(*(client.call_tool("echo", {"text": "tower"}) for client in clients))

        async def routed() -> None:
            answer = await router.fan_out(calls)
            assert not answer.degraded, answer.summary()

        actions: dict[str, Action] = {"raw": raw, "router": routed}
        gc.collect()
        return await interleaved(actions, rounds=rounds, count=max(4, COUNT // size))


async def main(*, rounds: int, quick: bool, as_json: bool) -> int:
    """Measure every size and print what came out; 1 if the limit was missed."""
    ratios: dict[str, float] = {}
    lines = [
        f"{'servers':>8}{'raw p50':>10}{'p99':>9}{'router p50':>12}{'p99':>9}   (ms)   {'ratio':>6}  limit {LIMIT:g}"
    ]
    latency: dict[str, dict[str, float]] = {}
    for size in QUICK if quick else SIZES:
        samples = await measure(size, rounds)
        ratios[str(size)] = round(ratio(samples, "router", "raw"), 4)
        row = {
            f"{name}_{mark}_ms": round(percentile([took for part in parts for took in part], share) * 1e3, 3)
            for name, parts in samples.items()
            for mark, share in (("p50", 0.5), ("p99", 0.99))
        }
        latency[str(size)] = row
        lines.append(
            f"{size:8}{row['raw_p50_ms']:10.2f}{row['raw_p99_ms']:9.2f}{row['router_p50_ms']:12.2f}"
            f"{row['router_p99_ms']:9.2f}          {ratios[str(size)]:6.3f}"
        )
    return conclude(ratios, dict.fromkeys(ratios, LIMIT), lines, as_json=as_json, latency=latency)


if __name__ == "__main__":
    given = arguments(__doc__, rounds=9, quick=5)
    sys.exit(asyncio.run(main(rounds=given.rounds, quick=given.quick, as_json=given.json)))
