"""What the tests of chaos share: runs made by hand, a fleet and a client in memory, scenarios from text."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import mcp_types as types
import pytest

from recloser.config import ConfigurationError
from recloser.events import AttemptFinished, CallFinished, CircuitChanged
from recloser.options import Server
from recloser.testing.clock import run_virtual
from recloser.testing.faulty.work import Execution
from recloser.testing.scenario import Run, Sample, Scenario, load_scenario
from recloser.testing.scenario.engine import Engine
from recloser.testing.scenario.observed import Struck
from recloser.testing.scenario.records import FleetServer, Load, Strike
from recloser.testing.scenario.targets import Told

FAULT = Strike(kind="fault", name="hang_call", servers=("sick",), at=1.0, until=2.0)

GOOD = """
title = "X"
proves = "Y."
rules = [1, "recovery"]

[servers.a]
transport = "stdio"
era = "legacy"
timeouts = { total = 2.0, attempt = 0.5 }

[servers.b]

[[load]]
tools = { echo = 1 }

[[timeline]]
at = 1
until = 2.5
server = ["a", "b"]
fault = "hang_call"
arguments = { executes = true }
tool = "write"

[[timeline]]
action = "clock_step"
"""

SHORT = """
title = "A short one"
proves = "Calls that are wrong are told so."
duration = 0.5
rules = [1, 7, 10]

[servers.search]

[servers.files]
transport = "stdio"

