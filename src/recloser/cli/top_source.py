"""Where `recloser top` gets its document from: the status page of a running router, or a router of its own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

import httpx2
import typer

from recloser.classify import classify
from recloser.cli import exits
from recloser.cli.opening import opened
from recloser.errors import RouterError
from recloser.options import is_loopback
from recloser.redact import redact
from recloser.router import Router
from recloser.telemetry.document import SCHEMA
from recloser.telemetry.stats import Stats
from recloser.telemetry.status import status_of

__all__ = ["LARGEST", "PATIENCE", "PROBE_EVERY", "Read", "Unread", "of_configuration", "of_page", "url_of"]

Read: TypeAlias = Callable[[], Awaitable[dict[str, Any]]]
"""Returns the document as it is now, or raises `Unread`."""

PATIENCE: Final = 5.0
"""Seconds that a status page has to answer, and a server to give a sign of life."""
LARGEST: Final = 16 * 1024 * 1024
"""Bytes that a document may have: thousands of servers have less."""
PROBE_EVERY: Final = 5.0
"""Seconds between two signs of life that a server is asked for: often enough to watch, and it disturbs nobody."""

_PAGE: Final = "/status"
_WHY: Final = {
    "unreachable": "nothing answers there; see whether its program runs, and whether this is its address",
    "timeout": f"there was no answer within {PATIENCE:g} s",
    "connection_lost": "the connection was lost before there was an answer",
    "server_error": "it answers that it cannot tell for the moment",
    "overloaded": "it answers that too many are asking",
    "unauthenticated": "it wants credentials",
    "forbidden": "it does not allow this",
    "invalid_request": f"there is no such page; the usual one is {_PAGE}",
}


class Unread(Exception):  # noqa: N818 - what a person is told, not a failure of this program
    """There is no document; `code` is the exit code that says so."""

    def __init__(self, sentence: str, code: int) -> None:
        super().__init__(sentence)
        self.code = code


def url_of(word: str, *, allow_plaintext: bool) -> str | None:
    """Return the address of a status page that a word of the command line is, or None if it is no address.

    Raises:
        typer.BadParameter: it is an address that may not be asked.
    """
    scheme, separator, _ = word.partition("://")
    if not separator:
        return None
    parts = urlsplit(word)
    if scheme.lower() not in ("http", "https") or not parts.hostname:
        raise typer.BadParameter(f"{redact(word)} is no address of a status page: it begins with http:// or https://")
    if scheme.lower() == "http" and not allow_plaintext and not is_loopback(word):
        raise typer.BadParameter(
            f"{redact(word)} would send everything in plain text beyond this machine; use https, or --allow-plaintext"
        )
    return parts._replace(path=_PAGE).geturl() if parts.path in ("", "/") else word


@asynccontextmanager
async def of_page(url: str) -> AsyncIterator[Read]:
    """Read the status page of a router inside another program, or of a gateway."""
    # A proxy of the environment is for the way out: it does not know this machine by the name that is meant.
    async with httpx2.AsyncClient(trust_env=not is_loopback(url), timeout=PATIENCE) as client:

        async def read() -> dict[str, Any]:
            try:
                async with asyncio.timeout(PATIENCE):
                    body = await _body(client, url)
            except Exception as error:
                payload = classify(error, server=url).payload
                why = _WHY.get(payload.code, f"it failed ({payload.code})")
                raise Unread(f"No status from {redact(url)}: {why}.", exits.exit_code(payload)) from error
            return _document(body, url)

        yield read


async def _body(client: httpx2.AsyncClient, url: str) -> bytes | None:
    """Return what a page says; None if that is too much."""
    body = bytearray()
    async with client.stream("GET", url, headers={"Accept": "application/json"}) as response:
        response.raise_for_status()
        async for part in response.aiter_bytes():
            body += part
            if len(body) > LARGEST:
                return None
    return bytes(body)


def _document(body: bytes | None, url: str) -> dict[str, Any]:
    found: Any = None
    if body is not None:
        with suppress(ValueError, RecursionError):
            found = json.loads(body)
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        raise Unread(f"What answers at {redact(url)} is no status of recloser ({SCHEMA}).", exits.CRITICAL)
    return found


@asynccontextmanager
async def of_configuration(config: Path | None, *, settled: bool) -> AsyncIterator[Read]:
    """Open a router on a configuration and see how its servers are; no tool is called.

    With `settled` every server has come up or failed before the first look, and was asked for a sign of life once.

    Raises:
        ConfigurationError: there is no configuration, or it has mistakes.
    """
    stats = Stats()
    async with opened(config, listeners=[stats], settled=settled) as open_:
        router = open_.router

        async def read() -> dict[str, Any]:
            return status_of(router, stats)

        if settled:
            await _probe_all(router)
            yield read
            return
        probing = asyncio.create_task(_keep_probing(router))
        try:
            yield read
        finally:
            probing.cancel()
            await asyncio.wait({probing})


async def _keep_probing(router: Router) -> None:
    while True:
        await _probe_all(router)
        await asyncio.sleep(PROBE_EVERY)


async def _probe_all(router: Router) -> None:
    """Ask every server that is ready for a sign of life; the others are being connected to anyway."""
    ready = [name for name, health in router.health().items() if health.state == "ready"]
    await asyncio.gather(*(_probe(router, name) for name in ready))


async def _probe(router: Router, server: str) -> None:
    # What comes of it is told by events; a server may also be gone by now.
    with suppress(RouterError, TimeoutError):
        async with asyncio.timeout(PATIENCE):
            await router.probe(server)
