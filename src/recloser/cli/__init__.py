"""The command line. Loads nothing until it is called: typer and rich live behind this door."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; `argv` is without the program's name."""
    from recloser.cli.app import run

    return run(argv)
