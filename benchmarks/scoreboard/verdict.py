"""What recloser must reach, and where a peer is better than it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from .figures import NEVER, figures, merged, summary, worse
from .peers import PEERS

__all__ = ["OURS", "OVERRUN", "missed", "put_together"]

OURS: Final = "recloser"
OVERRUN: Final = 50.0
"""Milliseconds by which a call may be late."""


def put_together(pieces: Iterable[Mapping[str, Any]], *, deadline: float) -> list[dict[str, Any]]:
    """Return one row for each peer and mode, with the numbers of each scenario and those over all of them."""
    groups: dict[tuple[str, bool], dict[str, list[Mapping[str, Any]]]] = {}
    for piece in pieces:
        groups.setdefault((piece["peer"], piece["tuned"]), {}).setdefault(piece["scenario"], []).append(piece)
    rows = []
    for (name, tuned), scenarios in groups.items():
        faults = {
            scenario: merged([figures(each, deadline=deadline) for each in found])
            for scenario, found in scenarios.items()
        }
        peer = PEERS[name]
        versions = next(iter(scenarios.values()))[0]["versions"]
        rows.append(
            {
                "peer": name,
                "title": peer.title,
                "mode": "tuned" if tuned else "defaults",
                "set": peer.tuned if tuned else None,
                "versions": versions,
                "faults": faults,
                "all": summary(faults),
            }
        )
    return rows


def missed(rows: Sequence[Mapping[str, Any]], *, deadline: float) -> list[str]:
    """Return a line for what recloser must reach and does not, and for each figure in which a peer is better.

    A run at defaults is compared with others at theirs; the tuned one with all.
    """
    lines = []
    for mine in (row for row in rows if row["peer"] == OURS):
        lines += _absolute(mine)
        others = [row for row in rows if row["peer"] != OURS and mine["mode"] in ("tuned", row["mode"])]
        lines += _beaten(mine, others, deadline)
    return lines


def _absolute(row: Mapping[str, Any]) -> list[str]:
    lines = []
    for scenario, found in row["faults"].items():
        place = f"{OURS} ({row['mode']}), {scenario}"
        good, tries = found["recoverable"]
        if row["mode"] == "tuned" and good < tries:
            lines.append(f"{place}: {good} of {tries} recoverable safe calls succeeded")
        if found["duplicates"]:
            lines.append(f"{place}: {found['duplicates']} duplicate executions of an unsafe tool")
        if found["overrun"] is not None and found["overrun"] > OVERRUN:
            lines.append(f"{place}: a call was {found['overrun']:.0f} ms late")
        if found["left"]:
            lines.append(f"{place}: {found['left']} things were left behind ({', '.join(found['left_what'])})")
        if found["recovered"] is None:
            lines.append(f"{place}: did not recover")
        if not found["survived"]:
            lines.append(f"{place}: the host did not survive")
    return lines


def _beaten(mine: Mapping[str, Any], others: Iterable[Mapping[str, Any]], deadline: float) -> list[str]:
    found: dict[tuple[str, str], list[tuple[float, float, str]]] = {}
    for row in others:
        for scenario in mine["faults"].keys() & row["faults"].keys():
            better = worse(mine["faults"][scenario], row["faults"][scenario], deadline=deadline)
            for figure, (ours, theirs) in better.items():
                name = f"{row['title']} ({row['mode']})"
                found.setdefault((scenario, figure), []).append((ours, theirs, name))
    order = list(mine["faults"])
    return [
        f"{OURS} ({mine['mode']}), {scenario}, {figure}: {_shown(better[0][0])}; "
        + ", ".join(f"{name} {_shown(theirs)}" for _, theirs, name in better)
        for (scenario, figure), better in sorted(found.items(), key=lambda item: (order.index(item[0][0]), item[0][1]))
    ]


def _shown(value: float) -> str:
    return "never" if value == NEVER else f"{value:.3g}"
