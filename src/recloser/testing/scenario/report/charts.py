"""The charts of calls by outcome and of latency, each drawn for one width."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

from recloser.testing.scenario.report.document import OUTCOMES
from recloser.testing.scenario.report.svg import (
    Frame,
    group,
    log_ticks,
    number,
    picture,
    rect,
    seconds,
    tag,
    text,
    ticks,
)
from recloser.testing.scenario.verdicts.numbers import counted, in_time

__all__ = ["calls", "latency"]

NARROW: Final = 480
"""Pixels of width below which two parts of the timeline are drawn as one."""
WITHOUT: Final = 2
LINES: Final = {"p99": "p99", "p90": "p90", "p50": "median"}
"""From the slowest: what the lines of the latency chart are called."""
GROUPS: Final = {"healthy": "servers without a fault", "struck": "servers that had one"}


def calls(told: Mapping[str, Any], width: float) -> str:
    """Return the timeline of calls by outcome, as stacked bars."""
    step, counts = _merged(told["calls"], 2 if width < NARROW else 1)
    parts = len(next(iter(counts.values())))
    end = max(step * parts, told["ended"])
    totals = [sum(counts[name][part] for name in OUTCOMES) for part in range(parts)]
    top = max(1, *totals)
    frame = Frame(width=width, height=250 if width >= NARROW else 210, left=38, right=10, top=24, bottom=26, end=end)
    levels = [(mark / (top * 1.05), f"{mark:g}") for mark in ticks(top, 4)]
    said = f"calls that ended, in each {seconds(step)}"
    return picture(
        frame.width,
        frame.height,
        "Calls over time, by how they ended",
        _in_words(told),
        _shades(told, frame),
        frame.grid(levels),
        *(_bar(frame, step, part, top * 1.05, counts) for part in range(parts)),
        frame.time_axis(),
        text(frame.left, 14, said, "caption"),
    )


def _merged(told: Mapping[str, Any], times: int) -> tuple[float, dict[str, list[int]]]:
    counts = {
        name: [sum(values[at : at + times]) for at in range(0, len(values), times)]
        for name, values in told["counts"].items()
    }
    return told["step"] * times, counts


def _bar(frame: Frame, step: float, part: int, top: float, counts: Mapping[str, list[int]]) -> str:
    left, right = frame.x(part * step), frame.x((part + 1) * step)
    gap = min(1.5, (right - left) * 0.15)
    pieces = []
    below = 0
    for name in OUTCOMES:
        count = counts[name][part]
        if count:
            upper, lower = frame.y((below + count) / top), frame.y(below / top)
            hint = f"{part * step:g} to {(part + 1) * step:g} s: {counted(count, 'call')} {OUTCOMES[name]}"
            pieces.append(rect(left + gap / 2, upper, right - left - gap, lower - upper, f"o-{name}", hint=hint))
            below += count
    return "".join(pieces)


def _in_words(told: Mapping[str, Any]) -> str:
    numbers = told["numbers"]
    ended = [f"{count} {OUTCOMES[name]}" for name, count in numbers["outcomes"].items() if count]
    faults = ", ".join(
        f"{each['fault']} of {each['server'] or 'our surroundings'} from {each['from']:.1f} to {each['to']:.1f} s"
        for each in told["faults"]
    )
    return f"{counted(numbers['calls'], 'call')}: {', '.join(ended) or 'none'}. Faults: {faults or 'none'}."


def _shades(told: Mapping[str, Any], frame: Frame) -> str:
    faults = told["faults"]
    spans = [(each["from"], each["to"]) for each in faults]
    return frame.bands(spans, lambda index: f"{faults[index]['fault']} of {faults[index]['server'] or 'ourselves'}")


def latency(told: Mapping[str, Any], width: float) -> str:
    """Return the percentiles of answered calls over time, on a logarithmic axis, one panel for each kind of server."""
    groups = told["latency"]["groups"]
    beside = width >= 2 * NARROW and len(groups) == WITHOUT
    wide = (width - 24) / 2 if beside else width
    tall = 230.0
    values = [value for series in groups.values() for name in LINES for value in series[name] if value]
    if not values:
        return ""
    low, high = min(values), max(values)
    panels = []
    for index, (name, series) in enumerate(groups.items()):
        frame = Frame(width=wide, height=tall, left=52, right=46, top=30, bottom=26, end=told["ended"])
        drawn = "".join(_panel(frame, GROUPS[name], series, log_ticks(low, high), told, struck=name == "struck"))
        across, down = (index * (wide + 24), 0.0) if beside else (0.0, index * (tall + 14))
        panels.append(group(drawn, transform=f"translate({number(across)} {number(down)})"))
    height = tall if beside else tall * len(groups) + 14 * (len(groups) - 1)
    return picture(width, height, "How long answered calls took, over time", _latency_in_words(groups), *panels)


def _panel(
    frame: Frame,
    title: str,
    series: Mapping[str, list[Any]],
    marks: list[float],
    told: Mapping[str, Any],
    *,
    struck: bool,
) -> Iterator[str]:
    first, last = math.log10(marks[0]), math.log10(marks[-1])

    def at(value: float) -> float:
        return frame.y((math.log10(max(value, marks[0])) - first) / (last - first))

    yield text(0, 14, title, "caption")
    if struck:
        yield _shades(told, frame)
    yield frame.grid([((math.log10(mark) - first) / (last - first), seconds(mark)) for mark in marks])
    taken: list[float] = []
    for name, said in LINES.items():
        points = [
            (frame.x(moment), at(value)) for moment, value in zip(series["at"], series[name], strict=True) if value
        ]
        for piece in _pieces(points, frame.x(told["latency"]["step"]) - frame.left):
            path = "M" + "L".join(f"{number(x)} {number(y)}" for x, y in piece)
            yield tag("path", d=path, class_=f"line l-{name}")
            if len(piece) == 1:
                yield tag("circle", cx=piece[0][0], cy=piece[0][1], r=2.5, class_=f"dot l-{name}")
        # Labels stand beside the ends of their lines, each below the one before where they would cover each other.
        y = points[-1][1] + 4
        y = max([y, *(other + 13 for other in taken)]) if taken else y
        taken.append(y)
        yield text(frame.width - frame.right + 6, min(y, frame.floor + 4), said, f"label t-{name}")
    yield frame.time_axis()


def _pieces(points: list[tuple[float, float]], step: float) -> list[list[tuple[float, float]]]:
    """Return a line in pieces: where nobody was answered there is nothing to draw."""
    pieces: list[list[tuple[float, float]]] = []
    for point in points:
        if pieces and point[0] - pieces[-1][-1][0] < 1.5 * step:
            pieces[-1].append(point)
        else:
            pieces.append([point])
    return pieces


def _latency_in_words(groups: Mapping[str, Mapping[str, list[Any]]]) -> str:
    told = []
    for name, series in groups.items():
        worst = max((value for value in series["p99"] if value), default=0.0)
        usual = sorted(value for value in series["p50"] if value)
        middle = usual[len(usual) // 2] if usual else 0.0
        told.append(f"{GROUPS[name]}: usually {in_time(middle)}, p99 at worst {in_time(worst)}")
    return "; ".join(told) + "."
