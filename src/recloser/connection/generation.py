"""One life of a connection: opened, warmed, watched and closed by one task."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

from mcp_types.version import LATEST_MODERN_VERSION, MODERN_PROTOCOL_VERSIONS

from recloser.call import CURRENT, Call
from recloser.catalog import Listing
from recloser.classify import classify
from recloser.connection.asks import Asks, Callbacks
from recloser.connection.doubt import Doubt
from recloser.connection.exchange import exchange
from recloser.connection.fresh import FreshLists
from recloser.connection.negotiation import Silent, negotiate
from recloser.connection.opening import Opened, open_session
from recloser.connection.own import OwnRequests
from recloser.errors import RouterError, error_for
from recloser.observer import Observer
from recloser.options import Era, Server

__all__ = ["ADMIT", "Generation"]

ADMIT: Final = 2.0
"""Seconds that calls wait for the lists of a session that has been agreed on: most servers send them in a few
milliseconds. What a server can do must not hang on what it lists."""

LAST_WORDS: Final = 1.0
"""Seconds that cut-off calls have to end after their session was closed; nothing of the SDK blocks them any more."""


class Generation:
    """One SDK session and the task that owns it.

    Written by its owner task, by `retire`, which any task of the loop may call, and by the alarm for a slow start.
    """

    def __init__(
        self,
        number: int,
        server: Server,
        era: Era,
        callbacks: Callbacks,
        *,
        on_listing: Callable[[Listing], None],
        on_stderr: Callable[[str], None],
        observer: Observer,
        on_admitted: Callable[[Generation], None] = lambda _: None,
        opening: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self.number = number
        self.era: Era = era
        self.error: RouterError | None = None
        """Why it could not be opened, or ended."""
        self.lost = False
        """Whether the server has forgotten the session."""
        # Results, not exceptions: an exception that many waiters raise would collect all their tracebacks.
        self.ready: asyncio.Future[RouterError | None] = asyncio.get_running_loop().create_future()
        """Resolved to None when the session may be used, or to why it never can."""
        self.over = asyncio.Event()
        """Set when no new call should use this generation."""
        self.pid: int | None = None
        self.protocol_version: str | None = None
        self._server = server
        self._on_stderr = on_stderr
        self._on_admitted = on_admitted
        self._own_requests = OwnRequests(observer, server)
        # Goes around what is asked of the server until it may be used.
        self._opening = opening
        self.unlisted: RouterError | None = None
        """Why it takes calls although its lists have not come, until they do."""
        self._on_listing = on_listing
        self._lists = FreshLists(server, self._heard, self._own_requests)
        self._asks = Asks(server.name, callbacks, server.timeouts.callback, self._calls_in_flight, self._lists.changed)
        self._opened: Opened | None = None
        self._owner: asyncio.Task[None] | None = None
        self._abortable = True
        self._aborted = False
        self._retired = asyncio.Event()
        self._silent = False
        # Added and removed by `send`; an abandoned attempt stays until its task has ended.
        self._calls: dict[asyncio.Task[Any], Call[Any]] = {}
        self._cut: set[asyncio.Task[Any]] = set()
        self._mourned = False
        self._doubt = Doubt(self.probe, self._session_lost, patience=server.timeouts.attempt)
        self._helpers: list[asyncio.Task[Any]] = []

    # --- what others see

    @property
    def usable(self) -> bool:
        """Whether calls may be sent now."""
        return self._opened is not None and not self.over.is_set() and not self._opened.gone

    def start(self) -> asyncio.Task[None]:
        """Begin to open the session, in a task that owns it to its end."""
        self._owner = asyncio.get_running_loop().create_task(
            self._own(), name=f"recloser:{self._server.name}:{self.number}"
        )
        return self._owner

    def retire(self, *, silent: bool = False) -> None:
        """Let no new call in and close; calls in flight are cut off, which tells of the server only if it is silent."""
        self._silent = silent
        self.over.set()
        self._retired.set()
        self._abort("was closed before it was ready")

    def _too_slow(self) -> None:
        limit = self._server.timeouts.start
        self._own_requests.overdue = True
        self._abort(f"was not ready within {limit:g} s; try again later, or give it more time in timeouts.start")

    def _abort(self, why: str) -> None:
        """Give up opening: the owner is cancelled, once, and never while it closes, which could orphan a server."""
        if self._owner is not None and self._abortable:
            self._abortable = False
            self._aborted = True
            self._fail(why)
            self._owner.cancel()

    # --- calls

    async def send(self, call: Call[Any]) -> Any:
        """Send one attempt and return its typed result.

        Runs in the attempt's own task, which this generation owns once the attempt has given it up.

        Raises:
            RouterError: whatever went wrong, classified.
        """
        opened = self._in_use()
        task = asyncio.current_task()
        assert task is not None
        self._calls[task] = call
        CURRENT.set(call)
        # Over a stream, its writing end notes whether the request went out; within one process, being called is it.
        call.trail.sent = not opened.endings
        progress = self._asks.progress(call, more=self._server.timeouts.attempt)
        try:
            result = await exchange(opened.session, call, self._lists, progress=progress)
            if call.method == "tools/call":
                self._lists.schemas.check(call.name, result)
        except asyncio.CancelledError as error:
            if task not in self._cut or task.cancelling() > 1:
                raise  # somebody else's, or somebody else's too
            lost = error_for(
                "connection_lost",
                f"the connection to server {self._server.name!r} was closed during the call",
                evidence=self._silent,
                server=self._server.name,
                delivered="maybe" if call.trail.sent else "no",
            )
            raise self._told_once(lost) from error
        except Exception as error:
            gone = opened.gone
            failed = self._failure(error, tool=call.name, sent=call.trail.sent, alive=not gone)
            if failed.payload.code == "connection_lost":
                self._doubt.arise()
            if call.trail.begun and failed.payload.delivered == "no":
                failed.annotate(delivered="maybe")
            raise (self._told_once(failed) if gone else failed) from error
        finally:
            del self._calls[task]
            self._cut.discard(task)
        return result

    def _failure(self, error: Exception, *, sent: bool, alive: bool, tool: str | None = None) -> RouterError:
        return classify(error, server=self._server.name, tool=tool, sent=sent, alive=alive, words=self._has_only_words)

    @property
    def _has_only_words(self) -> bool:
        """Whether a lost session is told in words alone: perhaps by the SDK's own HTTP client, in the handshake era."""
        return self._server.kind == "transport" and self.protocol_version not in MODERN_PROTOCOL_VERSIONS

    def _told_once(self, error: RouterError) -> RouterError:
        """Return the error, as evidence only the first time: a session ends once, however many calls that hits."""
        if error.payload.code == "connection_lost":
            error.evidence = error.evidence and not self._mourned
            self._mourned = True
        return error

    def _in_use(self) -> Opened:
        opened = self._opened
        if opened is None or not self.usable:
            # It has ended between the moment it was chosen and this one.
            raise error_for(
                "connection_lost",
                f"the connection to server {self._server.name!r} has just ended; try again",
                server=self._server.name,
                delivered="no",
            )
        return opened

    async def probe(self) -> None:
        """Ask the server for a sign of life at protocol level: no tool runs.

        Raises:
            RouterError: there was none.
        """
        session = self._in_use().session
        try:
            if session.protocol_version in MODERN_PROTOCOL_VERSIONS:
                with self._own_requests("server/discover"):
                    await session.send_discover(LATEST_MODERN_VERSION)
            else:
                with self._own_requests("ping"):
                    await session.send_ping()
        except Exception as error:
            raise self._failure(error, sent=False, alive=self.usable) from error

    def _sending(self) -> Call[Any] | None:
        """Return the call whose request the running task sends over this session; None for any other request."""
        task = asyncio.current_task()
        return None if task is None else self._calls.get(task)

    def _calls_in_flight(self) -> Iterable[Call[Any]]:
        return self._calls.values()

    # --- the owner

    async def _own(self) -> None:
        alarm = asyncio.get_running_loop().call_later(self._server.timeouts.start, self._too_slow)
        try:
            async with open_session(
                self._server,
                self.era,
                self._asks.session_arguments(),
                on_session_lost=self._session_lost,
                on_gap=self._lists.changed,
                on_stderr=self._on_stderr,
                sending=self._sending,
            ) as opened:
                try:
                    if await self._warmed(opened, alarm):
                        self._publish(opened)
                        await self._serve(opened)
                finally:
                    self._cut_off(opened)
        except asyncio.CancelledError:
            if not self._aborted:
                raise  # somebody else's: the loop itself ends
        except Exception as error:  # noqa: BLE001 - boundary: whatever ended the session becomes one of our errors
            self.error = self.error or self._classified(error)
        finally:
            alarm.cancel()
            self._abortable = False
            self.over.set()
            self._opened = None
            self._settle()
            left = {*self._calls, *self._helpers}
            if left:
                await asyncio.wait(left, timeout=LAST_WORDS)

    async def _warmed(self, opened: Opened, alarm: asyncio.TimerHandle) -> bool:
        """Make the session usable; return whether it is. An error stays in here: outside, task groups would wrap it."""
        patience = self._server.timeouts.start
        try:
            with self._opening():
                if not opened.negotiated:
                    pipe = self._server.kind == "stdio"
                    await negotiate(opened.session, self.era, pipe=pipe, patience=patience, ask=self._own_requests)
                self._own_requests.version = opened.session.protocol_version
                await self._listed(opened, alarm)
        except Silent:
            self.era = "legacy"
            self._fail("is of the handshake era and is started again")
        except TimeoutError:
            self._fail("does not answer; try again later")
        except Exception as error:  # noqa: BLE001 - boundary: as in the owner
            self.error = self.error or self._classified(error)
            self._settle()
        finally:
            alarm.cancel()
            self._abortable = False
        return self.error is None

    async def _listed(self, opened: Opened, alarm: asyncio.TimerHandle) -> None:
        """Fetch the lists; where they are long in coming, let calls in meanwhile.

        From then on the session is not given up for its lists, or the calls in flight would be cut off: when the start
        has had its time, it goes on without them, and they are asked for again.
        """
        limit = asyncio.timeout(None)

        def admit() -> None:
            alarm.cancel()
            limit.reschedule(alarm.when())
            self._use(opened)
            self._on_admitted(self)

        admission = asyncio.get_running_loop().call_later(ADMIT, admit)
        try:
            async with limit:
                await self._lists.fetch(opened.session)
        except TimeoutError:
            if not limit.expired():
                raise
            self.unlisted = self._error(f"has not told within {self._server.timeouts.start:g} s what it offers")
            self._lists.changed()
        finally:
            admission.cancel()

    def _heard(self, listing: Listing) -> None:
        self.unlisted = None
        self._on_listing(listing)

    def _use(self, opened: Opened) -> None:
        self._opened = opened
        self.pid = None if opened.process is None else opened.process.pid
        self.protocol_version = opened.session.protocol_version

    def _publish(self, opened: Opened) -> None:
        self._use(opened)
        self._settle()

    def _settle(self) -> None:
        """Tell whoever waits that the session is usable, or that it never will be."""
        if not self.ready.done():
            self.ready.set_result(self.error or (None if self._opened is not None else self._error("is closed")))

    def _fail(self, what: str) -> None:
        self.error = self._error(what)
        self._settle()

    def _error(self, what: str, code: str = "unreachable") -> RouterError:
        return error_for(code, f"server {self._server.name!r} {what}", server=self._server.name)

    def _classified(self, error: Exception) -> RouterError:
        failed = self._failure(error, sent=False, alive=False)
        if not self.ready.done():
            # A server that goes away while it is being reached was not reached, and no call was ever sent over this.
            if failed.payload.code in ("connection_lost", "timeout"):
                failed = self._error("cannot be reached; try again later").annotate(cause=failed.payload.cause)
            elif failed.payload.code == "invalid_request":  # the handshake or a list: no caller's arguments
                what = "refuses what every client asks at the start; tell its operator"
                failed = self._error(what, "protocol_violation").annotate(cause=failed.payload.cause)
            failed.annotate(delivered="no")
        if failed is not error:
            failed.__cause__ = error
        return failed

    async def _serve(self, opened: Opened) -> None:
        """Keep the session until its peer is gone, its calls have ended after it was lost, or it is retired."""
        create = asyncio.get_running_loop().create_task
        self._helpers = [create(self._lists.keep(opened.session))]
        if opened.session.protocol_version in MODERN_PROTOCOL_VERSIONS:
            self._helpers.append(create(self._lists.listen(opened.session)))
        if self._has_only_words:
            self._helpers.append(create(self._doubt.settle()))
        watching: list[asyncio.Task[Any]] = [create(event.wait()) for event in (*opened.endings, self._retired)]
        watching.append(create(self._drained()))
        try:
            await asyncio.wait(watching, return_when=asyncio.FIRST_COMPLETED)
            if opened.gone and not self._retired.is_set():
                self.error = self._gone(opened)
        finally:
            self.over.set()
            # The helpers are waited for at the end: until the session is closed, a write may hold them up.
            for task in (*watching, *self._helpers):
                task.cancel()

    def _cut_off(self, opened: Opened) -> None:
        """Tell the calls in flight to end; those of a dead peer have been answered by the dispatcher already."""
        self.over.set()
        if not opened.gone:
            for call in self._calls:
                self._cut.add(call)
                call.cancel()

    async def _drained(self) -> None:
        """Wait until no new call may come and the old ones have ended: a lost session may still answer those."""
        await self.over.wait()
        while self._calls:
            await asyncio.wait(tuple(self._calls))

    def _gone(self, opened: Opened) -> RouterError:
        code = None if opened.process is None else opened.process.exit_code
        how = "has ended the connection" if code is None else f"has ended with exit code {code}"
        return error_for("connection_lost", f"server {self._server.name!r} {how}", server=self._server.name)

    def _session_lost(self) -> None:
        self.lost = True
        self.over.set()
