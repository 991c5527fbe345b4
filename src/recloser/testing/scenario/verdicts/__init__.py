"""From what was seen to a verdict per rule; each is a function of the run alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from recloser.testing.scenario.observed import Run
from recloser.testing.scenario.verdicts import calls, circuits, clocks, siblings, state
from recloser.testing.scenario.verdicts.verdict import Verdict

__all__ = ["JUDGES", "Verdict", "judge"]

JUDGES: Final[Mapping[str, Callable[[Run], Verdict]]] = MappingProxyType(
    {
        "1": clocks.deadline,
        "2": siblings.isolation,
        "3": calls.at_most_once,
        "4": clocks.cancellation,
        "5": circuits.circuit,
        "6": circuits.load,
        "7": state.leftovers,
        "8": state.secrets,
        "10": calls.bad_input,
        "11": state.listings,
        "12": state.eras,
        "13": clocks.questions,
        "answered": calls.answered,
        "evidence": circuits.evidence,
        "recovery": calls.recovery,
    }
)
"""Who judges each rule."""


def judge(run: Run) -> tuple[Verdict, ...]:
    """Return the verdict on every rule that the run's scenario names, in its order."""
    return tuple(replace(JUDGES[rule](run), rule=rule) for rule in run.scenario.rules)
