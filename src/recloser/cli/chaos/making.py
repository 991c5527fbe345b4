"""`recloser chaos new`: a scenario to start from."""

from __future__ import annotations

from pathlib import Path

import typer

from recloser.cli import output
from recloser.config import load
from recloser.testing.scenario.starter import command, starter


def make(name: str, config: Path | None) -> None:
    """Write a scenario into the working directory.

    Raises:
        typer.BadParameter: there is a file of this name, or it cannot be written.
        ConfigurationError: the configuration has mistakes.
    """
    path = Path(name if name.endswith(".toml") else f"{name}.toml")
    marked = () if config is None else sorted(load(config).chaos_allowed)
    settings = None if config is None else str(config)
    told = starter(str(path), config=settings, marked=marked)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(told)
    except FileExistsError as error:
        raise typer.BadParameter(f"{path} is there already.") from error
    except OSError as error:
        raise typer.BadParameter(f"{path} cannot be written: {error.strerror}.") from error
    output.note(f"Wrote {path}. Run it with: {command(str(path), config=settings)}")
    if config is not None and not marked:
        output.warn('No server is marked for chaos yet: set "chaos": true under recloser.servers.<name>.')