[[load]]
rate = 60
tools = { echo = 2, unknown = 1, bad_arguments = 1, fail = 1 }
"""
"""Half a second in which each of three rules has something to be judged by."""


def member(name: str, **facts: Any) -> FleetServer:
    options = {key: facts.pop(key) for key in ("breaker", "retry", "timeouts") if key in facts}
    return FleetServer(name=name, options=Server(name, command="-", **options), **facts)


def scenario(*rules: str, servers: tuple[FleetServer, ...] = (), **facts: Any) -> Scenario:
    known = servers or (member("sick"), member("well"))
    given = {"name": "x", "title": "X", "proves": "Something.", "duration": 4.0, "loads": (Load(name="a"),)} | facts
    return Scenario(rules=rules or ("1",), servers={each.name: each for each in known}, **given)


def sample(began: float = 0.5, took: float = 0.01, **facts: Any) -> Sample:
    given = {
        "number": 1,
        "load": "a",
        "server": "sick",
        "tool": "echo",
        "label": "call-1",
        "safe": True,
        "timeout": 1.0,
        "outcome": "answered",
    }
    return Sample(began=began, ended=began + took, **(given | facts))


def failed(began: float = 1.5, took: float = 0.01, **facts: Any) -> Sample:
    given = {
        "outcome": "failed",
        "code": "timeout",
        "kind": "transient",
        "delivered": "maybe",
        "named": "sick",
        "message": "server 'sick' did not answer",
    }
    return sample(began, took, **(given | facts))


def struck(server: str | None = "sick", began: float = 1.0, ended: float | None = 2.0, **facts: Any) -> Struck:
    times = facts.pop("times", None)
    strike = Strike(kind="fault", name="hang_call", servers=("sick",), **facts)
    return Struck(strike=strike, server=server, began=began, ended=ended, times=times)


def seen(*samples: Sample, **facts: Any) -> Run:
    given = {"scenario": scenario(), "target": "router", "seed": 1, "ended": 4.0, "struck": (struck(),)} | facts
    fleet = given["scenario"].servers
    given = {"options": {name: each.options for name, each in fleet.items()}, "known": dict.fromkeys(fleet, 1)} | given
    return Run(samples=samples, **given)


class FakeFleet:
    """Servers that are nowhere; written by the engine's strikes and by the target's calls."""

    def __init__(self, *names: str) -> None:
        self.servers = [Server(name, command="-") for name in names]
        self.marked: frozenset[str] = frozenset()
        self.notes = ["in memory"]
        self.bad: dict[str, Strike] = {}
        self.times: int | None = None
        self.ledger: dict[str, list[Execution]] = {name: [] for name in names}
        self.cancelled: dict[str, int] = {}
        self.life: list[str] = []

    async def start(self) -> None:
        self.life.append("start")

    async def close(self) -> None:
        self.life.append("close")

    async def strike(self, strike: Strike, server: str, target: Any) -> str:
        self.bad[server] = strike
        return f"{server} is bad"

    async def heal(self, strike: Strike, server: str) -> None:
        self.bad.pop(server, None)

    def struck(self, strike: Strike, server: str) -> int | None:
        return self.times

    def executed(self) -> Mapping[str, list[Execution]]:
        return self.ledger

    async def cancels(self) -> Mapping[str, int]:
        return self.cancelled

    def starts(self) -> Mapping[str, int]:
        return {}

    def processes(self) -> frozenset[int]:
        return frozenset()


class FakeTarget:
    """A client that keeps all rules; tests change one of its methods to break one."""

    name = "router"
    takes = 0.01

    def __init__(self, fleet: FakeFleet, recorder: Any, options: Mapping[str, Any]) -> None:
        self.fleet = fleet
        self.recorder = recorder
        self.options = options
        self.calls = 0

    async def open(self, *, struck: Collection[str] = ()) -> None:
        await asyncio.sleep(0)

    async def close(self) -> None:
        await asyncio.sleep(0)

    async def call(self, order: Any) -> Told:
        clock = asyncio.get_running_loop().time
        self.calls += 1
        server, began = order.server, clock()
        bad = self.fleet.bad.get(server)
        code = None
        try:
            await asyncio.sleep(self.takes)
            if bad is None:
                self.execute(order)
            else:
                code = "unreachable"
        except asyncio.CancelledError:
            self.fleet.cancelled[server] = self.fleet.cancelled.get(server, 0) + 1
            raise
        self.tell(order, code, clock() - began)
        return Told(good=True) if code is None else self.failure(order, code)

    def execute(self, order: Any) -> None:
        now = asyncio.get_running_loop().time()
        self.fleet.ledger[order.server].append(Execution(order.tool, order.arguments.get("text", ""), now))

    def failure(self, order: Any, code: str) -> Told:
        message = f"server {order.server!r} failed"
        return Told(
            good=False,
            code=code,
            kind="transient",
            delivered="no",
            named=order.server,
            message=message,
            payload={"message": message},
        )

    def tell(self, order: Any, code: str | None, took: float, attempts: int = 1) -> None:
        about = {"call_id": order.caller, "server": order.server, "method": "tools/call", "name": order.tool}
        for number in range(1, attempts + 1):
            self.recorder.hear(
                AttemptFinished(
                    **about, endpoint="e", known=True, attempt=number, kind="primary", duration=took, code=code
                )
            )
        self.recorder.hear(
            CallFinished(
                **about,
                key=order.tool,
                known=True,
                caller=order.caller,
                outcome="success" if code is None else "error",
                code=code,
                attempts=attempts,
                duration=took,
            )
        )

    def change(self, server: str, previous: Any, state: Any) -> None:
        self.recorder.hear(
            CircuitChanged(server=server, endpoint="e", previous=previous, state=state, reason="failures")
        )

    async def offered(self) -> Mapping[str, list[types.Tool]]:
        tool = types.Tool(name="echo", input_schema={"type": "object"})
        return {server.name: [tool] for server in self.fleet.servers}

    def in_flight(self) -> Mapping[str, int]:
        return {}

    def problems(self) -> Mapping[str, Any]:
        return {}

    def health(self) -> Mapping[str, str]:
        return dict.fromkeys(self.fleet.ledger, "ready")

    def pid(self, server: str) -> int | None:
        return None


def imagined(what: Scenario, make: Callable[..., FakeTarget] = FakeTarget, **options: Any) -> Run:
    """Run a scenario in virtual time on servers that are nowhere."""
    names = list(what.servers)

    async def main() -> Run:
        fleet = FakeFleet(*names)
        engine = Engine(what, fleet, lambda _servers, recorder, more: make(fleet, recorder, more), seed=1, **options)
        return await engine.run()

    return run_virtual(main())


def written(directory: Path, text: str, name: str = "mine.toml") -> Scenario:
    path = directory / name
    path.write_text(text, encoding="utf-8")
    return load_scenario(path)


def mistakes(directory: Path, text: str) -> list[str]:
    """What is told of a file, without its name."""
    with pytest.raises(ConfigurationError) as caught:
        written(directory, text)
    return [str(each).partition("mine.toml:")[2].strip() for each in caught.value.mistakes]
