"""The command line.

python -m benchmarks.scoreboard [--peers a,b] [--faults x,y] [--rounds N] [--quick] [--json FILE] [--write]

Each peer is installed into an environment of its own, below `$XDG_CACHE_HOME/recloser-scoreboard`; each piece (a peer,
a mode, a scenario, a round) is kept there too, and measured again only if what it depends on has changed (`--again`
measures all anew), so that a run that was ended goes on where it was.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from . import page
from .peers import PEERS
from .run import Wanted, run
from .scenarios import QUICK, SCENARIOS, USUAL

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "scoreboard.json"


def _names(known: Sequence[str], word: str) -> Callable[[str], tuple[str, ...]]:
    def read(text: str) -> tuple[str, ...]:
        names = tuple(text.split(","))
        if unknown := [name for name in names if name not in known]:
            raise argparse.ArgumentTypeError(f"unknown {word} {', '.join(unknown)}; known: {', '.join(known)}")
        return names

    return read


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scoreboard", description=__doc__.splitlines()[0])
    parser.add_argument("--peers", type=_names(list(PEERS), "peer"), help="all; --quick leaves out what starts slowly")
    parser.add_argument("--faults", type=_names(list(SCENARIOS), "fault"))
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--era", choices=("legacy", "dual"), default="legacy", help="what the servers speak")
    parser.add_argument("--quick", action="store_true", help=f"{', '.join(QUICK)}; shorter phases")
    parser.add_argument("--lanes", type=int, default=0, help="pieces at a time, each on a core; 0: one for each core")
    parser.add_argument("--again", action="store_true", help="measure what is already there anew")
    parser.add_argument("--install", action="store_true", help="only make the environments")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the document here too")
    parser.add_argument("--write", action="store_true", help="write docs/scoreboard.{json,md,svg}")
    parser.add_argument("--render", action="store_true", help="measure nothing: make the page of docs/scoreboard.json")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, write; 1 where recloser misses what it must reach."""
    given = arguments(argv)
    if given.render:
        document = json.loads(DOCUMENT.read_text(encoding="utf-8"))
    else:
        wanted = Wanted(
            peers=given.peers or tuple(name for name, peer in PEERS.items() if not (given.quick and peer.starting)),
            scenarios=given.faults or (QUICK if given.quick else USUAL),
            rounds=given.rounds,
            era=given.era,
            quick=given.quick,
            lanes=given.lanes,
            again=given.again,
            install_only=given.install,
        )
        document = asyncio.run(run(wanted))
    text = json.dumps(document, indent=1)
    if given.json is not None:
        given.json.write_text(f"{text}\n", encoding="utf-8")
    if given.write or given.render:
        page.write(document, DOCUMENT, text)
    print(page.terminal(document))
    return 1 if document["missed"] else 0


if __name__ == "__main__":
    sys.exit(main())
