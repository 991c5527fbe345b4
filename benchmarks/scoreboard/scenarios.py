"""What goes wrong: one fault of `recloser.testing.faulty` each, in one place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal

__all__ = ["QUICK", "SCENARIOS", "USUAL", "Scenario"]


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One fault, over one transport."""

    name: str
    fault: str
    transport: Literal["stdio", "http"]
    says: str
    """What happens, in a few words, for the page."""
    moment: Literal["calls", "start", "idle"] = "calls"
    """`calls`: it strikes calls. `start`: it is there before the host starts, so that nothing is struck once and then
    served. `idle`: it strikes between two calls."""
    on: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def order(self, *, times: int | None = None) -> dict[str, Any]:
        """Return it as an order to a server: for ever, or for the next `times` messages that it strikes."""
        return {"fault": self.fault, "times": times, "on": self.on, "arguments": dict(self.arguments)}


def _all() -> tuple[Scenario, ...]:
    return (
        Scenario(
            name="hang_initialize",
            fault="hang_initialize",
            transport="stdio",
            moment="start",
            says="at start, one server never answers `initialize`",
        ),
        Scenario(
            name="hang_list",
            fault="hang_list",
            transport="stdio",
            moment="start",
            says="at start, one server never answers `tools/list`",
        ),
        Scenario(
            name="exit_at_start",
            fault="exit_at_start",
            transport="stdio",
            moment="start",
            says="at start, one server exits at once",
        ),
        Scenario(name="hang_call", fault="hang_call", transport="stdio", says="calls are never answered"),
        Scenario(name="exit_mid_call", fault="exit_mid_call", transport="stdio", says="the process dies in the call"),
        Scenario(
            name="exit_idle",
            fault="exit_idle",
            transport="stdio",
            moment="idle",
            says="the process dies between two calls",
        ),
        Scenario(name="garbage", fault="garbage", transport="stdio", says="what comes back is no JSON"),
        Scenario(name="hang_call_http", fault="hang_call", transport="http", says="calls are never answered"),
        Scenario(name="status_503", fault="status_503", transport="http", says="calls get status 503"),
        Scenario(
            name="status_429",
            fault="status_429",
            transport="http",
            arguments={"retry_after": "0"},
            says="calls get status 429, Retry-After 0",
        ),
        Scenario(name="reset", fault="reset", transport="http", says="the connection is reset after the tool has run"),
        Scenario(name="session_lost", fault="session_lost", transport="http", says="sessions are forgotten: 404"),
        Scenario(
            name="restart",
            fault="restart",
            transport="http",
            arguments={"down": 0.1},
            says="restarts for 0.1 s, with its sessions lost",
        ),
    )


SCENARIOS: Final[Mapping[str, Scenario]] = MappingProxyType({scenario.name: scenario for scenario in _all()})
"""Every scenario by its name, in the order of the page."""
USUAL: Final = tuple(name for name in SCENARIOS if name != "hang_call_http")
"""Those that are measured unless others are named: hanging calls take long, and one transport shows them."""
QUICK: Final = ("hang_list", "exit_mid_call", "status_503")
"""Those of the short form."""
