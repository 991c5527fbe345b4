"""The commands `recloser chaos run`, `list` and `new`; what they do is loaded when they are called."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from recloser.cli.running import run as run_loop

chaos = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Put a fleet of servers under load and faults, and judge what then happens.",
)


class TargetName(StrEnum):
    """Who makes the calls."""

    ROUTER = "router"
    RAW = "raw"


Config = Annotated[
    Path | None, typer.Option(help="Your own configuration; only servers that it marks for chaos are struck.")
]


@chaos.command()
def run(
    scenario: Annotated[str, typer.Argument(help="A TOML file, or a name that `recloser chaos list` shows.")],
    *,
    config: Config = None,
    seed: Annotated[int | None, typer.Option(help="What all random numbers begin with; left out, it is drawn.")] = None,
    report: Annotated[
        list[Path] | None, typer.Option(help="Write the report: .html for people, .json for programs; may come twice.")
    ] = None,
    duration: Annotated[
        float | None, typer.Option(min=0.1, help="Seconds of load; all moments of the scenario move along.")
    ] = None,
    target: Annotated[
        TargetName, typer.Option(help="Who calls: a router, or for comparison the SDK's client as it is.")
    ] = TargetName.ROUTER,
    allow_kill: Annotated[
        bool, typer.Option("--allow-kill", help="Let the scenario end processes of your own servers.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the report as one JSON document.")] = False,
) -> int:
    """Run a scenario. Exits 0 if all its rules held, 1 if one did not."""
    from recloser.cli.chaos.running import Wanted, run_wanted

    wanted = Wanted(
        scenario=scenario,
        config=config,
        seed=seed,
        reports=tuple(report or ()),
        duration=duration,
        target="raw" if target is TargetName.RAW else "router",
        kill=allow_kill,
        as_json=json,
    )
    return run_loop(run_wanted(wanted))


@chaos.command("list")
def list_(*, json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False) -> None:
    """List the scenarios that come with recloser, and what cannot be shown yet."""
    from recloser.cli.chaos.listing import show

    show(as_json=json)


@chaos.command()
def new(
    name: Annotated[str, typer.Argument(help="The scenario's name, or its file.")],
    *,
    config: Config = None,
) -> None:
    """Write a commented scenario to start from."""
    from recloser.cli.chaos.making import make

    make(name, config)
