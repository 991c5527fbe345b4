"""A read-only status page of a router inside a program, for `recloser top`: JSON over HTTP, on this machine only.

    stats = Stats()
    async with Router(..., listeners=[stats]) as router, serve_status(router, stats) as url:
        print(f"recloser top {url}")

It answers GET and HEAD of one path, one request a connection, and nothing that a client does or leaves undone holds up
the router: heads are small and must come in time, answers must be taken in time, connections are few.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, Protocol

from recloser.health import ServerHealth
from recloser.options import Server, is_loopback
from recloser.telemetry.stats import Stats

__all__ = ["CLIENTS", "FRESH", "HEAD", "PATIENCE", "Watchable", "serve_status", "status_of"]

PATIENCE: Final = 5.0
"""Seconds that a client has to send its request, and again to take the answer; on one machine both are instant."""
CLIENTS: Final = 32
"""Connections at once; more are answered 503. A person has a handful of terminals."""
HEAD: Final = 16 * 1024
"""Bytes of a request's head that are read: four times what a browser sends with all of its cookies."""
FRESH: Final = 0.25
"""Seconds that one snapshot is good for, so that many clients cost no more than one."""

_log = logging.getLogger("recloser")


class Watchable(Protocol):
    """What a status can be made of: a `Router`."""

    @property
    def servers(self) -> Mapping[str, Server]:
        """The servers by name, as they were configured."""
        ...

    def health(self) -> dict[str, ServerHealth]:
        """Return how every server is."""
        ...


def status_of(router: Watchable, stats: Stats) -> dict[str, Any]:
    """Return the document that the page shows; its fields are explained in `recloser.telemetry.document`.

    Raises:
        RuntimeError: the router is not open.
    """
    return stats.snapshot(router.health(), router.servers)


@asynccontextmanager
async def serve_status(
    router: Watchable, stats: Stats, *, host: str = "127.0.0.1", port: int = 0, path: str = "/status"
) -> AsyncIterator[str]:
    """Serve the status of a router while the body runs; yields the URL.

    Args:
        router: the router, to be open while it is asked.
        stats: one of its listeners.
        host: an address of this machine's loopback, or `localhost`.
        port: where to listen; 0 takes a free one.
        path: the one path that is answered.

    Raises:
        ValueError: the host is not loopback, or the path does not begin with a slash.
        OSError: the port is taken, or the address is not there.
    """
    address = "127.0.0.1" if host == "localhost" else host
    authority = f"[{address}]" if ":" in address else address
    if not is_loopback(f"http://{authority}"):
        raise ValueError(f"a status is served on loopback only, such as 127.0.0.1; got {host!r}")
    if not path.startswith("/") or not path.isascii() or any(sign in path for sign in " ?#\t\r\n"):
        raise ValueError(f"path must begin with '/' and hold no blank, '?' or '#', got {path!r}")
    page = _Page(lambda: status_of(router, stats), path)
    server = await asyncio.start_server(page.connected, address, port, limit=HEAD)
    try:
        yield f"http://{authority}:{server.sockets[0].getsockname()[1]}{path}"
    finally:
        server.close()
        await page.close()
        await server.wait_closed()


@dataclass(frozen=True, kw_only=True)
class _Answer:
    """What a client is told."""

    status: HTTPStatus
    body: bytes
    head_only: bool = False

    def encoded(self) -> bytes:
        """Return it as it goes over the wire."""
        lines = [
            f"HTTP/1.1 {self.status.value} {self.status.phrase}",
            "Content-Type: application/json",
            f"Content-Length: {len(self.body)}",
            "Cache-Control: no-store",
            "X-Content-Type-Options: nosniff",  # no web page may take it for a script of its own
            "Connection: close",
        ]
        if self.status is HTTPStatus.METHOD_NOT_ALLOWED:
            lines.append("Allow: GET, HEAD")
        head = "\r\n".join([*lines, "", ""]).encode("ascii")
        return head if self.head_only else head + self.body


class _Refused(Exception):  # noqa: N818 - a verdict that never leaves this module
    """A request is answered with an error."""

    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(why)
        self.answer = _Answer(status=status, body=json.dumps({"error": why}).encode() + b"\n")


_BUSY: Final = _Refused(HTTPStatus.SERVICE_UNAVAILABLE, f"{CLIENTS} clients are being answered; try again").answer


