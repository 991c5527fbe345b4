"""From what was seen to numbers: pure functions over the pieces of a run."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

__all__ = ["BANDS", "NEVER", "Figures", "figures", "merged", "percentile", "summary", "worse"]

Figures = dict[str, Any]

WELL: Final = ("alpha", "gamma")


def percentile(values: Iterable[float], share: float) -> float | None:
    """Return the value below which `share` of the values lie; None of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None


def _within(outcome: Sequence[Any], spans: Iterable[Sequence[float]]) -> bool:
    return any(begun <= outcome[0] < ended for begun, ended in spans)


def _well(piece: Mapping[str, Any]) -> list[Sequence[Any]]:
    return [outcome for name in WELL for outcome in piece["calls"].get(name, ())]


def _p99(outcomes: Iterable[Sequence[Any]], spans: Sequence[Sequence[float]]) -> float | None:
    took = [ended - begun for begun, ended, *_ in (each for each in outcomes if _within(each, spans))]
    found = percentile(took, 0.99)
    return None if found is None else found * 1000


def _planned(piece: Mapping[str, Any]) -> int:
    """Return how many healthy calls a host that lives makes at least, at a quarter of the fastest pace."""
    pace = piece["pace"]
    return int((pace["calm"] + pace["outage"]) * len(WELL) * 25)


def figures(piece: Mapping[str, Any], *, deadline: float) -> Figures:
    """Return the numbers of one piece.

    `recoverable` and `healthy` are pairs of successes and tries; times are seconds, `p99_*` and `overrun` milliseconds,
    None where there was nothing to measure. `recovered` is None where the host never had the server to lose.
    """
    well = _well(piece)
    lost = [outcome for name in ("safe", "unsafe") for outcome in piece["calls"].get(name, ())]
    blips = [each["outcome"] for each in piece["blips"]]
    safe = [each["outcome"] for each in piece["blips"] if each["safe"]]
    survived = piece["opened"] is not None and piece["died"] is None and not piece["hung"]
    tries = len(well) if survived else max(len(well), _planned(piece))
    singles = len(safe) if survived or not piece["blips_planned"] else piece["blips_planned"]
    every = [*well, *lost, *blips]
    over = max((ended - begun - deadline for begun, ended, *_ in every), default=None)
    return {
        "recoverable": [sum(outcome[2] for outcome in safe), singles],
        "healthy": [sum(outcome[2] for outcome in well), tries],
        "p99_calm": _p99(well, piece["calm"]),
        "p99_trouble": _p99(well, piece["trouble"]),
        "detected": _detected(piece, [*blips, *lost]),
        "recovered": _recovered(piece),
        "overrun": None if over is None else max(0.0, over) * 1000,
        "never_back": sum(outcome[4] for outcome in every),
        "duplicates": piece["duplicates"],
        "left": len(piece["left"]),
        "left_what": sorted({line.split(" ")[0] for line in piece["left"]}),
        "survived": survived,
        "start": _start(piece),
        "ended": _ended(piece),
    }


def _start(piece: Mapping[str, Any]) -> str:
    if piece["opened"] is None:
        return "blocked" if piece["blocked"] else "failed"
    return "blocked" if piece["blocked"] else "ok"


def _ended(piece: Mapping[str, Any]) -> str:
    """Return in a word how the host ended."""
    if piece["hung"]:
        return "hung"
    if piece["died"] is not None:
        return "died"
    return "closed" if piece["ending"]["closed"] is not None else "would not close"


def _detected(piece: Mapping[str, Any], outcomes: Iterable[Sequence[Any]]) -> float | None:
    """Return how long the first failed call of the sick server kept its caller waiting."""
    failed = [outcome for outcome in outcomes if not outcome[2]]
    if not failed:
        return None
    begun, ended, *_ = min(failed, key=lambda outcome: outcome[1])
    return float(ended - begun)


def _recovered(piece: Mapping[str, Any]) -> float | None:
    if piece["served"] is None or piece["healed"] is None:
        return None
    return float(max(0.0, piece["served"] - piece["healed"]))


