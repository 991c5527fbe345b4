"""The chart of circuits and faults: a lane for each server, one below the other, on one axis of time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from recloser.testing.scenario.report.svg import Frame, group, picture, rect, tag, text
from recloser.testing.scenario.verdicts.numbers import in_time

__all__ = ["lanes"]

ROW: Final = 15.0
"""Pixels of height of a band."""
GAP: Final = 4.0
NARROW: Final = 480
LETTER: Final = 6.4
"""About how wide a letter of a label is, in pixels; what does not fit into its band stays unsaid there."""
WORDS: Final = {"closed": "closed", "open": "open", "half_open": "half-open", "isolated": "isolated"}
OURSELVES: Final = "this process"


def lanes(told: Mapping[str, Any], width: float) -> str:
    """Return the chart."""
    names = [(server["name"], server["circuit"]) for server in told["servers"]]
    if any(each["server"] is None for each in told["faults"]):
        names.append((OURSELVES, []))
    narrow = width < NARROW
    left = 10.0 if narrow else 24.0 + LETTER * max(len(name) for name, _ in names)
    probe = Frame(width=width, height=0, left=left, right=18, top=0, bottom=0, end=told["ended"])
    pieces: list[str] = []
    y = 8.0
    for name, states in names:
        mine = _rows([each for each in told["faults"] if (each["server"] or OURSELVES) == name])
        if narrow:
            pieces.append(text(left, y + 11, name, "name"))
            y += 20
        else:
            pieces.append(text(left - 10, y + 12, name, "name", "end"))
        for row in mine:
            pieces += (_fault(probe, each, y) for each in row)
            y += ROW + GAP
        if states:
            # Above the band stands what is said about it.
            y += GAP if mine else 0
            pieces += (_state(probe, each, y, first=not narrow and each is states[0]) for each in states)
            pieces += _marks(probe, told, name, y, narrow=narrow)
            y += ROW + GAP
        elif not mine:
            pieces.append(text(left + 4, y + 11, "no circuit", "small"))
            y += ROW
        y += 10
    frame = Frame(width=width, height=y + 22, left=left, right=18, top=0, bottom=26, end=told["ended"])
    return picture(width, frame.height, "Faults and circuits", _in_words(told), *pieces, frame.time_axis())


def _rows(faults: list[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """Return faults in rows, so that none covers another."""
    rows: list[list[Mapping[str, Any]]] = []
    for each in sorted(faults, key=lambda one: one["from"]):
        free = next((row for row in rows if row[-1]["to"] <= each["from"]), None)
        if free is None:
            rows.append([each])
        else:
            free.append(each)
    return rows


def _fault(frame: Frame, told: Mapping[str, Any], y: float) -> str:
    left, right = frame.x(told["from"]), frame.x(told["to"])
    said = told["fault"] + (f" of {told['tool']}" if told["tool"] else "")
    hint = f"{said}: {told['from']:.2f} to {told['to']:.2f} s{'' if told['ends'] else ', to the end'}"
    if right - left < 6:
        # What happens once: a mark and its name.
        mark = tag("path", tag("title", hint), d=f"M{left:.1f} {y:.1f}l5 {ROW:.1f}h-10z", class_="fault")
        return group(mark, text(left + 8, y + 11.5, said, "label"))
    room = right - left > LETTER * len(said) + 10
    return group(
        rect(left, y, right - left, ROW, "fault", hint=hint, rounded=2),
        text(left + 6, y + 11.5, said, "on-fault") if room else "",
    )


def _state(frame: Frame, told: Mapping[str, Any], y: float, *, first: bool) -> str:
    left, right = frame.x(told["from"]), frame.x(told["to"])
    said = WORDS[told["state"]]
    hint = f"circuit {said}: {told['from']:.2f} to {told['to']:.2f} s"
    room = right - left > LETTER * len(said) + 10
    if told["state"] == "closed":
        band = rect(left, y + ROW / 2 - 2, right - left, 4, "s-closed", hint=hint)
        # Said once: further on, the moments at which the server answered again stand there.
        return group(band, text(left + 4, y + 2, said, "small") if room and first else "")
    # One that lasts but a moment is still seen.
    band = rect(left, y, max(1.6, right - left), ROW, f"s-{told['state']}", hint=hint, rounded=2)
    return group(band, text(left + 6, y + 11.5, said, f"on-{told['state']}") if room else "")


def _marks(frame: Frame, told: Mapping[str, Any], name: str, y: float, *, narrow: bool) -> Iterator[str]:
    """Mark the moments at which a server answered again, with how long that took after its fault had ended."""
    for each in told["recoveries"]:
        if each["server"] != name or each["took"] is None:
            continue
        x = frame.x(each["ended"] + each["took"])
        said = f"+{in_time(each['took'])}" if narrow else f"answers again after {in_time(each['took'])}"
        wide = LETTER * len(said)
        near_the_end = x + wide + 12 > frame.width - frame.right
        yield group(
            tag("path", tag("title", said), d=f"M{x:.1f} {y - 3:.1f}v{ROW + 4:.1f}", class_="mark"),
            tag("circle", cx=x, cy=y - 3, r=3.5, class_="mark-dot"),
            text(x - 7 if near_the_end else x + 7, y + 1, said, "small", "end" if near_the_end else "start"),
        )


def _in_words(told: Mapping[str, Any]) -> str:
    parts = []
    for server in told["servers"]:
        opened = server["opened"]
        back = [each for each in told["recoveries"] if each["server"] == server["name"] and each["took"] is not None]
        said = (
            f"{server['name']}: circuit opened {opened} times" if opened else f"{server['name']}: circuit stayed closed"
        )
        parts.append(said + "".join(f", answered again {in_time(each['took'])} after {each['fault']}" for each in back))
    return "; ".join(parts) + "."
