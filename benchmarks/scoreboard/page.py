"""The page of the scoreboard and its table in a terminal, made of the document alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from .peers import PEERS
from .plot import svg

__all__ = ["markdown", "terminal", "write"]

Row = Mapping[str, Any]
NOTHING: Final = "–"  # noqa: RUF001 - the sign for nothing to say, not a hyphen
TIMES: Final = "×"  # noqa: RUF001 - the sign, not a letter


def _share(value: float | None) -> str:
    if value is None:
        return NOTHING
    # Never rounded up to all.
    return "100 %" if value == 1 else f"{min(value * 100, 99.9):.1f} %".replace(".0 %", " %")


def _seconds(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.2f} s"


def _milliseconds(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.0f} ms"


def _times(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.2f} {TIMES}"


def _pair(pair: Sequence[int]) -> str:
    return NOTHING if not pair[1] else f"{pair[0]} of {pair[1]}"


SUMMARY: Final[Mapping[str, Callable[[Row], str]]] = {
    "recoverable": lambda row: _share(row["recoverable"]),
    "healthy": lambda row: _share(row["healthy"]),
    "p99": lambda row: _times(row["p99"]),
    "told": lambda row: _seconds(row["detected"]),
    "back": lambda row: f"{row['recovered']} of {row['scenarios']}",
    "back in": lambda row: _seconds(row["recovery"]),
    "latest": lambda row: (
        _milliseconds(row["overrun"]) + (f", {row['never_back']} {TIMES}" if row["never_back"] else "")
    ),
    "twice": lambda row: str(row["duplicates"]),
    "left": lambda row: str(row["left"]),
    "survived": lambda row: f"{row['survived']} of {row['scenarios']}",
}
"""The columns of the table over all scenarios."""

FAULT: Final[Mapping[str, Callable[[Row], str]]] = {
    "start": lambda row: row["start"],
    "recoverable": lambda row: _pair(row["recoverable"]),
    "healthy": lambda row: _pair(row["healthy"]),
    "p99 calm": lambda row: _milliseconds(row["p99_calm"]),
    "p99": lambda row: _milliseconds(row["p99_trouble"]),
    "told": lambda row: _seconds(row["detected"]),
    "back in": lambda row: "never" if row["recovered"] is None else _seconds(row["recovered"]),
    "latest": lambda row: (
        _milliseconds(row["overrun"]) + (f", {row['never_back']} {TIMES}" if row["never_back"] else "")
    ),
    "twice": lambda row: str(row["duplicates"]),
    "left": lambda row: f"{row['left']} {', '.join(row['left_what'])}" if row["left"] else "0",
    "host": lambda row: row["ended"],
}
"""The columns of the table of one scenario."""

INTRODUCTION: Final = """\
# Scoreboard

The same servers, faults, load and deadlines for recloser and for every peer that could be installed, each in an
environment of its own. This page is made from `docs/scoreboard.json` by `python -m benchmarks.scoreboard --render`;
`python -m benchmarks.scoreboard --write` measures it anew, and `--quick` shows the short form.

{facts}

![Promises kept by each peer in each fault](scoreboard.svg)

A cell counts the promises that were kept: every recoverable safe call succeeds (where there are any), the server comes
back without help, no call is more than 50 ms late, nothing is left behind.
"""

METHOD: Final = """\
## How it is measured

A host is a process that runs one peer as its documentation says; [each adapter](../benchmarks/scoreboard/adapters) is a
page long. It has three servers: two stay well, one over stdio and one over HTTP, and the third gets sick. Both healthy
ones are called all the while. A run is: start, calm, single faults (each strikes one safe call, the next one an unsafe
one), an outage with callers that go on, healed, calm, close. Faults named *at start* are there before the host is.

Each caller gives each call {deadline:g} s. What a caller can say *with* a call (its deadline; for recloser also that
the tool is safe to repeat) is said in both modes; *defaults* sets nothing else up, *tuned* sets what the peer's
documentation offers, with the same times for all. A call that is not back half a second after its deadline is cut off,
and counts as one that never came back. Servers speak the handshake era, which every peer speaks. A host, its servers
and its callers share one core.