class _Page:
    """Answers connections. The tasks that do so are written by `connected` and by their ends, `_closed` by `close`."""

    def __init__(self, status: Callable[[], dict[str, Any]], path: str) -> None:
        self._status = status
        self._path = path
        self._made: tuple[float, bytes] | None = None
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._closed = False

    def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take a connection."""
        if self._closed:
            writer.transport.abort()
            return
        # In a task of our own: the one that asyncio would make is reported as failed when it is cancelled.
        serving = self._serve(reader, writer, busy=len(self._open) >= CLIENTS)
        task = asyncio.get_running_loop().create_task(serving, name="recloser:status")
        self._open[task] = writer
        task.add_done_callback(self._open.pop)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, busy: bool) -> None:
        """Answer one request and end the connection, whatever the client does."""
        try:
            answer = _BUSY if busy else await self._answer(reader)
            async with asyncio.timeout(PATIENCE):
                await _tell(writer, answer)
                # What it still sends would turn our closing into a reset, and that undo the answer.
                while not busy and await reader.read(HEAD):
                    pass
        except (OSError, TimeoutError, EOFError):
            pass  # it has left, or takes its time: nobody is there to be told
        finally:
            # All that was written is with the system by now, or is not wanted.
            writer.transport.abort()
            with suppress(OSError):
                await writer.wait_closed()

    async def close(self) -> None:
        """Give up what is open, and what may still come in."""
        self._closed = True
        given_up = dict(self._open)
        for task, writer in given_up.items():
            task.cancel()
            writer.transport.abort()  # a task that has not begun yet would never do it
        await asyncio.gather(*given_up, return_exceptions=True)

    async def _answer(self, reader: asyncio.StreamReader) -> _Answer:
        """Read a request and return the answer to it.

        Raises:
            EOFError, OSError: there is no request.
        """
        try:
            method = self._understood(await _head_of(reader))
            return _Answer(status=HTTPStatus.OK, body=self._body(), head_only=method == "HEAD")
        except _Refused as refused:
            return refused.answer

    def _understood(self, head: str) -> str:
        """Return the method of a request for our page.

        Raises:
            _Refused: it is for something else, or no HTTP.
        """
        line, *fields = head.split("\r\n")
        asked = _REQUEST.fullmatch(line)
        named = [_FIELD.fullmatch(field) for field in fields]
        hosts = [found["value"].strip() for found in named if found is not None and found["name"].lower() == "host"]
        if asked is None or None in named or len(hosts) != 1:
            raise _Refused(HTTPStatus.BAD_REQUEST, "this is no HTTP/1.1 request")
        # A web page whose name leads to this machine would else read what is here through its visitor's browser.
        if not is_loopback(f"http://{hosts[0]}"):
            raise _Refused(HTTPStatus.MISDIRECTED_REQUEST, "ask by the address that the status is served at")
        if asked["target"].partition("?")[0] != self._path:
            raise _Refused(HTTPStatus.NOT_FOUND, f"there is nothing but {self._path} here")
        if asked["method"] not in ("GET", "HEAD"):
            raise _Refused(HTTPStatus.METHOD_NOT_ALLOWED, "the status can only be read")
        return asked["method"]

    def _body(self) -> bytes:
        """Return the document, at most `FRESH` old.

        Raises:
            _Refused: there is none.
        """
        now = asyncio.get_running_loop().time()
        if self._made is not None and now - self._made[0] < FRESH:
            return self._made[1]
        try:
            body = json.dumps(self._status()).encode() + b"\n"
        except RuntimeError as error:
            raise _Refused(HTTPStatus.SERVICE_UNAVAILABLE, "the router is not open") from error
        except Exception as error:
            _log.exception("the status could not be made")
            raise _Refused(HTTPStatus.INTERNAL_SERVER_ERROR, "the status could not be made") from error
        self._made = now, body
        return body


_WORD: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_REQUEST: Final = re.compile(rf"(?P<method>{_WORD}) (?P<target>[!-~]+) HTTP/1\.[01]")
_FIELD: Final = re.compile(rf"(?P<name>{_WORD}):(?P<value>[^\x00-\x08\x0a-\x1f\x7f]*)")


async def _head_of(reader: asyncio.StreamReader) -> str:
    """Return a request's head without its last, empty line.

    Raises:
        _Refused: it is too large, or does not come.
        EOFError: the client has left.
    """
    try:
        async with asyncio.timeout(PATIENCE):
            head = await reader.readuntil(b"\r\n\r\n")
    except TimeoutError as error:
        raise _Refused(HTTPStatus.REQUEST_TIMEOUT, f"no request came within {PATIENCE:g} s") from error
    except asyncio.LimitOverrunError as error:
        raise _Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"a head has at most {HEAD} bytes") from error
    return head[:-4].decode("latin-1")


async def _tell(writer: asyncio.StreamWriter, answer: _Answer) -> None:
    writer.transport.set_write_buffer_limits(0)  # so that drain waits until the system has taken everything
    writer.write(answer.encoded())
    await writer.drain()
    writer.write_eof()
