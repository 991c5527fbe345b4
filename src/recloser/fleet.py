"""All servers of one router: started together, added, removed and replaced while calls go on."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal, TypeVar

import mcp_types as types

from recloser.catalog import Catalog, Listing
from recloser.catalog.keeper import SnapshotKeeper
from recloser.catalog.snapshot import load as load_snapshot
from recloser.connection import Callbacks
from recloser.errors import error_for
from recloser.health import ServerHealth, nothing_of
from recloser.metrics import Reading
from recloser.observer import Observer
from recloser.options import Server
from recloser.upstream import Upstream

__all__ = ["Fleet"]

Shown = TypeVar("Shown", types.Tool, types.Resource, types.ResourceTemplate, types.Prompt)

PATIENCE: Final = 2.0
"""Seconds that start waits for servers that are not required: a person notices more, and most servers need less."""


class Fleet:
    """The servers and what they offer.

    Written by its own methods, on the loop. A server that goes leaves the catalog at once and closes behind, after its
    calls have ended.
    """

    def __init__(
        self,
        servers: Iterable[Server],
        *,
        names: Literal["qualified", "bare"],
        callbacks: Callbacks,
        observer: Observer,
        snapshot: Path | None,
        rng: Callable[[], float] = random.random,
    ) -> None:
        if names not in ("qualified", "bare"):
            raise ValueError(f"names must be 'qualified' or 'bare', got {names!r}")
        self._servers: dict[str, Server] = {}
        for server in servers:
            if not isinstance(server, Server):
                raise TypeError(f"a router takes Server objects, got {type(server).__name__}")
            if server.name in self._servers:
                raise ValueError(f"two servers are named {server.name!r}; give each a name of its own")
            self._servers[server.name] = server
        self._observer = observer
        self._callbacks = callbacks
        self._snapshot = snapshot
        self._rng = rng
        # Upstreams on their way out, by the tasks that let their last calls end; a task takes itself out.
        self._leaving: dict[asyncio.Task[None], Upstream] = {}
        self._open = False
        self.catalog = Catalog(self._servers.values(), names=names, emit=observer.emit)
        self.upstreams: dict[str, Upstream] = {}
        self._keeper = None if snapshot is None else SnapshotKeeper(snapshot, self.catalog.listings)

    @property
    def servers(self) -> Mapping[str, Server]:
        """The servers by name."""
        return dict(self._servers)

    def server(self, name: str) -> Server:
        """Return a server's options.

        Raises:
            CriticalError: there is none of that name.
        """
        server = self._servers.get(name)
        if server is None:
            known = ", ".join(sorted(self._servers)) or "none"
            shown = self._observer.shown(name)
            raise error_for("unknown_server", f"there is no server {shown!r}; known are: {known}", server=shown)
        return server

    def upstream(self, name: str) -> Upstream:
        """Return a running server.

        Raises:
            CriticalError: there is none of that name, or it is disabled.
        """
        upstream = self.upstreams.get(name)
        if upstream is None:
            self.server(name)
            raise error_for("unknown_server", f"server {name!r} is disabled; enable it first", server=name)
        return upstream

    def of_server(self, shown: list[Shown], name: str | None) -> list[Shown]:
        """Return those that one server offers, of what the catalog shows; all for None.

        Raises:
            CriticalError: there is none of that name.
        """
        if name is None:
            return shown
        self.server(name)
        return [one for one in shown if (one.meta or {}).get("recloser/server") == name]

    def health(self) -> dict[str, ServerHealth]:
        """Return how every server is, those that are switched off too."""
        return {name: self._health(name) for name in self._servers}

    def _health(self, name: str) -> ServerHealth:
        upstream = self.upstreams.get(name)
        if upstream is None:
            return nothing_of(self._servers[name])
        health = upstream.health()
        return health if self.catalog.enabled(name) else replace(health, state="disabled", available=False)

    def readings(self) -> list[Reading]:
        """Return what gauges show; safe to call from any thread, since it only looks."""
        return [reading for upstream in tuple(self.upstreams.values()) for reading in upstream.readings()]

    # --- together

    async def open(self) -> None:
        """Start all servers at once; return when the required ones are ready and the others ready, failed or slow.

        Raises:
            RouterError: a required server could not be made ready.
            NamesCollideError: bare names are shown and two servers claim one.
        """
        self._open = True
        if self._snapshot is not None:
            restored = await asyncio.to_thread(load_snapshot, self._snapshot, tuple(self._servers.values()))
            if not self._open:
                return  # closed meanwhile: nobody would close what is started now
            for name, listing in restored.items():
                self.catalog.restore(name, listing)
        for name, server in self._servers.items():
            if self.catalog.listing(name) is not None:
                # Known from an earlier run or opening, so still to be confirmed; a lazy server only waits to be called.
                self.catalog.set_available(name, server.lazy)
        started = [
            self._start(server)
            for name, server in self._servers.items()
            if server.enabled or self.catalog.enabled(name)
        ]
        waiting = [asyncio.ensure_future(upstream.ready()) for upstream in started if upstream.server.required]
        waiting.append(asyncio.ensure_future(self._settled(started)))
        try:
            await asyncio.gather(*waiting)
        finally:
            for one in waiting:
                one.cancel()
        self.catalog.settle_names()

    async def close(self) -> None:
        """Close all servers; returns when nothing is left."""
        self._open = False
        for name in tuple(self.upstreams):
            self._stop(name, drain=False)
        leaving = dict(self._leaving)
        await asyncio.gather(*(upstream.close() for upstream in leaving.values()))
        for task in leaving:
            task.cancel()  # its upstream is closed; it would only wait for calls to give up of themselves
        if leaving:
            await asyncio.wait(leaving)
        if self._keeper is not None:
            await self._keeper.close()

    async def close_session(self, session: str) -> None:
        """Close what was opened for one session, at every server; those on their way out close theirs by themselves."""
        await asyncio.gather(*(upstream.close_session(session) for upstream in self.upstreams.values()))

    async def _settled(self, upstreams: Iterable[Upstream]) -> None:
        waiting = [asyncio.ensure_future(one.settled()) for one in upstreams if not one.server.lazy]
        try:
            if waiting:
                await asyncio.wait(waiting, timeout=PATIENCE)
        finally:
            for one in waiting:
                one.cancel()

    # --- one by one

    async def add(self, server: Server) -> None:
        """Add a server and start it; returns when it is ready, has failed, or takes its time.

        Raises:
            ValueError: there is one of that name.
        """
        self.expect(server)
        await self._settled(self._put([server]))

    def expect(self, server: Server) -> None:
        """Look whether a server can be added.

        Raises:
            ValueError: there is one of that name.
        """
        if not isinstance(server, Server):
            raise TypeError(f"a router takes Server objects, got {type(server).__name__}")
        if server.name in self._servers:
            raise ValueError(f"there is a server named {server.name!r} already; remove it first, or reload")

    def _put(self, servers: Sequence[Server]) -> list[Upstream]:
        """Add servers and start those that are enabled, in one step: nothing else is seen in between."""
        for server in servers:
            self._servers[server.name] = server
            self.catalog.add_server(server)
        return [self._start(server) for server in servers if server.enabled]

    def remove(self, name: str) -> None:
        """Remove a server; its calls in flight may end.

        Raises:
            CriticalError: there is none of that name.
        """
        self.server(name)
        del self._servers[name]
        self.catalog.remove_server(name)
        self._stop(name, drain=True)

    def _replace(self, server: Server) -> list[Upstream]:
        """Give a server new options; what it offers stays known meanwhile, under its names."""
        self._servers[server.name] = server
        self._stop(server.name, drain=True)
        self.catalog.replace_server(server)
        return [self._start(server)] if server.enabled or self.catalog.enabled(server.name) else []

    async def reload(self, servers: Iterable[Server]) -> None:
        """Make these the servers: what is unchanged is left alone, what is changed is replaced, calls in flight end."""
        wanted = {server.name: server for server in servers}
        for name in self._servers.keys() - wanted.keys():
            self.remove(name)
        known = dict(self._servers)
        changed = [server for name, server in wanted.items() if name in known and known[name] != server]
        started = [upstream for server in changed for upstream in self._replace(server)]
        started += self._put([server for name, server in wanted.items() if name not in known])
        await self._settled(started)

    def disable(self, name: str) -> None:
        """Hide a server, a tool or a tag, and refuse calls to it."""
        self.catalog.disable(name)

    def enable(self, name: str) -> None:
        """Undo `disable`; a server that the configuration disables is started."""
        self.catalog.enable(name)
        server = self._servers.get(name)
        if server is not None and self._open and name not in self.upstreams:
            self._start(server)

    def _start(self, server: Server) -> Upstream:
        # While an earlier one of its name still closes, their generations are counted as one: so what is heard of that
        # one, its end at the latest, is not taken for the new one's.
        earlier = [one.generations for one in self._leaving.values() if one.server.name == server.name]
        upstream = Upstream(
            server,
            self._callbacks,
            observer=self._observer,
            on_listing=self._listed,
            on_available=self._availability,
            rng=self._rng,
            generations=earlier[-1] if earlier else None,
        )
        self.upstreams[server.name] = upstream
        if not server.lazy:
            upstream.start()
        return upstream

    def _stop(self, name: str, *, drain: bool) -> None:
        upstream = self.upstreams.pop(name, None)
        if upstream is not None:
            task = asyncio.get_running_loop().create_task(upstream.close(drain=drain), name=f"recloser:{name}:leaving")
            self._leaving[task] = upstream
            task.add_done_callback(self._leaving.pop)

    # --- what upstreams tell; one that is on its way out is not heard any more

    def _listed(self, upstream: Upstream, listing: Listing) -> None:
        if self.upstreams.get(upstream.server.name) is upstream:
            self.catalog.update(upstream.server.name, listing)
            if self._keeper is not None:
                self._keeper.changed()

    def _availability(self, upstream: Upstream, available: bool, code: str | None) -> None:
        if self.upstreams.get(upstream.server.name) is upstream:
            since = None if available else datetime.now(UTC).isoformat(timespec="seconds")  # noqa: TID251 - hosts read it, whose clocks are not the loop's
            self.catalog.set_available(upstream.server.name, available, since, code)
