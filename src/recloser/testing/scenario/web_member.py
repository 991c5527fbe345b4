"""A server of the built-in fleet over HTTP: a process of its own, kept up, and the network before it."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from recloser.options import Server
from recloser.testing.faulty import script
from recloser.testing.faulty.work import Execution, read_ledger
from recloser.testing.proxy import FaultProxy, Toxic
from recloser.testing.scenario.members import Member
from recloser.testing.scenario.netspace import CannotCutError, Network, can_cut
from recloser.testing.scenario.records import FleetServer, Strike

__all__ = ["HttpMember"]

UP: Final = 10.0
"""Seconds that a server gets to start."""
REST: Final = 0.1
"""Seconds before an HTTP server that has died is started again, as a supervisor would."""
ASKED: Final = 2.0
"""Seconds that a server gets to answer on its control page."""


class HttpMember(Member):
    """A server over HTTP in a process of its own, started again whenever it dies, on the same port."""

    def __init__(self, told: FleetServer) -> None:
        super().__init__(told)
        self._files = tempfile.TemporaryDirectory(prefix="chaos-")
        self._ledger = str(Path(self._files.name) / "counts")
        self._network: Network | None = None
        self._proxied = False
        self._proxy: FaultProxy | None = None
        self._toxics: list[Toxic] = []
        self._process: asyncio.subprocess.Process | None = None
        self._port = 0
        self._keeper: asyncio.Task[None] | None = None
        self._may_run = asyncio.Event()
        self._runs = asyncio.Event()
        self._cancelled = 0
        self.notes: list[str] = []

    @property
    def _host(self) -> str:
        return "127.0.0.1" if self._network is None else self._network.host

    @property
    def server(self) -> Server:
        """Its URL."""
        address = f"{self._host}:{self._port}" if self._proxy is None else self._proxy.address
        own = self._network is not None
        return replace(self.told.options, command=None, url=f"http://{address}/mcp", allow_plaintext=own)

    @property
    def pid(self) -> int | None:
        """The process that serves now."""
        return None if self._process is None or self._process.returncode is not None else self._process.pid

    @property
    def _control(self) -> Path:
        """No file of orders: its processes are told theirs on a page."""
        return Path(self._files.name) / "control"

    def executed(self) -> list[Execution]:
        """Return every execution that its processes have written down."""
        return read_ledger(self._ledger)

    async def start(self) -> None:
        """Start it and wait until it listens.

        Raises:
            ChildProcessError: it did not start.
        """
        if self.told.namespace:
            await self._separate()
        self._may_run.set()
        self._keeper = asyncio.create_task(self._keep_up(), name=f"chaos:{self.told.name}")
        waiting = asyncio.create_task(self._runs.wait())
        await asyncio.wait({waiting, self._keeper}, timeout=UP, return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            waiting.cancel()
            raise ChildProcessError(f"the server {self.told.name} of the fleet did not start")
        if self._proxied:
            self._proxy = FaultProxy("127.0.0.1", self._port)
            await self._proxy.start()

    async def _separate(self) -> None:
        """Give it a network of its own, or where that cannot be a proxy that can drop what passes."""
        why = "needs Linux's ip and tc, and root"
        if can_cut():
            network = Network()
            try:
                self._network = await network.__aenter__()
            except CannotCutError as error:
                why = str(error)
            else:
                return
        self.notes.append(f"{self.told.name}: no network namespace ({why}); a proxy drops its data instead")
        self._proxied = True

    async def close(self) -> None:
        """End the process, and remove its network and its files."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait({self._keeper})
        if self._proxy is not None:
            await self._proxy.stop()
        if self._network is not None:
            await self._network.__aexit__(None, None, None)
        self._files.cleanup()

    async def _keep_up(self) -> None:
        while True:
            await self._may_run.wait()
            command = script(
                *("--transport", "http", "--era", self.told.era, "--host", self._host),
                *("--port", str(self._port), "--count-file", self._ledger, "--control", str(self._control)),
                "--until-stdin-closes",
            )
            if self._network is not None:
                command = self._network.inside(*command)
            # A session of its own keeps Ctrl-C from reaching it before its clients have closed their connections.
            process = await asyncio.create_subprocess_exec(
                *command,
                # Held open: where this process is killed, its servers see the end of it and end too.
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                start_new_session=True,
            )
            self._process = process
            try:
                assert process.stdout is not None  # it is a pipe
                url = (await process.stdout.readline()).decode().strip()
                if url:
                    self._port = int(url.rpartition(":")[2].partition("/")[0])
                    await self._tell()
                    self._runs.set()
                elif not self._port:
                    return  # one that has never run is not tried again: it is told at once that it does not start
                await process.wait()
            finally:
                await _ended(process)
            await asyncio.sleep(REST)

    async def _apply(self) -> None:
        if self.pid is not None:
            await self._tell()

    async def _tell(self) -> None:
        # One that is frozen, cut off or dying cannot be told now; a new process is told all when it starts.
        await self._ask({"fault": None})
        for serial, order in self.orders.items():
            fields = {"after": order.after, "times": order.times, "on": order.on, "tool": order.tool, "serial": serial}
            await self._ask({"fault": order.name, "keep": True, "arguments": dict(order.arguments), **fields})

    async def _ask(self, body: Mapping[str, Any] | None) -> dict[str, Any]:
        """Speak to the control page; return what it answered, or nothing where it did not."""
        try:
            async with asyncio.timeout(ASKED):
                return await self._exchanged(body)
        except (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError):
            return {}

    async def _exchanged(self, body: Mapping[str, Any] | None) -> dict[str, Any]:
        reader, writer = await asyncio.open_connection(self._host, self._port)
        try:
            data = b"" if body is None else json.dumps(body).encode()
            verb = "GET" if body is None else "POST"
            writer.write(f"{verb} /control HTTP/1.1\r\ncontent-length: {len(data)}\r\n\r\n".encode() + data)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            found: dict[str, Any] = json.loads(await reader.readexactly(length))
            return found
        finally:
            writer.close()

    async def _end(self, *, stay_down: bool) -> None:
        self._cancelled = await self.cancels()
        if stay_down:
            self._may_run.clear()
        await _ended(self._process)

    async def _return(self) -> None:
        self._runs.clear()
        self._may_run.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(UP):
                await self._runs.wait()

    async def _act(self, strike: Strike) -> str:
        if strike.name == "partition" and self._network is None and self._proxy is None:
            raise ValueError(f"{self.told.name} has no network of its own; set namespace = true")
        return await super()._act(strike)

    async def _cut(self) -> str:
        if self._network is not None:
            await self._network.cut()
            return "by a network namespace"
        assert self._proxy is not None  # see `_act`
        self._toxics = [
            await self._proxy.add("timeout", stream="upstream", timeout=0),
            await self._proxy.add("timeout", stream="downstream", timeout=0),
        ]
        return "by a proxy"

    async def _mend(self) -> None:
        if self._network is not None:
            await self._network.mend()
        for toxic in self._toxics:
            await toxic.remove()
        self._toxics = []

    async def cancels(self) -> int:
        """Return how many calls were cancelled there, those of earlier processes too."""
        return self._cancelled + int((await self._ask(None)).get("cancelled", 0))


async def _ended(process: asyncio.subprocess.Process | None) -> None:
    """End a process, if there is one that runs, and wait until it is gone."""
    if process is not None and process.returncode is None:
        process.kill()
        await process.wait()
