"""What was seen while a scenario ran: frozen records, all times in seconds since the load began."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, TypeAlias

from recloser.events import CircuitState, ConnectionState
from recloser.options import Server
from recloser.testing.scenario.records import Scenario, Strike

__all__ = [
    "Attempt",
    "CircuitMark",
    "ConnectionMark",
    "Executed",
    "Lag",
    "Listing",
    "Outcome",
    "Run",
    "Sample",
    "Struck",
]

Outcome: TypeAlias = Literal["answered", "failed", "cancelled", "hung"]
"""How a call ended for its caller; `hung`: it had not when everything was over."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One call of a load, as its caller saw it."""

    number: int
    load: str
    server: str
    tool: str
    label: str
    """What the server writes into its ledger when it runs."""
    safe: bool
    began: float
    ended: float
    timeout: float
    outcome: Outcome
    cancel_at: float | None = None
    """When its caller gave it up, if he did."""
    attempts: int = 1
    code: str | None = None
    """Of the error table; of a raw client, the exception's type."""
    kind: str | None = None
    """transient, auth or critical; None where the failure says nothing of it."""
    delivered: str | None = None
    named: str | None = None
    """The server that the failure names."""
    retry_after: float | None = None
    message: str = ""

    @property
    def took(self) -> float:
        """Seconds that the caller waited."""
        return self.ended - self.began

    @property
    def good(self) -> bool:
        """Whether it was answered."""
        return self.outcome == "answered"


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """One attempt that was let through to a server."""

    server: str
    label: str
    number: int
    began: float
    ended: float
    code: str | None
    is_error: bool = False
    """Whether the tool itself answered with an error."""
    delivered: str | None = None
    """Whether the server may have run it, where it failed and somebody knows; None leaves that to its code."""
    retry_after: float | None = None
    """Seconds after which trying again makes sense, where somebody said so."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CircuitMark:
    """A circuit went from one state to another."""

    at: float
    server: str
    previous: CircuitState
    state: CircuitState
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ConnectionMark:
    """A connection went from one state to another."""

    at: float
    server: str
    state: ConnectionState
    generation: int
    code: str | None = None
    version: str | None = None
    """The protocol that was agreed on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Executed:
    """One execution of a tool, written down by its server."""

    server: str
    tool: str
    label: str
    at: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """One look at the list of tools."""

    at: float
    missing: tuple[str, ...] = ()
    """Those that were known at the start."""
    error: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Lag:
    """By how much the event loop was late at one moment."""

    at: float
    late: float
    """Seconds between the moment that was asked for and the one that came."""
    busy: float
    """Seconds of it in which this process itself computed; the rest is the machine's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Struck:
    """A fault of the timeline, when it really began and ended."""

    strike: Strike
    server: str | None
    """None for a fault of our own surroundings."""
    began: float
    ended: float | None = None
    """None where it lasted to the end."""
    times: int | None = None
    """How often it struck: messages, calls, connections, or processes; None where that cannot be known."""
    note: str = ""

    @property
    def landed(self) -> bool:
        """Whether it struck anything, as far as that can be known."""
        return self.times != 0


@dataclass(frozen=True, kw_only=True)
class Run:
    """Everything that was seen of one run."""

    scenario: Scenario
    target: str
    """`router` or `raw`."""
    seed: int
    ended: float
    """When the load was over."""
    interrupted: bool = False
    options: Mapping[str, Server] = field(default_factory=dict)
    """Per server: how calls to it are made."""
    known: Mapping[str, int] = field(default_factory=dict)
    """Per server: how many of its tools were known when the load began."""
    samples: Sequence[Sample] = ()
    """In the order in which the calls began."""
    attempts: Sequence[Attempt] = ()
    circuits: Sequence[CircuitMark] = ()
    connections: Sequence[ConnectionMark] = ()
    executed: Sequence[Executed] | None = None
    """None where nobody counts at the servers."""
    listings: Sequence[Listing] = ()
    lags: Sequence[Lag] = ()
    struck: Sequence[Struck] = ()
    cancels: Mapping[str, int] = field(default_factory=dict)
    """Per server that counts them: how many calls were cancelled there."""
    starts: Mapping[str, int] = field(default_factory=dict)
    """Per server over stdio: how often its process was started."""
    leftovers: Sequence[str] | None = None
    """What was still open after everything was closed; None where the run did not come so far."""
    in_flight: Mapping[str, int] = field(default_factory=dict)
    """Per server: places in the bulkhead that were still taken when the load was over."""
    closing: float = 0.0
    """Seconds that closing the client took."""
    audited: tuple[int, int] | None = None
    """Lines of the audit log, and records that were lost; None where there is none, or none that can be read."""
    leaks: Sequence[str] | None = None
    """Where planted secrets were seen; None where none were planted."""
    telemetry: int = 0
    """How many spans and metrics, or exports of them, were looked at for planted secrets."""
    notes: Sequence[str] = ()
    """What a reader must know, such as a fault that could only be imitated here."""

    @cached_property
    def servers(self) -> tuple[str, ...]:
        """The servers in the scenario's order, then others that were called."""
        return tuple(dict.fromkeys([*self.scenario.servers, *(sample.server for sample in self.samples)]))

    @cached_property
    def landed(self) -> tuple[Struck, ...]:
        """The faults that struck something: by the others nothing can be judged."""
        return tuple(each for each in self.struck if each.landed)

    @cached_property
    def struck_servers(self) -> frozenset[str]:
        """The servers that any fault has struck."""
        return frozenset(each.server for each in self.landed if each.server is not None)

    @property
    def own(self) -> bool:
        """Whether the servers are a user's: what is special about the built-in fleet's tools is not so there."""
        return self.scenario.fleet == "config"

    def options_of(self, server: str) -> Server:
        """Return how calls to a server are made; the defaults for one that nobody knows."""
        return self.options.get(server) or Server(server, command="-")

    def windows(self, server: str | None = None) -> list[tuple[float, float]]:
        """Return when faults were in force, at one server (None: anywhere); those without end last to the run's."""
        return [
            (each.began, self.ended if each.ended is None else each.ended)
            for each in self.landed
            if server is None or each.server == server
        ]

    def during(self, moment: float, server: str | None = None) -> bool:
        """Return whether a fault was in force at a moment, at one server or anywhere."""
        return any(began <= moment <= ended for began, ended in self.windows(server))

    def lateness(self, begin: float, end: float, *, machine: bool = False) -> float:
        """Return by how many seconds the loop was held up between two moments; `machine`: not by this process."""
        return sum(
            max(0.0, lag.late - (lag.busy if machine else 0.0))
            for lag in self.lags
            if lag.at >= begin and lag.at - lag.late <= end
        )

    def states(self, server: str) -> Iterator[tuple[float, float, CircuitState]]:
        """Yield the states of a server's circuit with their times, one after the other, from 0 to the run's end."""
        at: float = 0.0
        state: CircuitState = "closed"
        for mark in self.circuits:
            if mark.server == server:
                if mark.at > at:
                    yield at, mark.at, state
                at, state = max(0.0, mark.at), mark.state
        if self.ended > at:
            yield at, self.ended, state
