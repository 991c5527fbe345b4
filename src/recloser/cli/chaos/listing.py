"""`recloser chaos list`: what there is, what it proves, and what is open."""

from __future__ import annotations

from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from recloser.cli import output
from recloser.testing.scenario import Scenario, load_scenario
from recloser.testing.scenario.rules import OPEN, OPEN_SCENARIOS
from recloser.testing.scenario.shipped import shipped


def show(*, as_json: bool) -> None:
    """Print all scenarios."""
    scenarios = [load_scenario(path) for path in shipped().values()]
    if as_json:
        output.document({"scenarios": [_facts(each) for each in scenarios], "open": _open()})
    elif output.on_terminal():
        output.picture(_table(scenarios))
    else:
        for each in scenarios:
            output.data(f"{each.name}\t{','.join(each.rules)}\t{each.proves}")
        for name, why in _open().items():
            output.data(f"{name}\topen\t{why}")


def _facts(scenario: Scenario) -> dict[str, Any]:
    return {
        "name": scenario.name,
        "title": scenario.title,
        "proves": scenario.proves,
        "rules": list(scenario.rules),
        "seconds": scenario.duration,
        "fleet": scenario.fleet,
        "raw": "red" if scenario.raw_holds is None else scenario.raw_holds,
    }


def _open() -> dict[str, str]:
    return {**OPEN_SCENARIOS, **{f"rule {rule}": why for rule, why in OPEN.items()}}


def _table(scenarios: list[Scenario]) -> Group:
    table = Table(box=None, pad_edge=False)
    for heading in ("Scenario", "Rules", "What it proves"):
        table.add_column(heading, overflow="fold")
    for each in scenarios:
        own = " (needs --config)" if each.fleet == "config" else ""
        table.add_row(Text(each.name, style="cyan"), Text(", ".join(each.rules), style="dim"), Text(each.proves + own))
    open_ = Table(box=None, pad_edge=False)
    open_.add_column("Open, and not passed")
    open_.add_column("Why")
    for name, why in _open().items():
        open_.add_row(Text(name, style="yellow"), Text(why))
    return Group(table, Text(""), open_)
