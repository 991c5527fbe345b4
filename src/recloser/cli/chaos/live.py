"""What a person sees while a scenario runs: how far it is, what calls come to, which circuits are open."""

from __future__ import annotations

import sys
from collections import Counter
from types import TracebackType
from typing import Final, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live as RichLive
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from recloser.testing.scenario import Progress, Scenario
from recloser.testing.scenario.report.document import OUTCOMES, outcome_of

_STYLES: Final = {"closed": "green", "open": "bold red", "half_open": "yellow", "isolated": "magenta"}
_GOOD: Final = ("answered", "retried")


class Live:
    """A picture on stderr that is drawn again and again, if a person watches; else one line when the servers are there.

    `_counts` and `_seen` are changed by `show` alone.
    """

    def __init__(self, scenario: Scenario, *, target: str) -> None:
        self._scenario = scenario
        self._target = target
        self._console = Console(stderr=True)
        self._live: RichLive | None = None
        self._counts: Counter[str] = Counter()
        self._seen = 0

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            self._live = RichLive(console=self._console, transient=True, auto_refresh=False)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, progress: Progress) -> None:
        """Draw how far a run is."""
        if self._live is not None:
            fresh = progress.recorder.samples[self._seen :]
            self._seen += len(fresh)
            self._counts.update(map(outcome_of, fresh))
            self._live.update(self._drawn(progress), refresh=True)
        elif progress.phase == "connecting":
            # Not before: what turns out to be impossible with these servers is told without it.
            seconds = f"{self._scenario.duration:g}"
            self._console.print(
                f"{self._scenario.title}: {seconds} s of load on the {self._target} ...", highlight=False
            )

    def _drawn(self, progress: Progress) -> RenderableType:
        running = progress.phase == "running"
        head = Table.grid(padding=(0, 2))
        duration = self._scenario.duration
        now = min(max(0.0, progress.now), duration) if running else duration if self._seen else 0.0
        where = f"{now:4.1f} of {duration:g} s" if running else progress.phase
        head.add_row(Text(self._scenario.title, "bold"), ProgressBar(duration, now, width=32), Text(where, "dim"))
        told = Text()
        for name, count in self._counts.items():
            told.append(f"{count} ", "green" if name in _GOOD else "red").append(f"{OUTCOMES[name]}   ", "dim")
        return Group(head, told, self._servers(progress))

    def _servers(self, progress: Progress) -> RenderableType:
        states = progress.recorder.states()
        struck: dict[str, list[str]] = {}
        for each in progress.active:
            struck.setdefault(each.server or "this process", []).append(each.strike.name)
        table = Table.grid(padding=(0, 2))
        for name in dict.fromkeys([*self._scenario.servers, *states, *struck]):
            state = states.get(name, "closed")
            circuit = Text("" if name == "this process" else state.replace("_", "-"), _STYLES[state])
            table.add_row(Text(f"  {name}"), circuit, Text(", ".join(struck.get(name, ())), "yellow"))
        return table
