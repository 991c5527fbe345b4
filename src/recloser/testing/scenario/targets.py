"""Who makes the calls of a load: a router, or for comparison the SDK's client as it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import mcp_types as types
from mcp import Client, StdioServerParameters
from mcp.client import ClientRequestContext

from recloser.catalog.names import qualify
from recloser.errors import ErrorPayload, error_of
from recloser.options import Server
from recloser.router import Router
from recloser.testing.scenario.observed import ConnectionMark
from recloser.testing.scenario.recorder import Recorder

__all__ = ["Order", "RawTarget", "RouterTarget", "Target", "Told"]

CONNECTED: Final = 10.0
"""Seconds that a raw client gets to connect, as its user would give it."""
ENDED: Final = 10.0
"""Seconds that a raw client gets to close before it is given up."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """One call that is to be made."""

    server: str
    tool: str
    arguments: Mapping[str, Any]
    timeout: float
    caller: str
    safe: bool | None = None
    """Whether it may be repeated; None leaves that to what is known of the tool."""


@dataclass(frozen=True, kw_only=True)
class Told:
    """What a caller got."""

    good: bool
    code: str | None = None
    kind: str | None = None
    delivered: str | None = None
    named: str | None = None
    retry_after: float | None = None
    message: str = ""
    payload: Mapping[str, Any] = field(default_factory=dict)
    """All that the failure says, to look for secrets in."""


class Target(Protocol):
    """Something that can be asked to call tools."""

    name: str

    async def open(self, *, struck: Collection[str] = ()) -> None:
        """Connect to all servers; what does not come up must not fail it.

        `struck` are those that have a fault already: whoever can serve without them does not wait for them.
        """
        ...

    async def close(self) -> None:
        """Close everything."""
        ...

    async def call(self, order: Order) -> Told:
        """Make one call; whatever goes wrong is told, not raised."""
        ...

    async def offered(self) -> Mapping[str, Sequence[types.Tool]]:
        """Return the tools of each server that can be seen, under the server's own names.

        Raises:
            Exception: they could not be had.
        """
        ...

    def problems(self) -> Mapping[str, ErrorPayload]:
        """Return why servers are not available, as far as that is known."""
        ...

    def health(self) -> Mapping[str, str]:
        """Return all that it tells of each server's health, as text."""
        ...

    def pid(self, server: str) -> int | None:
        """Return the process of a server that it has started, where it is known."""
        ...

    def in_flight(self) -> Mapping[str, int]:
        """Return how many places are taken at each server."""
        ...


class RouterTarget:
    """A router over the servers.

    `change` is the seam for tests that break a rule on purpose: it is given each server's options and returns those
    that the router gets, while the verdicts go by the scenario's own. `options` are further arguments of `Router`.
    """

    name = "router"

    def __init__(
        self,
        servers: Iterable[Server],
        recorder: Recorder,
        *,
        change: Callable[[Server], Server] = lambda server: server,
        callback: float | None = None,
        **options: Any,
    ) -> None:
        self._callback = callback
        self.router = Router(
            *map(change, servers),
            listeners=[recorder.hear],
            elicitation=None if callback is None else self._answer,
            **options,
        )

    async def open(self, *, struck: Collection[str] = ()) -> None:
        """Open the router and wait until every server that has no fault is ready or has failed."""
        await self.router.open()
        enabled = [name for name, server in self.router.servers.items() if server.enabled and not server.lazy]
        sound = [name for name in enabled if name not in struck]
        await asyncio.gather(*(self.router.ready(name) for name in sound), return_exceptions=True)

    async def close(self) -> None:
        """Close the router."""
        await self.router.close()

    async def call(self, order: Order) -> Told:
        """Make one call."""
        result = await self.router.call_tool(
            qualify(order.server, order.tool),
            order.arguments,
            timeout=order.timeout,
            idempotent=order.safe,
            caller=order.caller,
        )
        error = error_of(result)
        if error is None:
            return Told(good=True)
        return Told(
            good=False,
            code=error.code,
            kind=error.type,
            delivered=error.delivered,
            named=error.server,
            retry_after=error.retry_after,
            message=error.message,
            payload=error.to_dict(),
        )

    async def offered(self) -> Mapping[str, Sequence[types.Tool]]:
        """Return the tools of each server that the router lists."""
        found = {}
        for name in self.router.servers:
            listed = {tool.name for tool in await self.router.list_tools(server=name)}
            own = (await self.router.session(name).list_tools()).tools
            found[name] = [tool for tool in own if qualify(name, tool.name) in listed]
        return found

    def problems(self) -> Mapping[str, ErrorPayload]:
        """Return the failures of servers that are not ready, as the router's health tells them."""
        health = self.router.health()
        return {name: each.error for name, each in health.items() if each.state != "ready" and each.error is not None}

    def health(self) -> Mapping[str, str]:
        """Return the router's health, what the servers' processes said on stderr included."""
        return {name: repr(each) for name, each in self.router.health().items()}

    def pid(self, server: str) -> int | None:
        """Return the process that serves now, as the router's health tells it."""
        return next((each.pid for each in self.router.health()[server].endpoints), None)

    def in_flight(self) -> Mapping[str, int]:
        """Return how many attempts are in flight or wait for a place."""
        return {
            name: sum(endpoint.in_flight + endpoint.waiting for endpoint in health.endpoints)
            for name, health in self.router.health().items()
        }

    async def _answer(
        self, _context: ClientRequestContext, _params: types.ElicitRequestParams, /
    ) -> types.ElicitResult:
        return await _answered(self._callback)


