"""What one more idle server costs in memory: a router's beside a raw SDK client's.

python benchmarks/memory.py [--json] [--quick] [--rounds 3]

Each host is a process of its own that opens some servers over stdio, then more, and tells its private memory after
each; the difference is divided by the servers that came in between. The servers' own processes are not counted.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import subprocess
import sys
from pathlib import Path

from _many import arguments, conclude, raw_clients, router_of

BEFORE, AFTER = 5, 45
LIMITS = {"per_server": 2.0}
"""Both keep the SDK's session and the tools; a router also keeps resources, prompts, a circuit and a catalog."""


def private() -> int:
    """Return the bytes of memory that this process shares with nobody."""
    text = Path("/proc/self/smaps_rollup").read_text(encoding="ascii")
    fields = dict(line.split(":", 1) for line in text.splitlines()[1:])
    return sum(int(fields[name].split()[0]) * 1024 for name in ("Private_Clean", "Private_Dirty"))


async def host(kind: str) -> None:
    """Open servers and print the memory that it has before and after; what the child processes run."""
    opened = {"raw": raw_clients, "router": router_of}[kind]
    async with opened(BEFORE):
        await asyncio.sleep(0.3)
        gc.collect()
        before = private()
        async with opened(AFTER - BEFORE):
            await asyncio.sleep(0.3)
            gc.collect()
            print((private() - before) / (AFTER - BEFORE), flush=True)


def per_server(kind: str) -> float:
    """Return the bytes that one more server costs."""
    return float(subprocess.check_output([sys.executable, __file__, "--host", kind]))


def main(*, rounds: int, as_json: bool) -> int:
    """Measure and print; 1 if the limit was missed."""
    pairs = [(per_server("raw"), per_server("router")) for _ in range(rounds)]
    raw, ours = (statistics.median(values) for values in zip(*pairs, strict=True))
    ratios = {"per_server": round(statistics.median(mine / theirs for theirs, mine in pairs), 3)}
    line = (
        f"one more idle server: raw {raw / 1024:.0f} KiB, router {ours / 1024:.0f} KiB, "
        f"ratio {ratios['per_server']:.3f} (limit {LIMITS['per_server']:g})"
    )
    size = {"raw_kib": round(raw / 1024, 1), "router_kib": round(ours / 1024, 1)}
    return conclude(ratios, LIMITS, [line], as_json=as_json, memory=size)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--host"]:
        asyncio.run(host(sys.argv[2]))
        sys.exit(0)
    if not Path("/proc/self/smaps_rollup").exists():
        print("memory is read from /proc, which only Linux has: nothing was measured", file=sys.stderr)
        sys.exit(0)
    given = arguments(__doc__, rounds=3, quick=1)
    sys.exit(main(rounds=given.rounds, as_json=given.json))
