"""How long recloser takes to import, all of its public names, over `import mcp`, in fresh interpreters, alternating.

python benchmarks/import_time.py [--json] [--rounds 11]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys

from fixtures import machine, report

LIMIT = 1.2
TIMED = "from time import perf_counter as clock; begun = clock(); {}; print(clock() - begun)"
OURS = "from recloser import *"
THEIRS = "import mcp"


def seconds(statement: str) -> float:
    """Return the seconds that a fresh interpreter takes for an import."""
    return float(subprocess.check_output([sys.executable, "-c", TIMED.format(statement)]))


def main(*, rounds: int, as_json: bool) -> int:
    """Measure and print; 1 if the limit was missed."""
    for statement in (THEIRS, OURS):
        seconds(statement)  # compiled files, warm disk
    pairs = [(seconds(THEIRS), seconds(OURS)) for _ in range(rounds)]
    mcp, ours = (statistics.median(values) for values in zip(*pairs, strict=True))
    ratio = round(statistics.median(ours / mcp for mcp, ours in pairs), 3)
    document = {"mcp_s": mcp, "recloser_s": ours, "ratio": ratio, "limit": LIMIT, "machine": machine()}
    lines = [f"{THEIRS} {mcp:.3f} s, {OURS} {ours:.3f} s, ratio {ratio:.3f} (limit {LIMIT})"]
    report(document, lines, as_json=as_json)
    return 0 if ratio <= LIMIT else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=11)
    options = parser.parse_args()
    sys.exit(main(rounds=options.rounds, as_json=options.json))
