"""A server of the built-in fleet: what can be done to it, and the kind that its client starts, over stdio."""

from __future__ import annotations

import signal
from abc import ABC, abstractmethod
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from recloser.options import Server
from recloser.testing.faulty import FaultyStdio
from recloser.testing.faulty.plan import Tally
from recloser.testing.faulty.work import Execution, read_ledger
from recloser.testing.scenario.processes import can_limit, limit_memory, lives, signalled
from recloser.testing.scenario.records import FleetServer, Strike

__all__ = ["Member", "PipeMember"]

SPARE: Final = 8.0
"""Megabytes that a server has left under memory pressure, unless told otherwise."""


class Member(ABC):
    """One server of the fleet; `orders` are the faults in force, by serial, changed by `strike` and `heal` alone."""

    def __init__(self, told: FleetServer) -> None:
        self.told = told
        self.orders: dict[int, Strike] = {}
        self._serials: dict[int, int] = {}
        self._acted: dict[int, int | None] = {}
        self._frozen: dict[int, int] = {}

    @abstractmethod
    async def start(self) -> None:
        """Make it ready to be connected to."""

    @abstractmethod
    async def close(self) -> None:
        """End it and leave nothing behind."""

    @property
    @abstractmethod
    def server(self) -> Server:
        """What a client needs to reach it."""

    @property
    @abstractmethod
    def pid(self) -> int | None:
        """The process that serves now, if one does."""

    @property
    @abstractmethod
    def _control(self) -> Path:
        """The path that its processes were given, beside which they write down what has struck."""

    @abstractmethod
    async def _apply(self) -> None:
        """Tell the server which faults are in force."""

    @abstractmethod
    async def _end(self, *, stay_down: bool) -> None:
        """End the server's process; `stay_down`: whatever starts it again must fail."""

    @abstractmethod
    async def _return(self) -> None:
        """Let a server that was kept down be started again."""

    @abstractmethod
    def executed(self) -> list[Execution]:
        """Return every execution of a tool, in all its processes."""

    async def cancels(self) -> int | None:
        """Return how many calls were cancelled there; None where nobody counts."""
        return None

    @property
    def starts(self) -> int | None:
        """How often its process was started by a client; None where a client does not start it."""
        return None

    async def strike(self, strike: Strike) -> str:
        """Let a fault begin; return what a reader must know about it.

        Raises:
            ValueError: it is not possible here.
        """
        if strike.kind == "fault":
            # From 1 on, and for good: what a fault has struck is counted in one row by all processes.
            serial = self._serials[id(strike)] = len(self._serials) + 1
            self.orders[serial] = strike
            await self._apply()
            return ""
        if strike.kind == "action":
            return await self._act(strike)
        raise ValueError(f"{strike.name} is not a matter of the server itself")

    async def heal(self, strike: Strike) -> None:
        """Let a fault end."""
        if strike.kind == "fault":
            del self.orders[self._serials[id(strike)]]
            await self._apply()
        elif strike.name == "down":
            await self._return()
        elif strike.name == "freeze" and (pid := self._frozen.pop(id(strike), None)) is not None:
            signalled(pid, signal.SIGCONT)
        elif strike.name == "partition":
            await self._mend()
        elif strike.name == "memory" and self.pid is not None:
            limit_memory(self.pid, None)

    def struck(self, strike: Strike) -> int | None:
        """Return how often a fault that has begun has struck; None where that cannot be known."""
        if strike.kind == "fault":
            return len(Tally(f"{self._control}.fired").read(self._serials[id(strike)]))
        return self._acted[id(strike)]

    async def _act(self, strike: Strike) -> str:
        pid = self.pid
        # What is kept down or cut off is so, whatever it was before; the others need a process.
        self._acted[id(strike)] = 1 if strike.name in ("down", "partition") or pid is not None else 0
        match strike.name:
            case "kill" | "down":
                await self._end(stay_down=strike.name == "down")
            case "freeze":
                if pid is not None:
                    self._frozen[id(strike)] = pid
                    signalled(pid, signal.SIGSTOP)
            case "memory":
                if pid is not None:
                    # Nobody hears whether it has asked for more than it may have.
                    self._acted[id(strike)] = None if can_limit() else 0
                    return limit_memory(pid, float(strike.arguments.get("megabytes", SPARE)))
            case _:
                return await self._cut()
        return ""

    async def _cut(self) -> str:
        raise ValueError(f"{self.told.name} is spoken to over {self.told.transport}: there is no network to cut")

    async def _mend(self) -> None:
        raise AssertionError("unreachable: what cannot be cut cannot be mended")


class PipeMember(Member):
    """A server over stdio: its client starts it, as often as it likes."""

    def __init__(self, told: FleetServer) -> None:
        super().__init__(told)
        self._faulty = FaultyStdio(era=told.era)
        self._down = False

    async def start(self) -> None:
        """Do nothing: its client starts it."""

    async def close(self) -> None:
        """Remove its files; its processes are ended by whoever has started them."""
        for pid in self._frozen.values():
            signalled(pid, signal.SIGCONT)
        self._faulty.close()

    @property
    def server(self) -> Server:
        """Its command."""
        return replace(self.told.options, command=self._faulty.command, args=self._faulty.args)

    @property
    def pid(self) -> int | None:
        """The process that was started last, if it still runs."""
        pids = self._faulty.pids()
        return pids[-1] if pids and lives(pids[-1]) else None

    @property
    def starts(self) -> int | None:
        """How often it was started."""
        return self._faulty.starts

    @property
    def _control(self) -> Path:
        """The file of orders that its processes read."""
        return self._faulty.directory / "control"

    def executed(self) -> list[Execution]:
        """Return every execution that its processes have written down."""
        return read_ledger(str(self._faulty.directory / "counts"))

    async def _apply(self) -> None:
        self._faulty.heal()
        if self._down:
            self._faulty.fault("exit_at_start", keep=True, serial=0)
        for serial, order in self.orders.items():
            fields = {"after": order.after, "times": order.times, "on": order.on, "tool": order.tool}
            more: dict[str, Any] = {**fields, **order.arguments, "serial": serial}
            self._faulty.fault(order.name, keep=True, **more)

    async def _end(self, *, stay_down: bool) -> None:
        self._down = self._down or stay_down
        await self._apply()
        if (pid := self.pid) is not None:
            signalled(pid, signal.SIGKILL)

    async def _return(self) -> None:
        self._down = False
        await self._apply()
