"""The command line. Loads nothing until it is called: typer and rich live behind this door."""

from __future__ import annotations

import logging
from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; `argv` is without the program's name."""
    from recloser.cli.streams import lasting

    with lasting():
        return _ran(argv)


def _ran(argv: Sequence[str] | None) -> int:
    from recloser.cli import exits, output
    from recloser.config import ConfigurationError
    from recloser.telemetry.variables import load_named

    # What libraries log goes nowhere, unless somebody asks for it: a command says itself what went wrong.
    logging.getLogger().addHandler(logging.NullHandler())
    try:
        # The SDK's client, which the commands load, cannot be loaded where the environment names what there is not.
        load_named()
    except ConfigurationError as error:
        output.refuse(error)
        return exits.CONFIGURATION

    from recloser.cli.app import run

    return run(argv)
