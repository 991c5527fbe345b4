"""What a scenario says: which servers, which load, which faults and when, and which rules are judged.

All times are seconds since the load began.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias

from recloser.options import Server

__all__ = [
    "ACTIONS",
    "MARKED",
    "OURSELVES",
    "SAFE_TOOLS",
    "TOOLS",
    "CallSpec",
    "FleetServer",
    "Limits",
    "Load",
    "Scenario",
    "Strike",
    "StrikeKind",
    "finite",
]

StrikeKind: TypeAlias = Literal["fault", "action", "policy", "toxic"]

MARKED: Final = "marked"
"""In place of a server's name: every server of the user's configuration that is marked for chaos."""

ACTIONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "kill": "ends the server's process once, as a crash would",
        "down": "keeps the server down: its process is ended, and whatever starts it ends at once",
        "freeze": "stops the server's process without ending it: its connections stay open and nothing answers",
        "partition": "cuts the network to the server: nothing is refused, everything is lost",
        "memory": "leaves the server's process no memory for `megabytes` more, as a full machine would",
        "clock_step": "moves the wall clock of this process by `seconds`",
        "collector_down": "lets the telemetry collector take connections and never answer, or refuse them",
        "audit_disk_full": "lets every write of the audit log fail for want of space",
    }
)
"""What can be done to a server of the built-in fleet, and to our own surroundings, beside the faults of a server."""

OURSELVES: Final = frozenset({"clock_step", "collector_down", "audit_disk_full"})
"""Actions that strike this process and no server."""

TOOLS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "echo": "read-only",
        "add": "read-only",
        "upsert": "may be repeated",
        "write": "must not be repeated",
        "sleep": "takes `seconds`; must not be repeated",
        "big": "answers with `bytes` bytes; must not be repeated",
        "fail": "answers with an error of its own",
        "ask": "asks our side something before it answers; must not be repeated",
        "unknown": "a tool that no server has",
        "bad_arguments": "a call whose arguments do not fit",
    }
)
"""What a load can call on the built-in fleet."""

SAFE_TOOLS: Final = frozenset({"echo", "add", "upsert"})
"""Those of the built-in fleet that may be repeated."""


@dataclass(frozen=True, kw_only=True)
class CallSpec:
    """One kind of call of a load."""

    server: str
    tool: str
    """The server's own name of it."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    safe: bool = False
    """Whether it may be repeated."""
    weight: float = 1.0
    """How often it is made, compared with the load's other calls."""

    def __post_init__(self) -> None:
        _above_zero(self, "weight")


@dataclass(frozen=True, kw_only=True)
class Load:
    """Who calls, how often, and what."""

    name: str
    kind: Literal["open", "closed"] = "open"
    """`open`: calls come at a rate, whatever the answers do; `closed`: each caller waits for his answer."""
    rate: float = 20.0
    """Calls a second of an open load, at random moments."""
    callers: int = 2
    """Callers of a closed load."""
    pause: float = 0.02
    """Seconds between two calls of one caller."""
    tools: Mapping[str, float] = field(default_factory=dict)
    """Tools of the built-in fleet, each with its weight."""
    calls: Sequence[CallSpec] = ()
    """Calls of one's own servers."""
    servers: Sequence[str] = ()
    """The servers that are called; none named means all."""
    timeout: float = 1.0
    """Seconds that each call is given."""
    begin: float = 0.0
    end: float | None = None
    """When the load ends; None means with the scenario."""
    total: int | None = None
    """After how many calls it ends; None means no limit."""
    cancel: float = 0.0
    """The share of calls that their caller gives up."""
    cancel_after: float = 0.1
    """Seconds after which he does."""
    seconds: float = 0.2
    """What the tool `sleep` is asked for."""
    bytes: int = 1000
    """What the tool `big` is asked for."""

    def __post_init__(self) -> None:
        for name in ("rate", "timeout", "cancel_after"):
            _above_zero(self, name)
        for name in ("pause", "begin", "seconds", "bytes"):
            _not_negative(self, name)
        _at_least_one(self, "callers", "total")
        if not 0 <= self.cancel <= 1:
            raise ValueError(f"cancel must be a share from 0 to 1, got {self.cancel!r}")
        if self.end is not None and self.end <= self.begin:
            raise ValueError(f"end must be later than begin, got {self.end!r} and {self.begin!r}")
        if not all(finite(weight) and weight > 0 for weight in self.tools.values()):
            raise ValueError("the weights of tools must be more than 0")


