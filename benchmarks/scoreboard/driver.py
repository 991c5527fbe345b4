"""A host in a peer's own environment, told by JSON lines on stdin what to do; it answers by JSON lines on stdout.

Commands: `open` (servers), `call`, `load` (callers that go on until `stop`), `served`, `stop`,
`close`, `leftovers`, `exit`.
An event `died` says that the peer ended its host's task, whatever it was doing. All moments are CLOCK_MONOTONIC, which
all processes of a machine share. Standard library alone: what else is loaded, the peer loads.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import logging
import os
import sys
import threading
import warnings
from pathlib import Path
from time import monotonic
from types import ModuleType
from typing import Any

GUARD = 0.5
"""Seconds after its deadline at which a call is cut off, and counts as one that never came back."""
BEAT = 0.01
"""Seconds between two looks at how late the loop is."""
MERCY = 0.3
"""Seconds that a call has to end after it was cut off."""


def module(path: str) -> ModuleType:
    """Load a module by its file."""
    name = Path(path).stem
    spec = importlib.util.spec_from_file_location(f"scoreboard_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    sys.modules[found.__name__] = found
    spec.loader.exec_module(found)
    return found


def in_words(error: BaseException) -> str:
    """Return an exception in one line; of a group its first member."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"[:200]


class Host:
    """One host and its peer."""

    def __init__(self, adapter: ModuleType, leaks: ModuleType, out: int) -> None:
        self._adapter = adapter
        self._leaks = leaks
        self._out = out
        self._call: Any = None
        self._closing = asyncio.Event()
        self._living: asyncio.Task[None] | None = None
        self._loads: dict[str, tuple[list[asyncio.Task[None]], list[list[Any]], asyncio.Event]] = {}
        self._running: set[asyncio.Task[Any]] = set()
        self._before: Any = None
        self.lag = 0.0

    def say(self, **event: Any) -> None:
        """Tell the runner something."""
        os.write(self._out, json.dumps(event).encode() + b"\n")

    async def obey(self, order: dict[str, Any]) -> None:
        """Do what one command says."""
        do = order.pop("do")
        await getattr(self, f"do_{do}")(**order)

    # --- the peer

    async def do_open(self, **order: Any) -> None:
        """Start the peer on its servers."""
        self._before = self._leaks.snapshot()
        self._living = asyncio.create_task(self._live(order), name="host")

    async def _live(self, order: dict[str, Any]) -> None:
        begun = monotonic()
        try:
            async with self._adapter.connect(**order) as call:
                self._call = call
                self.say(event="opened", seconds=monotonic() - begun)
                await self._closing.wait()
                begun = monotonic()
        except BaseException as error:  # whatever it is, it ends the host's task
            name = "closed" if self._closing.is_set() else "died" if self._call else "failed"
            self.say(event=name, seconds=monotonic() - begun, error=in_words(error))
        else:
            name = "closed" if self._closing.is_set() else "died"
            self.say(event=name, seconds=monotonic() - begun, error=None)
        finally:
            self._call = None

    async def _one(self, server: str, tool: str, text: str, timeout: float, safe: bool) -> list[Any]:
        """Make a call; return when it began and ended, whether it succeeded, what it said, and whether it was cut."""
        begun = monotonic()
        call = self._call
        if call is None:
            return [begun, begun, False, "the host is dead", False]

        async def run() -> str:
            try:
                return "" if await call(server, tool, {"text": text}, timeout, safe) == text else "another answer"
            except BaseException as error:  # a peer may let anything out
                return in_words(error)

        task = asyncio.create_task(run(), name=f"call {server} {tool}")
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        await asyncio.wait({task}, timeout=timeout + GUARD)
        ended = monotonic()
        if task.done():
            said = task.result()
            return [begun, ended, not said, said, False]
        task.cancel()
        await asyncio.wait({task}, timeout=MERCY)
        return [begun, ended, False, "never came back", True]

    async def do_call(self, *, number: int, **call: Any) -> None:
        """Make one call."""
        self.say(event="called", number=number, outcome=await self._one(**call))

    async def do_load(self, *, name: str, pause: float, callers: int = 1, **call: Any) -> None:
        """Keep calling until told to stop."""
        outcomes: list[list[Any]] = []
        over = asyncio.Event()

        async def go_on(number: int) -> None:
            count = 0
            while not over.is_set():
                count += 1
                text = f"{name}-{number}-{count}"
                outcomes.append(await self._one(text=text, **call))
                await asyncio.sleep(pause)

        self._loads[name] = ([asyncio.create_task(go_on(number)) for number in range(callers)], outcomes, over)

    async def do_stop(self, *, name: str) -> None:
        """End a load when its running calls have ended, and tell all its outcomes."""
        if name not in self._loads:
            self.say(event="unknown", name=name)
            return
        tasks, outcomes, over = self._loads.pop(name)
        over.set()
        await asyncio.wait(tasks)
        self.say(event="stopped", name=name, outcomes=outcomes)

    async def do_served(self, *, name: str, since: float) -> None:
        """Tell when a load's first success after a moment ended; None if there was none yet."""
        ends = [ended for _, ended, succeeded, *_ in self._loads[name][1] if succeeded and ended > since]
        self.say(event="served", name=name, at=min(ends, default=None))

    # --- the end

    async def do_close(self) -> None:
        """Leave the peer."""
        for task in self._running:
            task.cancel()
        self._closing.set()

    async def do_leftovers(self) -> None:
        """Tell what is still open that was not open before: tasks, processes, pipes and sockets."""
        until = monotonic() + 1.0
        while True:
            lines = self._leaks.snapshot().beyond(self._before)
            left = [line for line in lines if self._counts(line)]
            if not left or monotonic() > until:
                break
            await asyncio.sleep(0.05)
        self.say(event="leftovers", left=sorted(line[:160] for line in left), lag=self.lag)

    async def beat(self) -> None:
        """Note how much later than asked for the loop gets round to things."""
        while True:
            due = monotonic() + BEAT
            await asyncio.sleep(BEAT)
            self.lag = max(self.lag, monotonic() - due)

    @staticmethod
    def _counts(line: str) -> bool:
        if line.startswith("file descriptor"):
            return "pipe:" in line or "socket:" in line
        # The tasks of commands are the driver's own; a call that was cut off and goes on is the peer's.
        return not line.startswith(("thread", "task Host."))


async def main(adapter: str, leaks: str, out: int) -> None:
    """Obey until told to exit or stdin ends."""
    host = Host(module(adapter), module(leaks), out)
    loop = asyncio.get_running_loop()
    orders: asyncio.Queue[str] = asyncio.Queue()

    def read() -> None:
        for line in sys.stdin:
            loop.call_soon_threadsafe(orders.put_nowait, line)
        loop.call_soon_threadsafe(orders.put_nowait, '{"do": "exit"}')

    threading.Thread(target=read, daemon=True).start()
    host.say(event="ready", versions=host._adapter.versions())
    obeying = {asyncio.create_task(host.beat(), name="Host.beat")}
    while (order := json.loads(await orders.get()))["do"] != "exit":
        task = asyncio.create_task(host.obey(order), name="Host.obey")
        obeying.add(task)
        task.add_done_callback(obeying.discard)
    host.say(event="bye")
    # Not through the loop's own end: it would wait for tasks that a peer never lets go.
    os._exit(0)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    protocol = os.dup(1)
    os.set_inheritable(protocol, False)
    os.dup2(2, 1)  # whatever a peer prints is no line of the protocol
    sys.path.insert(0, str(Path(__file__).parent / "adapters"))
    asyncio.run(main(sys.argv[1], sys.argv[2], protocol))
