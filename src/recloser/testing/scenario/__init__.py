"""Scenarios: load and faults on a timeline against real servers, and a verdict on each rule by what then happens.

    scenario = load_scenario(path)
    run = await run_scenario(scenario, seed=1)
    for verdict in judge(run): ...

Nothing of this is loaded by a router. `recloser chaos` is its command line.
"""

from recloser.testing.scenario.engine import Progress
from recloser.testing.scenario.fleets import RefusedError
from recloser.testing.scenario.observed import Run, Sample
from recloser.testing.scenario.reading import load_scenario
from recloser.testing.scenario.records import Load, Scenario, Strike
from recloser.testing.scenario.runner import run_scenario
from recloser.testing.scenario.verdicts import Verdict, judge

__all__ = [
    "Load",
    "Progress",
    "RefusedError",
    "Run",
    "Sample",
    "Scenario",
    "Strike",
    "Verdict",
    "judge",
    "load_scenario",
    "run_scenario",
]
