"""How long `import recloser` takes over `import mcp`, each in fresh interpreters, alternating.

python benchmarks/import_time.py [--json] [--rounds 11]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys

from fixtures import machine, report

LIMIT = 1.2
TIMED = "from time import perf_counter as clock; begun = clock(); import {}; print(clock() - begun)"


def seconds(module: str) -> float:
    """Return the seconds that a fresh interpreter takes to import a module."""
    return float(subprocess.check_output([sys.executable, "-c", TIMED.format(module)]))


def main(*, rounds: int, as_json: bool) -> int:
    """Measure and print; 1 if the limit was missed."""
    for module in ("mcp", "recloser"):
        seconds(module)  # compiled files, warm disk
    pairs = [(seconds("mcp"), seconds("recloser")) for _ in range(rounds)]
    mcp, ours = (statistics.median(values) for values in zip(*pairs, strict=True))
    ratio = round(statistics.median(ours / mcp for mcp, ours in pairs), 3)
    document = {"mcp_s": mcp, "recloser_s": ours, "ratio": ratio, "limit": LIMIT, "machine": machine()}
    lines = [f"import mcp {mcp:.3f} s, import recloser {ours:.3f} s, ratio {ratio:.3f} (limit {LIMIT})"]
    report(document, lines, as_json=as_json)
    return 0 if ratio <= LIMIT else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=11)
    options = parser.parse_args()
    sys.exit(main(rounds=options.rounds, as_json=options.json))
