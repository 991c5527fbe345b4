"""The command line of a faulty server, and what a test can do with the stdio servers that it starts."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
import weakref
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from recloser.testing.faulty.control import check_count
from recloser.testing.faulty.plan import Order, Tally
from recloser.testing.faulty.protocol import Era
from recloser.testing.faulty.work import labels, read_ledger

if TYPE_CHECKING:
    from mcp.client.stdio import StdioServerParameters

__all__ = ["FaultyStdio", "script"]


def script(*arguments: str) -> list[str]:
    """Return the command line that runs a faulty server quickly: nothing but the standard library is loaded."""
    return [sys.executable, "-S", str(Path(__file__).with_name("__main__.py")), *arguments]


class FaultyStdio:
    """What to start as a faulty stdio server, as often as wanted; faults, counts and strikes outlive each process.

    `Server("x", command=faulty.command, args=faulty.args)`, or `faulty.parameters()` for the SDK's client. The files
    that the processes share are removed with the object.
    """

    def __init__(self, *, era: Era = "dual", extra: int = 0, page: int = 5) -> None:
        """Prepare a command line.

        Args:
            era: The protocol that the server speaks: `legacy` (handshake), `modern` (stateless) or `dual`.
            extra: How many tools `extra_1` … it has beside its fixed ones.
            page: How many items one page of a listing holds.

        Raises:
            ValueError: `extra` or `page` is no such number.
        """
        check_count("extra", extra)
        check_count("page", page)
        self.directory = Path(tempfile.mkdtemp(prefix="faulty-"))
        self._remove = weakref.finalize(self, shutil.rmtree, str(self.directory), ignore_errors=True)
        self._control = self.directory / "control"
        self._counts = self.directory / "counts"
        self._orders: list[Order] = []
        self._serial = 0
        self._extra = extra
        self._page = page
        self.command, *self.args = script(
            "--transport", "stdio", "--era", era, "--control", str(self._control), "--count-file", str(self._counts)
        )
        self._write()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Kill children that were left behind, where they can be told from others, and remove the files.

        The servers themselves are ended by who started them, and all of them end by themselves some time.
        """
        for pid in self.sleepers():
            if _is_sleeper(pid):
                _kill(pid, signal.SIGKILL)
        self._remove()

    def parameters(self, **more: Any) -> StdioServerParameters:
        """Return what the SDK's stdio client takes; `more` are further fields of it."""
        from mcp.client.stdio import StdioServerParameters

        return StdioServerParameters(command=self.command, args=self.args, **more)

    def fault(
        self,
        name: str,
        *,
        after: int = 0,
        times: int | None = None,
        seconds: float | None = None,
        on: str | None = None,
        tool: str | None = None,
        keep: bool = False,
        serial: int | None = None,
        **arguments: object,
    ) -> None:
        """Misbehave from the next message or start on, in place of every earlier order.

        Args:
            name: The fault's name in `FAULTS`.
            after: How many messages that it would strike are served well before, counted anew in each process.
            times: How often it strikes, in all processes together; None means for ever.
            seconds: How long after its first strike it is over; None means never.
            on: The one method that it strikes instead of its own; also `start`, `notifications/*`, `*`.
            tool: The one tool whose calls it strikes.
            keep: Leave earlier orders in force; of several that match, the oldest strikes.
            serial: The number under which its strikes are counted; None gives it one of its own.
            **arguments: The fault's own, such as `code=3` or `executes=True`.

        Raises:
            ValueError: there is no such fault or argument, or the fault is not possible over stdio.
        """
        self._serial += 1
        order = Order.of(
            name,
            after=after,
            times=times,
            seconds=seconds,
            on=on,
            tool=tool,
            arguments=arguments,
            serial=self._serial if serial is None else serial,
        )
        order.check("stdio")
        self._orders = [*self._orders, order] if keep else [order]
        self._write()

    def heal(self) -> None:
        """Behave from the next message or start on."""
        self._orders = []
        self._write()

    @property
    def extra(self) -> int:
        """How many further tools there are; may be set, and holds from the next message on."""
        return self._extra

    @extra.setter
    def extra(self, count: int) -> None:
        check_count("extra", count)
        self._extra = count
        self._write()

    def _write(self) -> None:
        orders = [order.to_json() for order in self._orders]
        text = json.dumps({"orders": orders, "extra": self._extra, "page": self._page})
        fresh = self._control.with_suffix(".new")
        fresh.write_text(text)
        # Renamed, so that no server ever reads a half of it.
        fresh.replace(self._control)

    @property
    def fired(self) -> int:
        """How many messages and starts were struck so far, by whichever order."""
        return len(Tally(f"{self._control}.fired").read())

    def executions(self, tool: str | None = None) -> int:
        """Return how often a tool (None: any) has run, in all processes together.

        Raises:
            ValueError: the server never had this tool.
        """
        return len(self.executed(tool))

    def executed(self, tool: str | None = None) -> list[str]:
        """Return the label of each execution of a tool (None: any): its `text` argument, or else the request's id.

        Raises:
            ValueError: the server never had this tool.
        """
        return labels(read_ledger(str(self._counts)), tool, extra=self._extra)

    def pids(self) -> list[int]:
        """Return the process id of every start so far, the last one last."""
        return _numbers(Path(f"{self._control}.pids"))

    def sleepers(self) -> list[int]:
        """Return the process ids of the children that were left behind."""
        return _numbers(Path(f"{self._control}.sleepers"))

    @property
    def starts(self) -> int:
        """How often a process was started."""
        return len(self.pids())

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to the process that was started last; without effect if it is gone.

        Raises:
            RuntimeError: none was started yet.
        """
        if not (pids := self.pids()):
            raise RuntimeError("no process was started yet")
        _kill(pids[-1], number)


def _numbers(path: Path) -> list[int]:
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def _is_sleeper(pid: int) -> bool:
    # The number may long be another process's; without /proc it is left alone, and ends by itself.
    command = Path(f"/proc/{pid}/cmdline")
    return command.exists() and command.read_bytes().startswith(b"sleep\0")


def _kill(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
