"""Whose servers a scenario runs against: our own faulty ones, or those of a user's configuration."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Protocol

from recloser.options import Server
from recloser.testing.faulty.work import Execution
from recloser.testing.scenario.fronts import Fronts
from recloser.testing.scenario.members import Member, PipeMember
from recloser.testing.scenario.records import MARKED, Scenario, Strike
from recloser.testing.scenario.targets import Target
from recloser.testing.scenario.web_member import HttpMember

__all__ = ["BuiltFleet", "ConfigFleet", "Fleet", "RefusedError"]


class RefusedError(ValueError):
    """A server that is not marked for it was to be struck, or in a way that was not allowed."""


class Fleet(Protocol):
    """The servers of one run, and what can be done to them."""

    servers: Sequence[Server]
    """What clients need to reach them; there once it has been started."""
    marked: frozenset[str]
    """Those that `marked` stands for."""
    notes: list[str]

    async def start(self) -> None:
        """Make all servers ready to be connected to."""
        ...

    async def close(self) -> None:
        """End them, and leave nothing behind."""
        ...

    async def strike(self, strike: Strike, server: str, target: Target) -> str:
        """Let a fault begin at a server; return what a reader must know about it."""
        ...

    async def heal(self, strike: Strike, server: str) -> None:
        """Let it end."""
        ...

    def struck(self, strike: Strike, server: str) -> int | None:
        """Return how often a fault that has begun has struck at a server so far; None where that cannot be known."""
        ...

    def executed(self) -> Mapping[str, list[Execution]] | None:
        """Return what each server has run, at moments of the event loop; None where nobody counts."""
        ...

    async def cancels(self) -> Mapping[str, int]:
        """Return how many calls were cancelled at each server that counts them."""
        ...

    def starts(self) -> Mapping[str, int]:
        """Return how often each server's process was started by its client."""
        ...

    def processes(self) -> frozenset[int]:
        """Return the processes that it has started itself, and that run."""
        ...


class BuiltFleet:
    """Our own faulty servers, in processes of their own."""

    def __init__(self, scenario: Scenario, *, seed: int) -> None:
        self._members: dict[str, Member] = {
            name: (HttpMember if told.transport == "http" else PipeMember)(told)
            for name, told in scenario.servers.items()
        }
        self._fronts = Fronts(scenario.timeline, seed=seed)
        self.servers: Sequence[Server] = ()
        self.marked: frozenset[str] = frozenset()
        self.notes: list[str] = []

    async def start(self) -> None:
        """Start them all at once.

        Raises:
            ChildProcessError: one did not start.
            ValueError: a fault of the timeline is not possible at its server.
        """
        await asyncio.gather(*(member.start() for member in self._members.values()))
        self.servers = [await self._fronts.put(member.server) for member in self._members.values()]
        for member in self._members.values():
            if isinstance(member, HttpMember):
                self.notes += member.notes

    async def close(self) -> None:
        """End them all."""
        await self._fronts.close()
        await asyncio.gather(*(member.close() for member in self._members.values()))

    async def strike(self, strike: Strike, server: str, target: Target) -> str:
        """Let a fault begin.

        Raises:
            ValueError: it is not possible at this server.
        """
        del target  # our own servers' processes are known without it
        if strike.kind in ("policy", "toxic"):
            await self._fronts.strike(strike, server)
            return ""
        return await self._members[server].strike(strike)

    async def heal(self, strike: Strike, server: str) -> None:
        """Let a fault end."""
        if strike.kind in ("policy", "toxic"):
            await self._fronts.heal(strike, server)
        else:
            await self._members[server].heal(strike)

    def struck(self, strike: Strike, server: str) -> int | None:
        """Return what the servers, the policies and the proxies have counted."""
        if strike.kind in ("policy", "toxic"):
            return self._fronts.struck(strike, server)
        return self._members[server].struck(strike)

    def executed(self) -> Mapping[str, list[Execution]]:
        """Return the servers' ledgers."""
        return {name: member.executed() for name, member in self._members.items()}

    async def cancels(self) -> Mapping[str, int]:
        """Return what those over HTTP have counted."""
        told = {name: await member.cancels() for name, member in self._members.items()}
        return {name: count for name, count in told.items() if count is not None}

    def starts(self) -> Mapping[str, int]:
        """Return the starts of those over stdio."""
        told = {name: member.starts for name, member in self._members.items()}
        return {name: count for name, count in told.items() if count is not None}

    def processes(self) -> frozenset[int]:
        """Return those of servers over HTTP: the others are started by their client."""
        members = (member for member in self._members.values() if isinstance(member, HttpMember))
        return frozenset(member.pid for member in members if member.pid is not None)


