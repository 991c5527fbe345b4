"""A run and its verdicts as plain JSON values: all that the page shows, and all that a program may want."""

from __future__ import annotations

import math
import platform
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import version
from itertools import groupby
from types import MappingProxyType
from typing import Any, Final

from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from recloser.testing.scenario.observed import Run, Sample
from recloser.testing.scenario.rules import GOALS, RULES
from recloser.testing.scenario.verdicts import Verdict
from recloser.testing.scenario.verdicts.calls import recoveries
from recloser.testing.scenario.verdicts.clocks import asks
from recloser.testing.scenario.verdicts.numbers import percentile

__all__ = ["OUTCOMES", "SCHEMA", "document", "outcome_of", "verdict_of"]

SCHEMA: Final = "recloser.chaos/1"
BARS: Final = 56
"""About how many parts the timeline of calls has."""
POINTS: Final = 28
"""About how many parts the percentiles over time have: each needs enough calls to be worth a point."""
NICE: Final = (0.02, 0.05, 0.1, 0.2, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0)
"""Lengths of a part in seconds that people can count in."""
PARTS: Final = (0.5, 0.9, 0.99)

OUTCOMES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "answered": "answered at once",
        "retried": "answered after another attempt",
        "rejected": "turned away at once",
        "transient": "failed: may work later",
        "auth": "failed: credentials",
        "critical": "failed: will not work so",
        "cancelled": "given up by the caller",
        "hung": "never returned",
    }
)
"""How a call can end, for a reader; from the best to the worst."""

_LOCAL: Final = frozenset({"circuit_open", "bulkhead_full", "throttled"})


def outcome_of(sample: Sample) -> str:
    """Return under which of `OUTCOMES` a call counts."""
    if sample.outcome in ("cancelled", "hung"):
        return sample.outcome
    if sample.good:
        return "retried" if sample.attempts > 1 else "answered"
    if sample.code in _LOCAL:
        return "rejected"
    # A raw client's failure has no class; whether it would pass again, nobody has said.
    return sample.kind or "critical"


def verdict_of(run: Run, verdicts: Iterable[Verdict]) -> str:
    """Return what all verdicts come to: the worst of them, or that the run was not finished."""
    states = {verdict.state for verdict in verdicts}
    if "broke" in states:
        return "broke"
    if run.interrupted:
        return "interrupted"
    return "unseen" if "unseen" in states else "held"


def document(run: Run, verdicts: Sequence[Verdict], *, command: str) -> dict[str, Any]:
    """Return everything that is told of a run.

    Args:
        run: what was seen.
        verdicts: what is concluded from it.
        command: the words that repeat it.
    """
    scenario = run.scenario
    return {
        "schema": SCHEMA,
        "verdict": verdict_of(run, verdicts),
        "scenario": {
            "name": scenario.name,
            "title": scenario.title,
            "proves": scenario.proves,
            "fleet": scenario.fleet,
            "duration": scenario.duration,
            "raw_holds": scenario.raw_holds,
        },
        "target": run.target,
        "seed": run.seed,
        "command": command,
        "ended": _round(run.ended),
        "interrupted": run.interrupted,
        "versions": {
            "recloser": version("recloser"),
            "mcp": version("mcp"),
            "python": platform.python_version(),
            "system": f"{platform.system()} {platform.machine()}",
            "implementation": sys.implementation.name,
        },
        "rules": [
            {
                "rule": verdict.rule,
                "text": {**RULES, **GOALS}[verdict.rule],
                "state": verdict.state,
                "evidence": verdict.evidence,
                "cases": list(verdict.cases),
            }
            for verdict in verdicts
        ],
        "numbers": _numbers(run),
        "servers": [_server(run, name) for name in run.servers],
        "calls": _outcomes(run),
        "latency": _latency(run),
        "faults": _faults(run),
        "recoveries": [
            {"server": server, "fault": strike.name, "ended": _round(ended), "took": _round(_after(first, ended))}
            for strike, server, ended, first in recoveries(run)
        ],
        "lag": {
            "longest": _round(max((lag.late for lag in run.lags), default=0.0)),
            "total": _round(sum(lag.late for lag in run.lags)),
        },
        "notes": list(run.notes),
    }


