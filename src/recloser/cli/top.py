"""`recloser top`: how the servers of a router are doing now, once or for as long as a person watches."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.live import Live

from recloser.cli import exits, output
from recloser.cli.running import run
from recloser.cli.top_source import Read, Unread, of_configuration, of_page, url_of
from recloser.cli.top_view import cells, screen
from recloser.config import find
from recloser.redact import redact


@dataclass(frozen=True, kw_only=True)
class Watched:
    """What is looked at."""

    url: str | None
    """A status page, if it is one."""
    config: Path | None

    @property
    def source(self) -> str:
        """What it is called on the screen."""
        return redact(self.url) if self.url is not None else str(self.config or find(Path()))

    @asynccontextmanager
    async def opened(self, *, settled: bool) -> AsyncIterator[Read]:
        """Make it ready to be read; `settled` waits for the servers of a configuration."""
        opening = of_configuration(self.config, settled=settled) if self.url is None else of_page(self.url)
        async with opening as read:
            yield read

    def picture(self, document: dict[str, Any], console: Console, *, live: bool, notice: str = "") -> Any:
        """Return what fits the terminal."""
        return screen(
            document,
            source=self.source,
            width=console.width,
            height=console.height if live else None,
            alone=self.url is None,
            notice=notice,
        )


def top(
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="CONFIG | URL",
            help="A configuration file (left out, the one found here), or the address of a running router's status.",
        ),
    ] = None,
    *,
    once: Annotated[bool, typer.Option("--once", help="Show one table and end.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document and end.")] = False,
    interval: Annotated[float, typer.Option(help="Seconds between two looks.", min=0.1, max=3600.0)] = 1.0,
    allow_plaintext: Annotated[
        bool, typer.Option("--allow-plaintext", help="Allow http:// to another machine.")
    ] = False,
) -> int:
    """Watch servers, circuits and calls of a running router; of a configuration, how its servers are."""
    url = None if target is None else url_of(target, allow_plaintext=allow_plaintext)
    watched = Watched(url=url, config=None if target is None or url is not None else Path(target))
    console = Console(file=sys.stdout)
    if once or json or not output.on_terminal() or console.is_dumb_terminal:
        return run(_once(watched, console, as_json=json))
    try:
        return run(_live(watched, console, interval))
    except KeyboardInterrupt:
        return exits.OK  # how a person ends it


async def _once(watched: Watched, console: Console, *, as_json: bool) -> int:
    try:
        async with watched.opened(settled=True) as read:
            document = await read()
    except Unread as unread:
        return _told(unread)
    if as_json:
        output.document(document)
    elif output.on_terminal():
        output.picture(watched.picture(document, console, live=False))
    else:
        for row in cells(document, alone=watched.url is None):
            output.data("\t".join(row))
    return exits.OK


async def _live(watched: Watched, console: Console, interval: float) -> int:
    """Show one look after the other until a person ends it or is gone; a page that falls silent is asked again."""
    loop = asyncio.get_running_loop()
    async with watched.opened(settled=False) as read:
        try:
            document = await read()
        except Unread as unread:
            return _told(unread)
        seen, notice = loop.time(), ""
        with Live(console=console, screen=True, auto_refresh=False) as live:
            while output.on_terminal():
                live.update(watched.picture(document, console, live=True, notice=notice), refresh=True)
                await asyncio.sleep(interval)
                try:
                    document = await read()
                    seen, notice = loop.time(), ""
                except Unread as unread:
                    notice = f"{unread} What is shown is {loop.time() - seen:.0f} s old."
    return exits.OK  # the terminal is gone, and whoever watched with it


def _told(unread: Unread) -> int:
    output.complain(str(unread))
    return unread.code