@dataclass(frozen=True, kw_only=True)
class Strike:
    """One fault of the timeline."""

    kind: StrikeKind
    name: str
    """A fault of the faulty servers, an action, a policy of `recloser.testing.chaos`, or a toxic of the proxy."""
    servers: Sequence[str] = ()
    at: float = 0.0
    """When it begins; 0 means before anything connects."""
    until: float | None = None
    """When it ends; None means that it does not."""
    tool: str | None = None
    """The one tool whose calls it strikes."""
    on: str | None = None
    """The one method that it strikes."""
    after: int = 0
    """How many messages it lets pass first."""
    times: int | None = None
    """How often it strikes at most."""
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _not_negative(self, "at")
        if self.until is not None and self.until <= self.at:
            raise ValueError(f"until must be later than at, got {self.until!r} and {self.at!r}")
        _at_least_one(self, "times")
        if self.after < 0:
            raise ValueError(f"after must not be negative, got {self.after!r}")


@dataclass(frozen=True, kw_only=True)
class FleetServer:
    """One server of the built-in fleet."""

    name: str
    transport: Literal["http", "stdio"] = "http"
    era: Literal["legacy", "modern", "dual"] = "dual"
    """The protocol that it speaks: handshake, stateless, or both."""
    options: Server
    """How calls to it are made; its target is filled in when the server is there."""
    namespace: bool = False
    """Whether it stands behind a network of its own that can be cut."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much is asked of what no rule sets a number for."""

    healthy_factor: float = 3.0
    """How many times its own p99 without faults the p99 of an undisturbed call may be."""
    healthy_slack: float = 0.1
    """Seconds by which it may exceed that p99 in any case: a p99 of few calls is one unlucky call."""
    recover_within: float = 3.0
    """Seconds after the end of a fault within which its server must answer again, without help."""
    answered: float = 1.0
    """The share of the calls that may be repeated, to servers that were struck, that must be answered."""

    def __post_init__(self) -> None:
        for name in ("healthy_factor", "recover_within"):
            _above_zero(self, name)
        _not_negative(self, "healthy_slack")
        if not 0 < self.answered <= 1:
            raise ValueError(f"answered must be a share from 0 to 1, got {self.answered!r}")


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A load, a timeline of faults, and the rules that are judged by what then happens."""

    name: str
    title: str
    proves: str
    """What it shows when all its rules hold, in one sentence."""
    duration: float = 8.0
    """Seconds of load."""
    rules: Sequence[str]
    fleet: Literal["built-in", "config"] = "built-in"
    """Whose servers: our own faulty ones, or those of the user's configuration."""
    servers: Mapping[str, FleetServer] = field(default_factory=dict)
    loads: Sequence[Load] = ()
    timeline: Sequence[Strike] = ()
    limits: Limits = field(default_factory=Limits)
    callback: float | None = None
    """Seconds that our side takes to answer a server's question; None answers at once."""
    secrets: bool = False
    """Whether secrets are planted, and looked for in all that leaves."""
    telemetry: bool = False
    """Whether spans and metrics go to a collector."""
    audit: bool = False
    """Whether an audit log is written."""
    raw_holds: str | None = None
    """Why a raw client of the SDK passes it too; None where it must not."""
    source: str | None = None
    """The file that it was read from."""

    def __post_init__(self) -> None:
        _above_zero(self, "duration")
        if self.callback is not None:
            _not_negative(self, "callback")

    def scaled(self, duration: float) -> Scenario:
        """Return the same scenario with all its moments moved so that it takes `duration` seconds."""
        share = duration / self.duration
        loads = [
            replace(load, begin=load.begin * share, end=None if load.end is None else load.end * share)
            for load in self.loads
        ]
        strikes = [
            replace(strike, at=strike.at * share, until=None if strike.until is None else strike.until * share)
            for strike in self.timeline
        ]
        return replace(self, duration=duration, loads=tuple(loads), timeline=tuple(strikes))


def finite(value: object) -> bool:
    """Return whether something is a number, and neither infinite nor none at all (NaN)."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _above_zero(record: object, name: str) -> None:
    value = _finite_of(record, name)
    if not value > 0:
        raise ValueError(f"{name} must be more than 0, got {value!r}")


def _not_negative(record: object, name: str) -> None:
    value = _finite_of(record, name)
    if not value >= 0:
        raise ValueError(f"{name} must not be negative, got {value!r}")


def _finite_of(record: object, name: str) -> float:
    value: float = getattr(record, name)
    if not math.isfinite(value):
        raise ValueError(f"{name} must be finite, got {value!r}")
    return value


def _at_least_one(record: object, *names: str) -> None:
    for name in names:
        value = getattr(record, name)
        if value is not None and value < 1:
            raise ValueError(f"{name} must be at least 1, got {value!r}")
