"""One piece of the scoreboard: one peer in one mode in one scenario, from a host's start to its end.

    open · calm · single faults (a safe call each, then an unsafe one) · outage · healed · calm · close

All the while both healthy servers are called. What is written down is raw: `figures` makes numbers of it.
"""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass
from time import monotonic
from typing import Any, Final

from .fleet import Fleet, fleet
from .hosting import Gone, Hosted, hosted
from .peers import Peer
from .scenarios import Scenario

__all__ = ["DEADLINE", "Pace", "play"]

DEADLINE: Final = 1.5
"""Seconds that each caller gives each call."""
OPENING: Final = 3.0
"""Seconds that a host may take to start with a sick server before its start counts as blocked."""
LATE: Final = 4.0
"""Seconds that a blocked start gets after the server was healed."""
ENDING: Final = 8.0
"""Seconds that a host may take to close."""
LIMIT: Final = 60.0
"""Seconds after which a host that answers nothing any more is killed."""
WELL: Final = {"tool": "echo", "pause": 0.01, "timeout": DEADLINE, "safe": True}
"""How the healthy servers are called: 100 times a second at most."""
SICK: Final = {"pause": 0.05, "timeout": DEADLINE}
"""How the sick one is called from the outage on: by one caller with a safe tool, and by one with an unsafe one."""


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How long the parts of a run take, in seconds."""

    calm: float = 0.8
    blips: int = 2
    """Single faults of each kind: one strikes a safe call, the next an unsafe one."""
    outage: float = 1.2
    recovery: float = 5.0
    """How long a server that is well again may go unserved before that counts as for ever."""
    after: float = 0.3


QUICK: Final = Pace(calm=0.5, blips=1, outage=0.8, after=0.2)


class _Run:
    """One run; writes down what it sees."""

    def __init__(self, host: Hosted, servers: Fleet, scenario: Scenario, pace: Pace) -> None:
        self._host = host
        self._servers = servers
        self._scenario = scenario
        self._pace = pace
        self._numbers = itertools.count(1)
        self.seen: dict[str, Any] = {
            "opened": None,
            "blocked": False,
            "blips": [],
            "blips_planned": 0 if scenario.moment == "start" else pace.blips,
            "calls": {},
            "calm": [],
            "trouble": [],
            "outage": None,
            "healed": None,
            "served": None,
            "died": None,
            "hung": False,
        }

    async def play(self, *, tuned: bool, starting: float) -> None:
        """Play all parts; a host that is gone ends it early."""
        sick, at_start = self._servers.sick, self._scenario.moment == "start"
        if at_start:
            await sick.behave(self._scenario.order())
        await self._open(tuned=tuned, within=OPENING + starting)
        try:
            for server in ("alpha", "gamma"):
                await self._host.send("load", name=server, server=server, **WELL)
            if not at_start:
                await self._calm(self._pace.calm)
                begun = monotonic()
                await self._blips()
                self.seen["trouble"].append([begun, monotonic()])
            await self._outage(begin=not at_start)
            await self._recovery()
            await self._calm(self._pace.calm if at_start else self._pace.after)
        finally:
            await self._stop()

    async def _open(self, *, tuned: bool, within: float) -> None:
        order = {"servers": self._servers.addresses(), "deadline": DEADLINE, "tuned": tuned}
        await self._host.send("open", **order)
        try:
            event = await self._host.wait("opened", within=within)
        except TimeoutError:
            self.seen["blocked"] = True
            await self._servers.sick.behave(None)
            self.seen["healed"] = monotonic()
            event = await self._host.wait("opened", within=LATE)
        self.seen["opened"] = event["seconds"]

    async def _calm(self, seconds: float) -> None:
        begun = monotonic()
        await self._host.pause(seconds)
        self.seen["calm"].append([begun, monotonic()])

    async def _blips(self) -> None:
        for _, safe in itertools.product(range(self._pace.blips), (True, False)):
            await self._servers.sick.behave(self._scenario.order(times=1))
            if self._scenario.moment == "idle":
                await self._ask(safe=True)  # is answered, and then the server goes
                await self._host.pause(0.2)
            outcome = await self._ask(safe=safe)
            self.seen["blips"].append({"safe": safe, "outcome": outcome})
            # What is left of an order must not strike what comes next.
            await self._servers.sick.behave(None)

    async def _ask(self, *, safe: bool) -> list[Any]:
        number = next(self._numbers)
        tool = "echo" if safe else "write"
        call = {"server": "sick", "tool": tool, "text": f"single {number}", "timeout": DEADLINE, "safe": safe}
        await self._host.send("call", number=number, **call)
        outcome: list[Any] = (await self._host.wait("called", number=number, within=LIMIT))["outcome"]
        return outcome

    async def _outage(self, *, begin: bool) -> None:
        if self.seen["healed"] is None and begin:
            await self._servers.sick.behave(self._scenario.order())
        begun = monotonic()
        for name, tool, safe in (("safe", "echo", True), ("unsafe", "write", False)):
            await self._host.send("load", name=name, server="sick", tool=tool, safe=safe, **SICK)
        if self.seen["healed"] is None:
            await self._host.pause(self._pace.outage)
            await self._servers.sick.behave(None)
            self.seen["healed"] = monotonic()
        self.seen["outage"] = [begun, self.seen["healed"]]

    async def _recovery(self) -> None:
        begun, healed = self.seen["outage"]
        until = max(healed, begun) + self._pace.recovery
        while monotonic() < until:
            await self._host.send("served", name="safe", since=healed)
            at = (await self._host.wait("served", within=LIMIT))["at"]
            if at is not None:
                self.seen["served"] = at
                break
            await self._host.pause(0.05)
        self.seen["trouble"].append([begun, monotonic()])

    async def _stop(self) -> None:
        for name in ("alpha", "gamma", "safe", "unsafe"):
            if self._host.gone and not self._host.talks:
                return
            await self._host.send("stop", name=name)
            event = await self._host.wait("stopped", "unknown", within=LIMIT, living=False)
            if event["event"] == "stopped":
                self.seen["calls"][name] = event["outcomes"]


async def play(peer: Peer, scenario: Scenario, *, tuned: bool, era: str, pace: Pace, python: str) -> dict[str, Any]:
    """Play one scenario with one peer and return all that was seen."""
    well = "http" if "http" in peer.transports else "stdio"
    async with fleet(scenario.transport, era, well=well) as servers:
        async with hosted(peer, python) as host:
            run = _Run(host, servers, scenario, pace)
            seen = run.seen
            try:
                await run.play(tuned=tuned, starting=peer.starting)
            except Gone as gone:
                seen["died"] = str(gone)
            except TimeoutError:
                seen["hung"] = seen["opened"] is not None
                seen["blocked"] = seen["opened"] is None
            ending = await host.end(within=ENDING)
            seen |= {"ending": ending, "left": [*ending.pop("left"), *_processes(servers)]}
            seen["versions"] = host.versions
            seen["stderr"] = host.stderr()
        seen["duplicates"] = servers.duplicates()
    return {"peer": peer.name, "tuned": tuned, "scenario": scenario.name, "era": era, "pace": asdict(pace), **seen}


def _processes(servers: Fleet) -> list[str]:
    return [f"server process {pid}" for pid in servers.alive()]