| figure | is |
| --- | --- |
| recoverable | safe calls that were struck once by a fault that was over by the next attempt, and succeeded |
| healthy | calls of the healthy servers that succeeded; in the first table the mean of all faults |
| p99 | of the healthy servers' calls, in trouble over in calm; the median of all faults |
| told | how long the first failed call of the sick server kept its caller waiting; in the first table the worst |
| back, back in | whether and how soon the sick server was served again, once it was well; the first: the median |
| latest | the longest overrun of a deadline, and how many calls never came back |
| twice | executions of the unsafe tool beyond one for each call, counted at the server |
| left | tasks, processes, pipes and sockets after closing that were not there before |
| survived | whether the host's own task went on |
"""

WHY: Final = """\
Each line is a figure in which a peer is better beyond what one run can tell (a quarter of a second, 10 ms for a p99,
50 ms for a deadline), ours first, then theirs. *recovered*: an open circuit lets no call through before its break is
over or a new connection has passed its check; a client without a circuit asks the server with every call, and is served
the moment that it is well. Breaks are short in the tuned run; at the defaults the first one takes up to 5 s. A server
that hangs while it starts is given up after `timeouts.start`, 30 s at the defaults.
"""


def _table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    return [
        f"| {' | '.join(heads)} |",
        f"|{' --- |' * len(heads)}",
        *(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines),
    ]


def _name(row: Row) -> str:
    name = f"{row['title']}, {row['mode']}"
    return f"**{name}**" if row["peer"] == "recloser" else name


def _facts(document: Row) -> str:
    machine = document["machine"]
    rounds = "one round" if document["rounds"] == 1 else f"{document['rounds']} rounds"
    short = ", short form" if document["quick"] else ""
    return (
        f"Measured {document['date']}: {rounds}{short}, Python {machine['python']}, {machine['system']}, "
        f"{machine['cores']} cores."
    )


def _versions(rows: Sequence[Row]) -> list[str]:
    lines = []
    seen: set[str] = set()
    for row in rows:
        if row["peer"] in seen:
            continue
        seen.add(row["peer"])
        versions = ", ".join(f"{package} {version}" for package, version in row["versions"].items())
        lines.append([row["title"], versions, PEERS[row["peer"]].tuned or "nothing to set"])
    return _table(("peer", "versions", "tuned"), lines)


def markdown(document: Row) -> str:
    """Return the page."""
    rows = document["rows"]
    parts = [INTRODUCTION.format(facts=_facts(document))]
    summary = [[_name(row), *(show(row["all"]) for show in SUMMARY.values())] for row in rows]
    parts.append("\n".join(_table(("over all faults", *SUMMARY), summary)) + "\n")
    parts.append(METHOD.format(deadline=document["deadline"]))
    parts.append("## Where recloser is not first\n")
    if document["missed"]:
        parts.append(WHY)
        parts.append("\n".join(f"- {line}" for line in document["missed"]) + "\n")
    else:
        parts.append("Nowhere in this run.\n")
    parts.append("## Each fault\n")
    for name, says in document["scenarios"].items():
        lines = [
            [_name(row), *(show(row["faults"][name]) for show in FAULT.values())]
            for row in rows
            if name in row["faults"]
        ]
        parts.append(f"### {name}\n\n{says[0].upper()}{says[1:]}.\n")
        parts.append("\n".join(_table(("", *FAULT), lines)) + "\n")
    parts.append("## Versions and settings\n")
    parts.append("\n".join(_versions(rows)) + "\n")
    parts.append("## Not measured\n")
    parts.append("\n".join(_table(("who", "why"), list(document["missing"].items()))) + "\n")
    return "\n".join(parts)


def terminal(document: Row) -> str:
    """Return the first table as text, and what was missed."""
    rows = [(f"{row['title']}, {row['mode']}", row["all"]) for row in document["rows"]]
    lines = [["", *SUMMARY], *([name, *(show(found) for show in SUMMARY.values())] for name, found in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    text = [
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]
    text += [f"{who}: {why}" for who, why in document["missing"].items()]
    return "\n".join([*text, *(f"missed: {line}" for line in document["missed"])])


def write(document: Row, place: Path, text: str) -> None:
    """Write the document, the page and the picture beside it."""
    place.write_text(f"{text}\n", encoding="utf-8")
    place.with_suffix(".md").write_text(markdown(document), encoding="utf-8")
    picture = svg(document["rows"], list(document["scenarios"]))
    place.with_suffix(".svg").write_text(picture, encoding="utf-8")
