"""`recloser demo`: the main job, shown on four real servers."""

from __future__ import annotations

from recloser.cli.running import run
from recloser.demo.story import tell


def demo() -> int:
    """Show the main job on four real servers: needs no network, no key, and about a quarter of a minute."""
    return run(tell())
