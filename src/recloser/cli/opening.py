"""Opening a router for one command: find the configuration, connect, and show a person how far that is."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NoReturn

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from recloser.catalog import Catalog, NamesCollideError
from recloser.cli.observing import AS_CONFIGURED, Observing
from recloser.config import FILES, ConfigurationError, Mistake, Settings, find, load
from recloser.errors import ErrorPayload
from recloser.events import ConnectionChanged, Event, Listener
from recloser.router import Router


@dataclass(kw_only=True)
class Start:
    """How the servers came up. Written by its own listener while the router starts; read by the command after."""

    waiting: set[str]
    """Servers that are neither ready nor failed yet."""
    took: dict[str, float] = field(default_factory=dict)
    """Per server that became ready: the seconds that it took."""
    failed: set[str] = field(default_factory=set)
    """Servers whose first try to connect failed."""
    begun: float = 0.0
    """The moment, of the event loop, that the start began."""
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    on_change: Callable[[], None] = lambda: None

    def hear(self, event: Event) -> None:
        """Note a server's first outcome; a listener of the router."""
        if not isinstance(event, ConnectionChanged) or event.server not in self.waiting:
            return
        if event.state not in ("ready", "failed"):
            return
        self.waiting.discard(event.server)
        if event.state == "ready":
            self.took[event.server] = asyncio.get_running_loop().time() - self.begun
        else:
            self.failed.add(event.server)
        self.on_change()
        if not self.waiting:
            self.settled.set()


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A router whose servers have all come up or failed."""

    router: Router
    config: Path
    start: Start
    notes: tuple[str, ...] = ()
    """What is no mistake in the configuration, but may surprise."""

    def problems(self) -> dict[str, ErrorPayload]:
        """Return why servers failed, by name."""
        health = self.router.health()
        errors = {name: health[name].error for name in sorted(self.start.failed)}
        return {name: error for name, error in errors.items() if error is not None}


@asynccontextmanager
async def opened(
    config: Path | None,
    choose: Callable[[Collection[str]], Collection[str]] = lambda names: names,
    *,
    listeners: Iterable[Listener] = (),
    observing: Observing = AS_CONFIGURED,
    settled: bool = True,
) -> AsyncIterator[Opened]:
    """Open a router on a configuration and, if `settled`, wait until every server has come up or failed.

    `choose` picks the servers to start, of all that there are; `listeners` hear what the router does, and
    `observing` says where its spans, metrics, logs and audit go. A required server that fails is told like any other:
    the command decides what that means.

    Raises:
        ConfigurationError: there is no configuration, or it has mistakes, of which a collision of bare names is one.
    """
    path = config or find(Path.cwd()) or _nothing_found()
    settings = load(path)
    chosen = choose([server.name for server in settings.servers])
    servers = [replace(server, required=False, lazy=server.name not in chosen) for server in settings.servers]
    start = Start(waiting={server.name for server in servers if server.enabled and not server.lazy})
    start.begun = asyncio.get_running_loop().time()
    if not start.waiting:
        start.settled.set()
    async with AsyncExitStack() as stack:
        observed: dict[str, Any] = await stack.enter_async_context(observing.begun(settings))
        observed["listeners"] = [start.hear, *listeners, *observed["listeners"]]
        router = Router(
            *servers,
            names=settings.names,
            snapshot=settings.cache,
            secrets=[secret.get_secret_value() for secret in settings.secrets],
            **observed,
        )
        with _bar(start):
            try:
                await stack.enter_async_context(router)
                if settled:
                    await start.settled.wait()
                    _settle_names(router, settings.names)
            except NamesCollideError as error:
                raise _collision(error, settings) from error
        yield Opened(router=router, config=path, start=start, notes=settings.notes)


def _settle_names(router: Router, names: Literal["qualified", "bare"]) -> None:
    """Look at the names of all tools together: which server was quick enough to be there at start changes nothing.

    Raises:
        NamesCollideError: two servers of equal priority offer a tool of one name.
    """
    catalog = Catalog(router.servers.values(), names=names, emit=lambda _: None)
    for name in router.servers:
        catalog.update(name, router.listing(name))
    catalog.settle_names()


def _collision(error: NamesCollideError, settings: Settings) -> ConfigurationError:
    file = None if settings.source is None else str(settings.source)
    # Names of tools are texts of servers.
    message = settings.redactor().text(error.what)
    return ConfigurationError([Mistake(file=file, path="recloser.names", message=message, hint=error.hint)])


def _nothing_found() -> NoReturn:
    message = f"there is no configuration in {Path.cwd()}, where {', '.join(FILES)} were looked for"
    hint = "name a file, or try recloser demo, which needs none"
    raise ConfigurationError([Mistake(file=None, path="", message=message, hint=hint)])


@contextmanager
def _bar(start: Start) -> Iterator[None]:
    """Show a progress bar on stderr while the servers come up, if a person watches it."""
    if not sys.stderr.isatty():
        yield
        return
    columns = (TextColumn("Connecting"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    total = len(start.waiting)
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        job = bar.add_task("", total=total)

        def draw() -> None:
            bar.update(job, completed=total - len(start.waiting), description=", ".join(sorted(start.waiting)))

        start.on_change = draw
        draw()
        yield
