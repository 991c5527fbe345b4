"""The command line of a faulty server: `python -m recloser.testing.faulty --list` shows what it can do wrong."""

from __future__ import annotations

import sys


def _without_the_packages() -> None:  # pragma: no cover - as below
    """Let the imports below find their modules without running what the packages above them load."""
    here = __file__.rpartition("/")[0] or "."
    parents = (("recloser", f"{here}/../.."), ("recloser.testing", f"{here}/.."), ("recloser.testing.faulty", here))
    for name, place in parents:
        package = type(sys)(name)
        package.__path__ = [place]
        sys.modules[name] = package


if not __package__:  # pragma: no cover - run by its path it is part of no package, and coverage does not see it
    # As `script()` does: the start is quicker by whatever the packages import.
    _without_the_packages()

from recloser.testing.faulty.cli import main  # noqa: E402 - the packages must be in place first

sys.exit(main())
