"""Pieces and rows of a scoreboard, made by hand."""

from __future__ import annotations

from typing import Any

DEADLINE = 1.5


def outcome(begun: float, took: float, *, good: bool = True, said: str = "", cut: bool = False) -> list[Any]:
    """What a driver says of one call."""
    return [begun, begun + took, good, said, cut]


def piece(**changes: Any) -> dict[str, Any]:
    """A run in which everything went well: calm from 0 to 1, in trouble from 1 to 3, healed at 2.5, served at 2.6."""
    well = [outcome(0.1 * number, 0.01) for number in range(40)]
    return {
        "peer": "recloser",
        "tuned": True,
        "scenario": "exit_mid_call",
        "era": "legacy",
        "pace": {"calm": 0.8, "blips": 1, "outage": 1.2, "recovery": 5.5, "after": 0.3},
        "opened": 0.3,
        "blocked": False,
        "blips": [
            {"safe": True, "outcome": outcome(1.0, 0.2)},
            {"safe": False, "outcome": outcome(1.3, 0.1, good=False, said="lost")},
        ],
        "blips_planned": 1,
        "calls": {
            "alpha": well,
            "gamma": well,
            "safe": [outcome(1.5, 0.3, good=False, said="lost"), outcome(2.5, 0.1)],
            "unsafe": [],
        },
        "calm": [[0.0, 1.0]],
        "trouble": [[1.0, 3.0]],
        "outage": [1.5, 2.5],
        "healed": 2.5,
        "served": 2.6,
        "died": None,
        "hung": False,
        "ending": {"closed": 0.1, "error": None, "lag": 0.0},
        "left": [],
        "versions": {"recloser": "0.1.0", "mcp": "2.3.0"},
        "duplicates": 0,
        **changes,
    }
