"""Print the tests that are about the files whose coverage fell short, one path a line.

A branch that only a race reaches may be missed by a run on a slow machine; these tests are what is run once more.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
KNOWN: Final = {
    "scenario": ("chaos",),
    "metrics": ("observe",),
    "connection": ("connection", "faults"),
    "transport": ("transport", "connection", "faults"),
}
"""Where the tests of a package are that bear another name."""


def tests_of(path: Path) -> Iterator[Path]:
    """Yield the directory, or the files, of the tests that are about one file of the package."""
    for name in reversed(path.with_suffix("").parts[2:]):
        places = [ROOT / "tests" / known for known in KNOWN.get(name, (name,))]
        if places[0].is_dir():
            yield from places
            return
        if found := sorted((ROOT / "tests").glob(f"test_{name}*.py")):
            yield from found
            return
    yield ROOT / "tests"


def main() -> int:
    """Read the coverage data of this directory."""
    told = subprocess.run(
        [sys.executable, "-m", "coverage", "json", "--fail-under=0", "--quiet", "-o", "-"],
        check=True,
        capture_output=True,
        text=True,
    )
    files = json.loads(told.stdout)["files"]
    short = [Path(name) for name, seen in files.items() if seen["summary"]["percent_covered"] < 100]
    for path in sorted({path for each in short for path in tests_of(each)}):
        sys.stdout.write(f"{path.relative_to(ROOT)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
