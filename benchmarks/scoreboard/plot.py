"""The scoreboard as a picture: who was served how well in which fault, as an SVG of our own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from xml.sax.saxutils import escape

__all__ = ["score", "svg"]

CELL: Final = (58, 24)
"""Width and height of one cell, in pixels."""
LEFT: Final = 300
"""Pixels for the names of the peers."""
TOP: Final = 130
"""Pixels for the names of the faults, which stand at an angle."""
STYLE: Final = """
text { font: 12px system-ui, sans-serif; fill: #1f2328; }
.cell { font-size: 11px; text-anchor: middle; fill: #ffffff; }
.name { text-anchor: end; }
.ours { font-weight: 600; }
.note { font-size: 11px; fill: #59636e; }
.good { fill: #1a7f37; } .some { fill: #9a6700; } .bad { fill: #cf222e; } .none { fill: #d1d9e0; }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc; }
  .note { fill: #9198a1; }
  .good { fill: #2ea043; } .some { fill: #bb8009; } .bad { fill: #da3633; } .none { fill: #3d444d; }
}
"""
LEGEND: Final = (
    ("good", "all of it"),
    ("some", "a part of it"),
    ("bad", "healthy servers suffered, or the host died, hung or ran a tool twice"),
)


def score(figures: Mapping[str, Any]) -> tuple[int, int, bool]:
    """Return how many of its promises a peer kept in one scenario, of how many, and whether it did harm.

    The promises: every recoverable safe call succeeds, the server comes back without help, every call returns in time,
    nothing is left behind. Harm: healthy servers' calls failed, a tool ran twice, the host died or hung.
    """
    good, tries = figures["recoverable"]
    kept = [
        figures["recovered"] is not None,
        figures["overrun"] is not None and figures["overrun"] <= 50,
        figures["left"] == 0 and figures["ended"] == "closed",
    ]
    if tries:
        kept.append(good == tries)
    served, asked = figures["healthy"]
    harm = served < asked or figures["duplicates"] > 0 or not figures["survived"]
    return sum(kept), len(kept), harm


def _class(figures: Mapping[str, Any]) -> str:
    kept, promises, harm = score(figures)
    return "bad" if harm else "good" if kept == promises else "some"


def _cell(x: int, y: int, figures: Mapping[str, Any] | None, hint: str) -> str:
    wide, high = CELL
    if figures is None:
        kind, text = "none", ""
    else:
        kept, promises, _ = score(figures)
        kind, text = _class(figures), f"{kept}/{promises}"
    return (
        f'<g><title>{escape(hint)}</title><rect class="{kind}" x="{x + 1}" y="{y + 1}" width="{wide - 2}" '
        f'height="{high - 2}" rx="3"/><text class="cell" x="{x + wide / 2:g}" y="{y + 16}">{text}</text></g>'
    )


def svg(rows: Sequence[Mapping[str, Any]], scenarios: Sequence[str]) -> str:
    """Return the picture: a row for each peer and mode, a column for each scenario."""
    wide, high = CELL
    width = LEFT + wide * len(scenarios) + 70
    height = TOP + high * len(rows) + 44
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'role="img" aria-label="Promises kept by each peer in each fault">',
        f"<style>{STYLE}</style>",
    ]
    for index, name in enumerate(scenarios):
        x = LEFT + wide * index + wide / 2
        parts.append(f'<text transform="translate({x:g} {TOP - 8}) rotate(-45)">{escape(name)}</text>')
    for line, row in enumerate(rows):
        y = TOP + high * line
        ours = " ours" if row["peer"] == "recloser" else ""
        label = f"{row['title']}, {row['mode']}"
        parts.append(f'<text class="name{ours}" x="{LEFT - 8}" y="{y + 16}">{escape(label)}</text>')
        for index, name in enumerate(scenarios):
            hint = f"{label}: {name}"
            parts.append(_cell(LEFT + wide * index, y, row["faults"].get(name), hint))
    x = LEFT
    for kind, text in LEGEND:
        y = TOP + high * len(rows) + 14
        parts.append(f'<rect class="{kind}" x="{x}" y="{y}" width="14" height="14" rx="3"/>')
        parts.append(f'<text class="note" x="{x + 20}" y="{y + 11}">{escape(text)}</text>')
        x += 40 + 7 * len(text)
    return "\n".join([*parts, "</svg>", ""])