def merged(rounds: Sequence[Figures]) -> Figures:
    """Return one set of numbers of several rounds: sums of what is counted, medians of times, the worst overrun."""
    first = rounds[0]
    result: Figures = {}
    for key, value in first.items():
        values = [each[key] for each in rounds]
        if key in ("recoverable", "healthy"):
            result[key] = [sum(part) for part in zip(*values, strict=True)]
        elif key in ("duplicates", "left", "never_back"):
            result[key] = sum(values)
        elif key == "left_what":
            result[key] = sorted({word for words in values for word in words})
        elif key == "survived":
            result[key] = all(values)
        elif isinstance(value, str):
            result[key] = value if len(set(values)) == 1 else "/".join(dict.fromkeys(values))
        elif key == "recovered":
            # A server that stays lost once is not made good by a round in which it came back.
            result[key] = None if None in values else statistics.median(values)
        else:
            known = [each for each in values if each is not None]
            chosen = max if key == "overrun" else statistics.median
            result[key] = chosen(known) if known else None
    return result


def _share(pairs: Iterable[Sequence[int]]) -> float | None:
    # Of each scenario first: a host that dies early makes few calls, and would hardly count.
    shares = [good / tries for good, tries in pairs if tries]
    return statistics.mean(shares) if shares else None


def summary(rows: Mapping[str, Figures]) -> Figures:
    """Return the numbers of one peer over all its scenarios, by the scenarios' names."""
    every = list(rows.values())
    times = [row["recovered"] for row in every if row["recovered"] is not None]
    waits = [row["detected"] for row in every if row["detected"] is not None]
    slow = [row["p99_trouble"] - row["p99_calm"] for row in every if row["p99_trouble"] and row["p99_calm"]]
    ratios = [row["p99_trouble"] / row["p99_calm"] for row in every if row["p99_trouble"] and row["p99_calm"]]
    return {
        "recoverable": _share(row["recoverable"] for row in every),
        "healthy": _share(row["healthy"] for row in every),
        "p99": statistics.median(ratios) if ratios else None,
        "p99_worst": max(slow, default=None),
        "detected": max(waits, default=None),
        "recovered": len(times),
        "scenarios": len(every),
        "recovery": statistics.median(times) if times else None,
        "overrun": max((row["overrun"] for row in every if row["overrun"] is not None), default=None),
        "never_back": sum(row["never_back"] for row in every),
        "duplicates": sum(row["duplicates"] for row in every),
        "left": sum(row["left"] for row in every),
        "survived": sum(row["survived"] for row in every),
    }


NEVER: Final = 1e6
"""Seconds that stand for never."""
BANDS: Final[Mapping[str, tuple[str, float]]] = {
    "recoverable": ("up", 0.0),
    "healthy": ("up", 0.001),
    "p99": ("down", 10.0),
    "detected": ("down", 0.1),
    "recovered": ("down", 0.25),
    "overrun": ("down", 50.0),
    "duplicates": ("down", 0.0),
    "left": ("down", 0.0),
    "survived": ("up", 0.0),
}
"""What is better, and by how much a figure must differ to count: shares, milliseconds (p99, overrun), seconds."""


def _value(row: Figures, key: str) -> float | None:
    if key in ("recoverable", "healthy"):
        good, tries = row[key]
        return good / tries if tries else None
    if key == "p99":
        calm, trouble = row["p99_calm"], row["p99_trouble"]
        return None if calm is None or trouble is None else max(0.0, trouble - calm)
    if key == "recovered":
        return NEVER if row[key] is None else row[key]
    value = row[key]
    return None if value is None else float(value)


def worse(ours: Figures, theirs: Figures, *, deadline: float) -> dict[str, tuple[float, float]]:
    """Return the figures in which ours are worse than theirs beyond the band, each with both values.

    Two are compared with a condition. Starting a server again takes the processor for a moment, so that the healthy
    servers' times are compared with those who bring it back too. Whoever tries again tells its caller later, so that to
    be told within the deadline is as good as at once.
    """
    found = {}
    for key, (better, band) in BANDS.items():
        mine, yours = _value(ours, key), _value(theirs, key)
        if mine is None or yours is None or (key == "p99" and theirs["recovered"] is None):
            continue
        if key == "detected":
            mine, yours = max(mine, deadline), max(yours, deadline)
        if (yours - mine if better == "up" else mine - yours) > band:
            found[key] = (mine, yours)
    return found
