"""A faulty HTTP server in the running event loop."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from recloser.testing.faulty.control import check_count
from recloser.testing.faulty.page import control_page, counters
from recloser.testing.faulty.plan import Order, Plan
from recloser.testing.faulty.protocol import Core, Era
from recloser.testing.faulty.web import Answers, HttpServer, Seen
from recloser.testing.faulty.web_faults import act
from recloser.testing.faulty.work import Ledger, Work, labels

__all__ = ["FaultyHttp"]


class FaultyHttp:
    """A server on a free loopback port: `async with FaultyHttp() as server: ...server.url...`.

    Its port stays the same when it is stopped and started. A fault that would end a process closes the port and drops
    all connections; `start` brings the server back.
    """

    def __init__(
        self,
        *,
        era: Era = "dual",
        answers: Answers = "json",
        extra: int = 0,
        page: int = 5,
        host: str = "127.0.0.1",
        port: int = 0,
        count_file: str | None = None,
    ) -> None:
        """Prepare a server.

        Args:
            era: The protocol that it speaks: `legacy` (handshake), `modern` (stateless) or `dual`.
            answers: `json`, with event streams where a call sends more than its answer, or `sse` for every answer.
            extra: How many tools `extra_1` … it has beside its fixed ones.
            page: How many items one page of a listing holds.
            host: The address to listen on.
            port: The port; 0 means any free one.
            count_file: A file to which each execution is appended.

        Raises:
            ValueError: `extra` or `page` is no such number.
        """
        check_count("extra", extra)
        check_count("page", page)
        self._facts = (era, answers, extra, page, host, port, count_file)
        self._server: HttpServer | None = None

    def _made(self) -> HttpServer:
        if self._server is None:
            era, answers, extra, page, host, port, count_file = self._facts
            clock = asyncio.get_running_loop().time
            work = Work(Ledger(clock, count_file))
            work.extra = extra
            core = Core(work, era=era, page=page)
            self._server = HttpServer(core, Plan(clock), act, answers=answers, host=host, port=port)
            self._server.control = lambda exchange: control_page(self.server, exchange)
        return self._server

    @property
    def server(self) -> HttpServer:
        """The server itself; exists once it was started."""
        if self._server is None:
            raise RuntimeError("the server has not been started: use `async with` or `start()`")
        return self._server

    async def __aenter__(self) -> Self:
        """Start the server."""
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the server."""
        await self.stop()
        self.server.core.work.ledger.close()

    async def start(self) -> None:
        """Open the port; the first time, or after `stop` or a fault that ended the server."""
        await self._made().start()

    async def stop(self) -> None:
        """Close the port, drop all connections, forget all sessions, and wait until nothing runs any more."""
        await self.server.stop()

    @property
    def started(self) -> bool:
        """Whether the server was ever started."""
        return self._server is not None

    @property
    def listening(self) -> bool:
        """Whether the port is open."""
        return self.server.listening

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return f"http://{self.server.host}:{self.server.port}"

    @property
    def url(self) -> str:
        """The MCP endpoint."""
        return f"{self.origin}/mcp"

    def fault(
        self,
        name: str,
        *,
        after: int = 0,
        times: int | None = None,
        seconds: float | None = None,
        on: str | None = None,
        tool: str | None = None,
        keep: bool = False,
        **arguments: object,
    ) -> None:
        """Misbehave from now on, in place of every earlier order.

        Args:
            name: The fault's name in `FAULTS`.
            after: How many messages that it would strike are served well before.
            times: How often it strikes; None means for ever.
            seconds: How long after its first strike it is over; None means never.
            on: The one method that it strikes instead of its own; also `GET`, `DELETE`, `notifications/*`, `*`.
            tool: The one tool whose calls it strikes.
            keep: Leave earlier orders in force; of several that match, the oldest strikes.
            **arguments: The fault's own, such as `retry_after=2` or `executes=True`.

        Raises:
            ValueError: there is no such fault or argument, or the fault is not possible over HTTP, or in
                the server's era.
        """
        order = Order.of(name, after=after, times=times, seconds=seconds, on=on, tool=tool, arguments=arguments)
        order.check("http", self.server.core.era)
        self.server.plan.add(order, keep=keep)

    def heal(self) -> None:
        """Behave from now on; what hangs already goes on hanging."""
        self.server.plan.heal()

    @property
    def fired(self) -> int:
        """How many messages were struck so far, by whichever order."""
        return len(self.server.plan.tally.read())

    def executions(self, tool: str | None = None) -> int:
        """Return how often a tool (None: any) has run.

        Raises:
            ValueError: the server never had this tool.
        """
        return len(self.executed(tool))

    def executed(self, tool: str | None = None) -> list[str]:
        """Return the label of each execution of a tool (None: any): its `text` argument, or else the request's id.

        Raises:
            ValueError: the server never had this tool.
        """
        return labels(self.server.core.work.ledger.entries(), tool, extra=self.extra)

    @property
    def seen(self) -> deque[Seen]:
        """The latest messages that came in, struck or not."""
        return self.server.seen

    def requests(self, method: str) -> int:
        """Return how many messages of a method (or `GET`, `DELETE`, `response`) came in, struck or not."""
        return self.server.requests[method]

    @property
    def cancelled(self) -> int:
        """How many running calls the client has cancelled."""
        return self.server.cancelled

    @property
    def sessions(self) -> int:
        """How many sessions of the handshake era are open."""
        return len(self.server.sessions)

    @property
    def connections(self) -> int:
        """How many TCP connections are open."""
        return len(self.server.connections)

    def counters(self) -> dict[str, Any]:
        """Return all counters, as `GET /control` does."""
        return counters(self.server)

    def forget_sessions(self) -> None:
        """Forget all sessions, as a restart would."""
        self.server.forget_sessions()

    def drop_connections(self, *, reset: bool = True) -> None:
        """End all connections, by a reset or by an orderly end."""
        self.server.drop_connections(reset=reset)

    def announce(self, method: str, params: Mapping[str, Any] | None = None) -> None:
        """Send a notification to everybody who listens."""
        self.server.core.announce(method, dict(params or {}))

    @property
    def extra(self) -> int:
        """How many further tools there are; may be set, and announced by `notifications/tools/list_changed`."""
        return self.server.core.work.extra

    @extra.setter
    def extra(self, count: int) -> None:
        check_count("extra", count)
        self.server.core.work.extra = count
