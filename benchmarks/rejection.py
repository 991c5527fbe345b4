"""What a call costs that an open circuit rejects, over a call of the raw SDK client to a server in the same process.

python benchmarks/rejection.py [--json] [--quick] [--rounds 15]
"""

from __future__ import annotations

import asyncio
import gc
import sys

from _many import arguments, conclude
from fixtures import Action, interleaved, percentile, ratio
from mcp import Client
from servers.echo import server as echo_server

from recloser import Breaker, Router, Server, error_of
from recloser.testing.faulty import FaultyHttp

LIMIT = 0.15
COUNT = 400


async def measure(rounds: int) -> dict[str, list[list[float]]]:
    """Open a circuit by failures, then measure."""
    async with (
        FaultyHttp() as failing,
        Client(echo_server) as raw,
        Router(Server("failing", failing.url, breaker=Breaker(consecutive=2, open_for=300))) as router,
    ):
        await raw.list_tools()  # or the first call would list them, after the tool has run
        await router.ready("failing")
        failing.fault("status_503")
        for _ in range(4):
            answer = await router.call_tool("failing__echo", {"text": "tower"})
        error = error_of(answer)
        assert error is not None
        assert error.code == "circuit_open", error
        actions: dict[str, Action] = {
            "raw": lambda: raw.call_tool("echo", {"text": "tower"}),
            "rejected": lambda: router.call_tool("failing__echo", {"text": "tower"}),
        }
        gc.collect()
        gc.freeze()
        return await interleaved(actions, rounds=rounds, count=COUNT)


async def main(*, rounds: int, as_json: bool) -> int:
    """Measure and print; 1 if the limit was missed."""
    samples = await measure(rounds)
    ratios = {"rejection": round(ratio(samples, "rejected", "raw"), 4)}
    p50 = {name: percentile([took for part in parts for took in part], 0.5) * 1e6 for name, parts in samples.items()}
    line = (
        f"raw in process {p50['raw']:.1f} µs, rejected {p50['rejected']:.1f} µs, ratio {ratios['rejection']:.3f} "
        f"(limit {LIMIT:g})"
    )
    rounded = {name: round(value, 2) for name, value in p50.items()}
    return conclude(ratios, {"rejection": LIMIT}, [line], as_json=as_json, p50_us=rounded)


if __name__ == "__main__":
    given = arguments(__doc__, rounds=15, quick=7)
    sys.exit(asyncio.run(main(rounds=given.rounds, as_json=given.json)))
