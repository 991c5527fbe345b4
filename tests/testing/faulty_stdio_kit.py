"""A faulty server over stdio in the test's own process."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from typing import Any

from recloser.testing.faulty.pipe import StdioServer, write_all
from recloser.testing.faulty.pipe_faults import act
from recloser.testing.faulty.plan import Order, Plan
from recloser.testing.faulty.protocol import Core
from recloser.testing.faulty.work import Ledger, Work
from support.faulty_clients import Lines, read_pipe


class Inside:
    """A stdio server in this process; `left` are the exit codes with which it would have ended."""

    def __init__(self, era: Any, sleepers: str | None = None) -> None:
        clock = asyncio.get_running_loop().time
        self.ledger = Ledger(clock)
        self.plan = Plan(clock)
        self.left: list[int] = []
        self.core = Core(Work(self.ledger), era=era)
        stdin, self.write_end = os.pipe()
        self.stdin = stdin
        self.read_end, stdout = os.pipe()
        self.stdout = stdout
        self.server = StdioServer(self.core, self.plan, act, leave=self.left.append, stdout=stdout, sleepers=sleepers)

    def fault(self, name: str, **fields: Any) -> None:
        order = Order.of(name, **fields)
        order.check("stdio")
        self.plan.add(order)

    def executions(self) -> list[str]:
        return [entry.label for entry in self.ledger.entries()]


@asynccontextmanager
async def inside(era: str = "dual", order: str | None = None, sleepers: str | None = None, **arguments: object):
    server = Inside(era, sleepers)
    if order is not None:
        server.fault(order, arguments=arguments)
    reader, reading = await read_pipe(server.read_end)
    stdin, stdin_reading = await read_pipe(server.stdin)
    lines = Lines(lambda data: write_all(server.write_end, data), reader)
    running = asyncio.get_running_loop().create_task(server.server.serve(stdin, stdin_reading.pause_reading))
    try:
        yield server, lines, running
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        for descriptor in (server.write_end, server.stdout):
            try:
                os.close(descriptor)
            except OSError:
                continue
        reading.close()
        stdin_reading.close()
        await asyncio.sleep(0)