def _after(first: float | None, ended: float) -> float | None:
    return None if first is None else first - ended


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def _numbers(run: Run) -> dict[str, Any]:
    counts = Counter(map(outcome_of, run.samples))
    overruns = [each.ended - each.began - each.timeout for each in run.samples if not asks(run, each)]
    return {
        "calls": len(run.samples),
        "outcomes": {name: counts[name] for name in OUTCOMES},
        "codes": dict(Counter(each.code for each in run.samples if each.code is not None).most_common()),
        "attempts": len(run.attempts),
        "overrun": _round(max(0.0, *overruns) if overruns else 0.0),
        **_percentiles(run.samples),
    }


def _percentiles(samples: Iterable[Sample]) -> dict[str, float | None]:
    took = [each.took for each in samples if each.good]
    return {f"p{part * 100:.0f}": _round(percentile(took, part)) if took else None for part in PARTS}


def _server(run: Run, name: str) -> dict[str, Any]:
    transport, era = _reached(run, name)
    mine = [each for each in run.samples if each.server == name]
    counts = Counter(map(outcome_of, mine))
    return {
        "name": name,
        "transport": transport,
        "era": era,
        "struck": name in run.struck_servers,
        "calls": len(mine),
        "outcomes": {key: counts[key] for key in OUTCOMES},
        "opened": sum(mark.server == name and mark.state == "open" for mark in run.circuits),
        "connected": sum(mark.server == name and mark.state == "ready" for mark in run.connections),
        "circuit": [
            {"from": _round(began), "to": _round(ended), "state": state} for began, ended, state in run.states(name)
        ]
        if run.target == "router"
        else [],
        **_percentiles(mine),
    }


def _reached(run: Run, name: str) -> tuple[str | None, str | None]:
    """Return how a server is reached, and in which era: as the scenario says, or as it was where it is a user's."""
    told, own = run.scenario.servers.get(name), run.options.get(name)
    if told is not None:
        return told.transport, told.era
    versions = [mark.version for mark in run.connections if mark.server == name and mark.version is not None]
    modern = bool(versions) and versions[-1] in MODERN_PROTOCOL_VERSIONS
    return (None if own is None else own.kind), ("modern" if modern else "legacy") if versions else None


def _step(run: Run, parts: int) -> float:
    least = run.ended / parts
    return next((step for step in NICE if step >= least), math.ceil(least))


def _outcomes(run: Run) -> dict[str, Any]:
    """Return how many calls ended in each way, in each part of the run, by when they ended."""
    step = _step(run, BARS)
    last = max((each.ended for each in run.samples), default=run.ended)
    parts = max(1, math.ceil(max(run.ended, last) / step))
    counts = {name: [0] * parts for name in OUTCOMES}
    for each in run.samples:
        counts[outcome_of(each)][min(parts - 1, int(each.ended / step))] += 1
    return {"step": step, "counts": counts}


def _latency(run: Run) -> dict[str, Any]:
    """Return the percentiles of answered calls over time: of servers that had a fault, and of those that had none."""
    step = _step(run, POINTS)
    groups: dict[str, Callable[[Sample], bool]] = {
        "healthy": lambda each: each.server not in run.struck_servers,
        "struck": lambda each: each.server in run.struck_servers,
    }
    series = {}
    for name, belongs in groups.items():
        good = [each for each in run.samples if each.good and belongs(each)]
        if good:
            series[name] = _over_time(good, step)
    return {"step": step, "groups": series}


def _over_time(samples: list[Sample], step: float) -> dict[str, list[Any]]:
    ordered = sorted(samples, key=lambda each: each.ended)
    found: dict[str, list[Any]] = {"at": [], **{f"p{part * 100:.0f}": [] for part in PARTS}}
    for index, some in groupby(ordered, key=lambda each: int(each.ended / step)):
        took = [each.took for each in some]
        found["at"].append(_round((index + 0.5) * step))
        for part in PARTS:
            found[f"p{part * 100:.0f}"].append(_round(percentile(took, part)))
    return found


def _faults(run: Run) -> list[dict[str, Any]]:
    return [
        {
            "server": each.server,
            "fault": each.strike.name,
            "kind": each.strike.kind,
            "tool": each.strike.tool,
            "from": _round(max(0.0, each.began)),
            "to": _round(run.ended if each.ended is None else each.ended),
            "ends": each.ended is not None,
            "times": each.times,
            "note": each.note,
        }
        for each in run.struck
    ]