class ConfigFleet:
    """The servers of a configuration; only those that it marks for chaos are ever struck.

    Faults are on our own side: policies, and a proxy before a server over plain HTTP. A process of a stdio server is
    killed only if that was allowed.

    Raises:
        RefusedError: the timeline strikes a server that is not marked, or kills without leave.
    """

    def __init__(
        self, scenario: Scenario, servers: Iterable[Server], marked: frozenset[str], *, kill: bool, seed: int
    ) -> None:
        self._all = [server for server in servers if server.enabled]
        names = [server.name for server in self._all]
        self.marked = frozenset(names) & marked
        self._check(scenario, names, kill=kill)
        self._fronts = Fronts(scenario.timeline, seed=seed)
        self._killed: set[tuple[int, str]] = set()
        self.servers: Sequence[Server] = ()
        self.notes: list[str] = []

    def _check(self, scenario: Scenario, names: Sequence[str], *, kill: bool) -> None:
        wanted = {name for strike in scenario.timeline for name in strike.servers if name != MARKED}
        called = {name for load in scenario.loads for name in load.servers if name != MARKED}
        called |= {call.server for load in scenario.loads for call in load.calls if call.server != MARKED}
        problems = [f"{name!r} is not in the configuration" for name in sorted((wanted | called) - set(names))]
        problems += [
            f'{name!r} is not marked for chaos: set "recloser": {{"servers": {{"{name}": {{"chaos": true}}}}}}'
            for name in sorted((wanted & set(names)) - self.marked)
        ]
        if not self.marked and not problems:
            some = names[0] if names else "<name>"
            problems.append(
                f'no server is marked for chaos: set "recloser": {{"servers": {{"{some}": {{"chaos": true}}}}}} for '
                f"each that may be struck, of {', '.join(names) or 'none'}"
            )
        if not kill and any(strike.name == "kill" for strike in scenario.timeline):
            problems.append("the scenario kills processes of servers; say --allow-kill if it may")
        if problems:
            raise RefusedError("\n".join(problems))

    async def start(self) -> None:
        """Put policies and proxies before the marked servers.

        Raises:
            ValueError: a policy's arguments are wrong, or a proxy cannot stand before a server.
        """
        self.servers = [
            await self._fronts.put(replace(server, required=False), self.marked)
            if server.name in self.marked
            else replace(server, required=False)
            for server in self._all
        ]

    async def close(self) -> None:
        """Stop the proxies; the servers belong to their client."""
        await self._fronts.close()

    async def strike(self, strike: Strike, server: str, target: Target) -> str:
        """Let a fault begin at a marked server."""
        if strike.kind == "action":
            pid = target.pid(server)
            if pid is None:
                return "it has no process of ours"
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                self._killed.add((id(strike), server))
            return ""
        await self._fronts.strike(strike, server)
        return ""

    async def heal(self, strike: Strike, server: str) -> None:
        """Let a fault end; a process that was killed is started again by its client."""
        if strike.kind != "action":
            await self._fronts.heal(strike, server)

    def struck(self, strike: Strike, server: str) -> int:
        """Return what the policies and the proxies have counted; of a kill, whether there was a process."""
        if strike.kind == "action":
            return int((id(strike), server) in self._killed)
        return self._fronts.struck(strike, server)

    def executed(self) -> None:
        """Return None: nobody counts at a user's own servers."""

    async def cancels(self) -> Mapping[str, int]:
        """Return nothing: nobody counts."""
        return {}

    def starts(self) -> Mapping[str, int]:
        """Return nothing: nobody counts."""
        return {}

    def processes(self) -> frozenset[int]:
        """Return nothing: a user's servers are started by their client, or by somebody else."""
        return frozenset()
