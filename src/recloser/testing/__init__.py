"""For tests of hosts and servers: faults, clocks, and servers that misbehave or do what a test says.

- `recloser.testing.chaos`: faults as policies, that strike a share of the calls of a router.
- `FakeServer`: an MCP server in memory that a test drives by hand.
- `FaultyHttp`, `FaultyStdio`, `python -m recloser.testing.faulty`: MCP servers that misbehave on purpose.
- `FaultProxy`: a TCP proxy that makes a connection bad, in toxiproxy's vocabulary.
- `run_virtual`, `VirtualClock`, `VirtualLoop`: five minutes of back-off in a millisecond.
- `at_most_once`, `by_deadline`, `no_leaks`: what a test wants to be sure of.
- `recloser.testing.plugin`: all of it as fixtures and a marker of pytest.

The names are loaded when they are first used, so that a faulty server starts in no time.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recloser.testing.asserts import at_most_once, by_deadline
    from recloser.testing.clock import VirtualClock, VirtualLoop, run_virtual
    from recloser.testing.fake import FakeServer, Request
    from recloser.testing.faulty import FaultyHttp, FaultyStdio
    from recloser.testing.leaks import no_leaks
    from recloser.testing.proxy import FaultProxy, Toxic

__all__ = [
    "FakeServer",
    "FaultProxy",
    "FaultyHttp",
    "FaultyStdio",
    "Request",
    "Toxic",
    "VirtualClock",
    "VirtualLoop",
    "at_most_once",
    "by_deadline",
    "no_leaks",
    "run_virtual",
]

_HOMES = {
    "asserts": ("at_most_once", "by_deadline"),
    "clock": ("VirtualClock", "VirtualLoop", "run_virtual"),
    "fake": ("FakeServer", "Request"),
    "faulty": ("FaultyHttp", "FaultyStdio"),
    "leaks": ("no_leaks",),
    "proxy": ("FaultProxy", "Toxic"),
}

if not TYPE_CHECKING:  # pragma: no branch - a type checker would take any name for one of the package

    def __getattr__(name: str) -> Any:
        for home, names in _HOMES.items():
            if name in names:
                value = globals()[name] = getattr(import_module(f"{__name__}.{home}"), name)
                return value
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted(set(globals()) | set(__all__))
