"""Whether speed has got worse: the short forms of the benchmarks, by ratio, as CI runs them.

python benchmarks/_check.py [--quick] [--only overhead,catalog] [--slack 1.5]

A ratio compares two things in one run, so that it means the same on another machine; a machine that others use too
still shakes it. So each limit gets some slack here, and what is over it is measured once more before it counts.
`--quick` leaves out what takes long.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SLACK = 1.15
"""By how much a ratio may be over its limit on a machine that is not quiet."""
PATIENCE = 240.0
"""Seconds that one benchmark may take."""
CHECKS: Mapping[str, tuple[str, ...]] = {
    "overhead": ("--rounds", "7"),
    "rejection": ("--quick",),
    "catalog": ("--quick",),
    "fan_out": ("--quick",),
    "import_time": ("--rounds", "5"),
    "start_up": ("--quick",),
    "memory": ("--quick",),
    "soak": ("--quick",),
}
LONG = ("start_up", "memory", "soak")
"""Left out of the quick form."""


def over(document: Mapping[str, Any], slack: float = SLACK) -> dict[str, tuple[float, float]]:
    """Return the ratios of a benchmark that are over their limits even with the slack, each with its limit."""
    ratios, limits = document.get("ratios"), document.get("limits")
    if ratios is None or limits is None:
        # One number alone, as `import_time` has it.
        ratios, limits = {"ratio": document["ratio"]}, {"ratio": document["limit"]}
    return {
        name: (ratios[name], limit) for name, limit in limits.items() if name in ratios and ratios[name] > limit * slack
    }


def measured(name: str) -> dict[str, Any]:
    """Run a benchmark and return its document.

    Raises:
        RuntimeError: it printed none.
    """
    command = [sys.executable, str(HERE / f"{name}.py"), "--json", *CHECKS[name]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    try:
        document: dict[str, Any] = json.loads(done.stdout)
    except ValueError as error:
        raise RuntimeError(f"{name} printed no document: {done.stderr[-500:]}") from error
    return document


def main(names: tuple[str, ...], slack: float = SLACK) -> int:
    """Run the benchmarks, those that miss twice; 1 if one missed twice."""
    bad = []
    for name in names:
        missed = over(measured(name), slack)
        if missed:
            print(f"{name}: {missed}; once more")
            missed = {key: found for key, found in over(measured(name), slack).items() if key in missed}
        verdict = (
            "ok"
            if not missed
            else ", ".join(f"{key} {ratio:.3f} > {limit:g}" for key, (ratio, limit) in missed.items())
        )
        print(f"{name:12} {verdict}", flush=True)
        bad += [name] if missed else []
    return 1 if bad else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help=f"without {', '.join(LONG)}")
    parser.add_argument("--only", type=lambda text: tuple(text.split(",")))
    parser.add_argument("--slack", type=float, default=SLACK, help="by how much a ratio may be over its limit")
    given = parser.parse_args()
    if unknown := [name for name in given.only or () if name not in CHECKS]:
        parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join(CHECKS)}")
    chosen = given.only or tuple(name for name in CHECKS if not (given.quick and name in LONG))
    sys.exit(main(chosen, given.slack))
