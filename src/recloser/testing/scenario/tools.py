"""What can be thrown at any server, our own or a user's: the chaos policies and the proxy's toxics, by name."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from recloser.testing import chaos
from recloser.testing.proxy import KINDS
from recloser.testing.scenario.records import Strike

__all__ = ["NEEDED", "POLICIES", "READ_ONLY", "TOXICS", "make_policy"]

READ_ONLY: Final = "read-only"
"""In place of tools' names: those of a user's servers that say they are read-only and can be called with what their
schemas suggest."""

POLICIES: Final[Mapping[str, type[chaos.ChaosPolicy]]] = MappingProxyType(
    {
        each.__name__: each
        for each in (
            chaos.Latency,
            chaos.Fault,
            chaos.Blackhole,
            chaos.Disconnect,
            chaos.AuthFailure,
            chaos.RateLimited,
            chaos.Garbage,
        )
    }
)
"""The chaos policies that a timeline may name."""

TOXICS: Final[Mapping[str, str]] = MappingProxyType(
    {"down": "closes the port and all connections", **{name: facts.does for name, facts in KINDS.items()}}
)
"""What the proxy before a server over HTTP can do, in toxiproxy's words."""


NEEDED: Final[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {"Latency": {"delay": 0.0}, "Fault": {"code": "internal"}}
)
"""The arguments that a policy cannot do without, each with a value that is right."""


def make_policy(strike: Strike, *, seed: int) -> chaos.ChaosPolicy:
    """Return a strike's policy, switched off.

    Raises:
        ValueError: an argument is unknown, missing, or out of its range.
        TypeError: an argument is of the wrong type.
    """
    kind: Any = POLICIES[strike.name]
    known = [name for name in inspect.signature(kind.__init__).parameters if name not in ("self", "chance")]
    known += [name for name in chaos.Chance.__annotations__ if name not in ("seed", "when", "active")]
    for name in strike.arguments:
        if name not in known:
            raise ValueError(f"{strike.name} has no argument {name!r}; known: {', '.join(known)}")
    if missing := [name for name in NEEDED.get(strike.name, {}) if name not in strike.arguments]:
        raise ValueError(f"{strike.name} needs {', '.join(missing)}")
    if strike.tool is not None and "tools" in strike.arguments:
        raise ValueError(f"{strike.name}: say tool, or the argument tools, and not both")
    more = {} if strike.tool is None else {"tools": strike.tool}
    made: chaos.ChaosPolicy = kind(**{**strike.arguments, **more}, seed=seed, active=False)
    return made
