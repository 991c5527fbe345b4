"""From a server's options to an open SDK session, whatever its transport."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol, cast
from weakref import WeakSet

from mcp import StdioServerParameters
from mcp.client import Client, ClientSession
from mcp_types import Implementation
from mcp_types.version import LATEST_MODERN_VERSION

from recloser.call import Call
from recloser.connection.passing import UNTOLD, Dispatcher, Plain, Sending
from recloser.errors import error_for
from recloser.options import Era, Server
from recloser.transport.http import http_transport, sse_transport
from recloser.transport.stdio import StdioTransport
from recloser.version import __version__

if TYPE_CHECKING:
    from mcp.server import MCPServer

__all__ = ["CLEARING", "Opened", "Process", "open_session"]

CLEARING: Final = 1.0
"""Seconds that a session has to end before its process is ended under it: a callback that swallows its cancellation
would hold it up for ever. Less than a connection may take to close beyond the transport's own time."""

CLIENT = Implementation(name="recloser", version=__version__)


class Process(Protocol):
    """What a stdio transport knows of its server."""

    @property
    def pid(self) -> int | None:
        """The process, once started."""
        ...

    @property
    def exit_code(self) -> int | None:
        """How it ended; None while it lives."""
        ...

    @property
    def stderr(self) -> str:
        """The last of what it said on stderr, not redacted."""
        ...


class Opened:
    """An entered SDK session, and how to learn that its peer is gone."""

    def __init__(
        self, session: ClientSession, *endings: asyncio.Event, process: Process | None = None, negotiated: bool = False
    ) -> None:
        self.session = session
        self.process = process
        self.negotiated = negotiated
        """Whether the SDK has agreed on a version by itself, as it does with servers of the same process."""
        self.endings = endings
        """Events, each of which means that the peer is gone."""

    @property
    def gone(self) -> bool:
        """Whether nothing will be answered any more."""
        for ending in self.endings:  # noqa: SIM110 - of every call, and a generator would cost more than all the rest
            if ending.is_set():
                return True
        return False


@asynccontextmanager
async def open_session(
    server: Server,
    era: Era,
    arguments: dict[str, Any],
    *,
    on_session_lost: Callable[[], None],
    on_gap: Callable[[], None],
    on_stderr: Callable[[str], None],
    sending: Callable[[], Call[Any] | None],
) -> AsyncIterator[Opened]:
    """Enter a transport and a session; both are left by the same task, in order.

    `arguments` are the callbacks for the SDK's session; `sending` returns the call that the running task sends over it;
    `on_gap` is called when the server may have told something that did not arrive.
    """
    if server.kind == "in_process" and era != "legacy":
        mode = LATEST_MODERN_VERSION if era == "modern" else era
        target: Any = server.target
        async with Client(target, mode=mode, cache=None, client_info=CLIENT, **arguments) as client:
            session: Any = client.session
            # Where the SDK has moved it, half a character goes through as it came, and that is all.
            with suppress(AttributeError):
                session._dispatcher = Plain(session._dispatcher)  # noqa: SLF001 - the SDK has no public place for it
            yield Opened(client.session, negotiated=era != "modern")
        return
    ended = asyncio.Event()
    process: StdioTransport | None = None
    transport: Any
    if server.kind == "stdio":
        transport = process = _stdio(server, on_stderr)
    elif server.kind == "in_process":
        # In the handshake era that is a session over streams, and a tool's own CancelledError ends it.
        transport = _in_memory(server)
    elif server.kind == "transport":
        transport = _given(server)
    else:
        transport = _http(server, on_session_lost, on_gap)
    asks = server.kind in ("http", "sse")
    async with transport as (read, write):
        dispatcher = Dispatcher(read, Sending(write, sending, untold=UNTOLD[server.propagate], asks=asks))
        dispatcher.ended, dispatcher.server = ended, server
        dispatcher.session = ClientSession(dispatcher=dispatcher, client_info=CLIENT, **arguments)
        async with dispatcher.session as session:
            died = getattr(transport, "died", ended)
            try:
                yield Opened(session, ended, died, process=process)
            finally:
                if process is not None:
                    process.leave(CLEARING)


# Transport objects that were entered, in whatever router: they cannot be entered again. Written by `_given`.
_ENTERED: Final[WeakSet[Any]] = WeakSet()


def _in_memory(server: Server) -> Any:
    # Private, as there is no other: the SDK's own client has it, but does not say when it has ended. Imported here
    # alone, so that an SDK that has moved it costs nobody else anything.
    from mcp.client._memory import InMemoryTransport

    return InMemoryTransport(cast("MCPServer", server.target))


def _given(server: Server) -> Any:
    """Return the user's own transport: a new one of a function that makes them, or the only one."""
    target: Any = server.target
    if not hasattr(target, "__aenter__"):
        return target()
    if target in _ENTERED:
        raise error_for(
            "cannot_start",
            f"server {server.name!r} was given as a transport, which can be opened only once; to connect again, give "
            "it as a function that returns a new one",
            server=server.name,
        )
    with suppress(TypeError):  # what cannot be referred to weakly tells of its second entry itself
        _ENTERED.add(target)
    return target


def _stdio(server: Server, on_stderr: Callable[[str], None]) -> StdioTransport:
    given = server.target
    if isinstance(given, StdioServerParameters):
        command, args, cwd = given.command, given.args, given.cwd
        env: Mapping[str, str] | None = given.env
    else:
        assert server.command is not None
        command, args, env, cwd = server.command, list(server.args), server.env, server.cwd
    return StdioTransport(
        command=command,
        args=list(args),
        env=env,
        cwd=None if cwd is None else str(cwd),
        max_message=server.limits.message,
        stderr_tail=server.limits.stderr_tail,
        shutdown=server.timeouts.shutdown,
        on_stderr=on_stderr,
    )


def _http(server: Server, on_session_lost: Callable[[], None], on_gap: Callable[[], None]) -> Any:
    assert server.url is not None
    # The end of the only stream that the older transport has is the end of the connection.
    make: Any = sse_transport if server.kind == "sse" else partial(http_transport, on_gap=on_gap)
    return make(
        server.url,
        headers=server.headers,
        auth=server.auth,
        verify=server.verify,
        connect_timeout=server.timeouts.connect,
        max_message=server.limits.message,
        on_session_lost=on_session_lost,
        shutdown=server.timeouts.shutdown,
    )