async def _answered(callback: float | None) -> types.ElicitResult:
    assert callback is not None  # or nobody would ask
    await asyncio.sleep(callback)
    return types.ElicitResult(action="accept", content={"answer": "tower"})


class RawTarget:
    """One `mcp.Client` for each server, opened once and kept, as a host without a router does it."""

    name = "raw"

    def __init__(self, servers: Iterable[Server], recorder: Recorder, *, callback: float | None = None) -> None:
        self._servers = {server.name: server for server in servers}
        self._recorder = recorder
        self._callback = callback
        self._clients: dict[str, Client] = {}
        self._over = asyncio.Event()
        self._owners: list[asyncio.Task[None]] = []

    async def open(self, *, struck: Collection[str] = ()) -> None:
        """Connect to all servers at once; one that does not come up is left out."""
        del struck  # it has nobody who would connect them later
        settled = {name: asyncio.Event() for name in self._servers}
        loop = asyncio.get_running_loop()
        self._owners = [loop.create_task(self._own(name, settled[name])) for name in self._servers]
        with suppress(TimeoutError):
            async with asyncio.timeout(CONNECTED):
                await asyncio.gather(*(event.wait() for event in settled.values()))

    async def _own(self, name: str, settled: asyncio.Event) -> None:
        server = self._servers[name]
        target: Any = server.url or StdioServerParameters(
            command=str(server.command),
            args=list(server.args),
            env=None if server.env is None else dict(server.env),
        )
        try:
            async with Client(target, elicitation_callback=None if self._callback is None else self._answer) as client:
                self._clients[name] = client
                now, version = self._recorder.now, client.protocol_version
                mark = ConnectionMark(at=now, server=name, state="ready", generation=1, version=version)
                self._recorder.connections.append(mark)
                settled.set()
                await self._over.wait()
        except Exception as error:  # noqa: BLE001 - a raw client may fail in any way; that is what is compared
            self._recorder.note(f"raw: the client of {name} ended in {type(error).__name__}")
        finally:
            settled.set()

    async def close(self) -> None:
        """Close all clients; what does not end in time is cancelled."""
        self._over.set()
        if self._owners:
            _, late = await asyncio.wait(self._owners, timeout=ENDED)
            for task in late:
                task.cancel()
            if late:
                self._recorder.note("raw: clients did not close by themselves")
                await asyncio.wait(late, timeout=ENDED)

    async def call(self, order: Order) -> Told:
        """Make one call; a failure is told in the words of its exception."""
        try:
            client = self._clients.get(order.server)
            if client is None:
                raise ConnectionError("never connected")
            await client.call_tool(order.tool, dict(order.arguments), read_timeout_seconds=order.timeout)
        except Exception as error:  # noqa: BLE001 - as above
            told = f"{type(error).__name__}: {error}"
            return Told(good=False, code=type(error).__name__, message=told, payload={"error": told})
        return Told(good=True)

    async def offered(self) -> Mapping[str, Sequence[types.Tool]]:
        """Ask every server for its tools, the first page of them."""
        missing = self._servers.keys() - self._clients.keys()
        if missing:
            raise ConnectionError(f"never connected: {', '.join(sorted(missing))}")
        return {name: (await client.list_tools()).tools for name, client in self._clients.items()}

    def problems(self) -> Mapping[str, ErrorPayload]:
        """Return nothing: where a server is missing, its tools are not offered either, and that is raised."""
        return {}

    def health(self) -> Mapping[str, str]:
        """Return nothing: it tells of none."""
        return {}

    def pid(self, server: str) -> int | None:
        """Return None: the SDK's client does not tell."""
        del server
        return None

    def in_flight(self) -> Mapping[str, int]:
        """Return nothing: nobody counts."""
        return {}

    async def _answer(self, context: ClientRequestContext, params: types.ElicitRequestParams) -> types.ElicitResult:
        del context, params
        return await _answered(self._callback)
