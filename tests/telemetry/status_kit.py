"""What the tests of the status page share: a router that is watched, the page of it, and a client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from recloser import Server
from recloser.health import ServerHealth
from recloser.telemetry.stats import Stats
from recloser.telemetry.status import serve_status
from recloser.testing.leaks import no_leaks
from support.status import health


class Watched:
    """Stands in for a router; says how often it was asked, and can fail."""

    def __init__(self, count: int = 1) -> None:
        self.names = [f"search{number}" for number in range(count)]
        self.asked = 0
        self.failure: Exception | None = None

    @property
    def servers(self) -> Mapping[str, Server]:
        return {name: Server(name, "https://search.example/mcp") for name in self.names}

    def health(self) -> dict[str, ServerHealth]:
        self.asked += 1
        if self.failure is not None:
            raise self.failure
        return {name: health(name) for name in self.names}


class Client:
    """One connection to a page, and what comes back over it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, text: str) -> None:
        self.writer.write(text.encode("latin-1"))

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """The status, the fields of the head, and the body, up to the end of the connection."""
        head, _, body = (await self.reader.read()).partition(b"\r\n\r\n")
        line, *fields = head.decode().split("\r\n")
        return int(line.split()[1]), dict(field.lower().split(": ", 1) for field in fields), body


@asynccontextmanager
async def client(url: str) -> AsyncIterator[Client]:
    host, _, port = url.removeprefix("http://").partition("/")[0].rpartition(":")
    reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    try:
        yield Client(reader, writer)
    finally:
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)


async def ask(url: str, text: str) -> tuple[int, dict[str, str], bytes]:
    """Send one request and return its answer."""
    async with client(url) as one:
        one.send(text)
        return await one.answer()


def get(path: str = "/status", host: str = "127.0.0.1", method: str = "GET") -> str:
    return f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\n\r\n"


def served(main: Any, *, router: Any = None, **options: Any) -> Any:
    """Run `main(url)` while a page is served; nothing is left of it afterwards."""

    async def run() -> Any:
        async with no_leaks(), serve_status(router or Watched(), Stats(), **options) as url:
            return await main(url)

    return asyncio.run(run())
