"""The operator's side of a router: its servers and their health, its life, and what it tells of itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from recloser.audit import AuditLog, Auditor, AuditRecord
from recloser.catalog import Listing
from recloser.connection import Callbacks
from recloser.errors import RouterError
from recloser.events import Emitter, Listener
from recloser.fleet import Fleet
from recloser.health import ServerHealth
from recloser.later import Later
from recloser.metrics import Metrics, Reading
from recloser.observer import Observer
from recloser.options import Server
from recloser.redact import Hidden, secrets_of_arguments, secrets_of_named, secrets_of_url
from recloser.spans import SpanKindChoice, Spans

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

__all__ = ["Operated"]

FLUSH: Final = 2.0
"""Seconds that closing waits for the audit's last lines to reach their file."""


class Operated:
    """Keeps the servers of a router; the base of `Router`, which makes calls to them.

    Written by its own methods, on the loop.
    """

    def __init__(
        self,
        servers: Iterable[Server],
        *,
        names: Literal["qualified", "bare"],
        listeners: Iterable[Listener],
        callbacks: Callbacks,
        snapshot: str | Path | None,
        secrets: Iterable[str],
        rng: Callable[[], float],
        tracer_provider: TracerProvider | None,
        meter_provider: MeterProvider | None,
        audit: str | Path | Callable[[AuditRecord], None] | None,
        audit_key: bytes | None,
        capture_content: bool,
        attempt_span_kind: SpanKindChoice,
    ) -> None:
        self._open = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._hidden = Hidden(secrets)
        self._configured: tuple[str, ...] = ()
        """What the last reload's configuration says is secret."""
        self._later = Later()
        self._metrics = Metrics(
            meter_provider,
            readings=self._readings,
            redactor=lambda: self._hidden.redactor,
            later=self._later,
        )
        # A file is written for this router alone, and ended with it.
        self._audit_log: AuditLog | None = None
        sink = audit
        if isinstance(sink, str | Path):
            sink = self._audit_log = AuditLog(Path(sink))
        self._observer = Observer(
            emit=Emitter(listeners),
            spans=Spans(
                tracer_provider, kind=attempt_span_kind, content=capture_content, redactor=lambda: self._hidden.redactor
            ),
            audit=None if sink is None else Auditor(sink, key=audit_key, redactor=lambda: self._hidden.redactor),
            redactor=lambda: self._hidden.redactor,
            content=capture_content,
        )
        self._fleet = Fleet(
            servers,
            names=names,
            callbacks=callbacks,
            observer=self._observer,
            snapshot=None if snapshot is None else Path(snapshot),
            rng=rng,
        )
        self._hide(self._fleet.servers.values())

    # --- life

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def open(self) -> None:
        """Start all servers at once; return when the required ones are ready and the others are ready, failed or slow.

        Raises:
            RouterError: a required server could not be made ready; everything is closed again.
            NamesCollideError: bare names are shown, two servers of equal priority offer a tool of one name, and both
                have listed it in time; a `ValueError`.
            OSError: the audit's file cannot be opened.
            RuntimeError: the router is open already.
        """
        if self._open:
            raise RuntimeError("the router is open already")
        self._open = True
        self._loop = asyncio.get_running_loop()
        try:
            if self._audit_log is not None:
                self._audit_log.open()
            self._observer.spans.begin()
            self._metrics.begin()
            if self._metrics.active:
                self._observer.emit.add(self._metrics)
            await self._fleet.open()
        except BaseException as error:
            await self.close()
            if isinstance(error, RouterError):
                self._observer.hide(error)
            raise

    async def close(self) -> None:
        """Close every connection; returns when nothing is left. Closing a closed router does nothing."""
        self._open = False
        self._loop = None
        try:
            await self._fleet.close()
        finally:
            self._later.close()
            self._observer.emit.remove(self._metrics)
            self._metrics.end()
            self._observer.spans.end()
            if self._audit_log is not None:
                await asyncio.to_thread(self._audit_log.close, FLUSH)

    def _opened(self) -> Fleet:
        if not self._open:
            raise RuntimeError("the router is not open; use `async with router:`")
        return self._fleet

    def _here(self) -> Fleet:
        """Return the fleet to whoever is going to await something of it."""
        fleet = self._opened()
        if asyncio.get_running_loop() is not self._loop:
            raise RuntimeError(
                "the router was opened in another event loop, and can be used only there; what any thread may use is a "
                "SyncRouter"
            )
        return fleet

    async def ready(self, server: str) -> None:
        """Wait until a server is ready for calls.

        Raises:
            RouterError: it is not known, or the try to connect failed.
        """
        try:
            await self._here().upstream(server).ready()
        except RouterError as error:
            self._observer.hide(error)
            raise

    async def probe(self, server: str) -> None:
        """Ask a server for a sign of life, at protocol level: no tool runs, and no circuit hears of it.

        Raises:
            RouterError: it is not known, or there was no sign within its `timeouts.attempt`.
        """
        await self._here().upstream(server).probe()

    def isolate(self, server: str) -> None:
        """Reject every call to a server with `circuit_open`, its tools still listed as unavailable, until `release`.

        Calls in flight may end. A server that is changed by `reload` begins anew, released.

        Raises:
            RouterError: it is not known.
        """
        self._opened().upstream(server).isolate()

    def release(self, server: str) -> None:
        """Let calls to a server through again, whoever opened its circuit, and forget what was counted.

        Raises:
            RouterError: it is not known.
        """
        self._opened().upstream(server).release()

    async def close_session(self, session: str) -> None:
        """Close the connections that calls with this `session` have opened, at every server.

        Calls in flight over them end in `connection_lost`; a later call with the same `session` opens a new one.
        """
        await self._here().close_session(session)

    async def add_server(self, server: Server) -> None:
        """Add a server; returns when it is ready, has failed, or has had two seconds.

        Raises:
            ValueError: there is one of that name.
        """
        fleet = self._here()
        fleet.expect(server)
        self._hide((*fleet.servers.values(), server))
        await fleet.add(server)

    async def remove_server(self, server: str) -> None:
        """Remove a server: its tools are gone at once, its calls in flight may end.

        Raises:
            RouterError: it is not known.
        """
        self._here().remove(server)

    async def reload(self, source: str | Path | Mapping[str, Any]) -> None:
        """Take over a changed configuration's servers: what did not change is not disturbed, nor is a call in flight.

        How names are shown, and where the snapshot lies, stays as it was at the start.

        Raises:
            ConfigurationError: there are mistakes in it; nothing was changed.
        """
        from recloser.config import load

        settings = load(source)
        fleet = self._here()
        self._configured = tuple(secret.get_secret_value() for secret in settings.secrets)
        self._hide(settings.servers)
        await fleet.reload(settings.servers)

    def disable(self, name: str) -> None:
        """Hide a server, a tool (`server__tool`) or a tag, and refuse calls to it, until `enable`.

        Raises:
            RouterError: there is nothing of that name.
        """
        self._opened().disable(name)

    def enable(self, name: str) -> None:
        """Undo `disable`.

        Raises:
            RouterError: there is nothing of that name.
        """
        self._opened().enable(name)

    @property
    def servers(self) -> Mapping[str, Server]:
        """The servers by name, as they were configured."""
        return self._fleet.servers

    def listing(self, server: str) -> Listing:
        """Return what one server offers, under its own names, as it was listed last.

        Raises:
            RouterError: it is not known.
        """
        return self._opened().catalog.listing(server) or Listing()

    def health(self) -> dict[str, ServerHealth]:
        """Return how every server is, without asking any of them."""
        return self._opened().health()

    def _hide(self, servers: Iterable[Server]) -> None:
        """Hide what these servers are given that is secret, before any of them can tell it."""
        self._hidden.use((*self._configured, *(secret for server in servers for secret in _secrets_of(server))))

    def _readings(self) -> Iterable[Reading]:
        """Read the gauges; called by the thread that collects metrics, and so only looks."""
        return self._fleet.readings()


def _secrets_of(server: Server) -> Iterator[str]:
    """Yield what is secret of how a server is reached, by the rule of configurations."""
    yield from secrets_of_url(server.url or "")
    yield from secrets_of_named(server.headers)
    # Parameters of the SDK's may stand in the place of a command.
    yield from secrets_of_named(server.env or getattr(server.target, "env", None) or {})
    yield from secrets_of_arguments(server.args or getattr(server.target, "args", None) or ())
