"""What can be done to a process of another program: signals, and a limit on its memory."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

__all__ = ["can_limit", "limit_memory", "lives", "signalled"]


def signalled(pid: int, number: signal.Signals) -> None:
    """Send a signal; without effect where the process is gone."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def lives(pid: int) -> bool:
    """Return whether there is such a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def can_limit() -> bool:
    """Return whether this system can limit the memory of another process."""
    return sys.platform.startswith("linux")


def limit_memory(pid: int, megabytes: float | None) -> str:
    """Let a process have so much memory more than it has now; None takes the limit away. Return what it came to."""
    if not can_limit():
        return "this system cannot limit another process's memory, so that nothing was done"
    import resource

    if megabytes is None:
        limit = resource.RLIM_INFINITY
    else:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[0])
        limit = pages * resource.getpagesize() + int(megabytes * 1_000_000)
    with suppress(ProcessLookupError):
        resource.prlimit(pid, resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    return "" if megabytes is None else f"{megabytes:g} MB more than it had"
