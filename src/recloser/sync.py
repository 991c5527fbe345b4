"""The router for code without an event loop: the same object, run by a loop in a thread of its own."""

from __future__ import annotations

import atexit
import os
import random
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Thread, current_thread
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, Self, TypeVar
from weakref import finalize

import mcp_types as types
from anyio import CancelScope
from anyio.from_thread import BlockingPortal

from recloser.beside import Steps, begun, cancel
from recloser.call import Call, Progress
from recloser.catalog import Listing
from recloser.connection.asks import Elicitation, LogCallback, Roots, Sampling
from recloser.events import Listener
from recloser.fanout import FanOut, Reply
from recloser.health import ServerHealth
from recloser.options import Server
from recloser.router import Router
from recloser.session import SyncServerSession
from recloser.spans import SpanKindChoice

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

    from recloser.audit import AuditRecord

__all__ = ["SyncRouter"]

P = ParamSpec("P")
T = TypeVar("T")


class SyncRouter:
    """`Router` with the same methods, without `await`; usable from any thread, also beside a running loop.

    Takes what `Router` takes. Callbacks and listeners run in the thread of the router's own loop.
    """

    def __init__(
        self,
        *servers: Server,
        names: Literal["qualified", "bare"] = "qualified",
        raise_on_error: bool = False,
        listeners: Iterable[Listener] = (),
        sampling: Sampling | None = None,
        elicitation: Elicitation | None = None,
        roots: Roots | None = None,
        on_log: LogCallback | None = None,
        snapshot: str | Path | None = None,
        secrets: Iterable[str] = (),
        rng: Callable[[], float] = random.random,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        audit: str | Path | Callable[[AuditRecord], None] | None = None,
        audit_key: bytes | None = None,
        capture_content: bool = False,
        attempt_span_kind: SpanKindChoice = "auto",
    ) -> None:
        self._adopt(
            Router(
                *servers,
                names=names,
                raise_on_error=raise_on_error,
                listeners=listeners,
                sampling=sampling,
                elicitation=elicitation,
                roots=roots,
                on_log=on_log,
                snapshot=snapshot,
                secrets=secrets,
                rng=rng,
                tracer_provider=tracer_provider,
                meter_provider=meter_provider,
                audit=audit,
                audit_key=audit_key,
                capture_content=capture_content,
                attempt_span_kind=attempt_span_kind,
            )
        )

    def _adopt(self, router: Router) -> None:
        self._router = router
        self._portal: BlockingPortal | None = None
        self._thread: Thread | None = None
        self._owner = 0

    @classmethod
    def from_config(cls, source: str | Path | Mapping[str, Any], **overrides: Any) -> Self:
        """Make a router from a configuration file or mapping; see `Router.from_config`."""
        self = cls.__new__(cls)
        self._adopt(Router.from_config(source, **overrides))
        return self

    @classmethod
    def from_dict(cls, source: Mapping[str, Any], **overrides: Any) -> Self:
        """Make a router from a mapping with the keys of a configuration file."""
        return cls.from_config(source, **overrides)

    # --- life

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def open(self) -> None:
        """Start the loop's thread and all servers; see `Router.open`."""
        if self._portal is not None:
            self._check_process()
            raise RuntimeError("the router is open already")
        self._portal, self._thread = begun()
        self._owner = os.getpid()
        # A program that ends without closing would leave its servers' processes behind, or wait for the loop's thread,
        # which the interpreter has stopped by then. Such hooks run last in, first out: that of weakref, which kills
        # processes without a word to their loop, is registered with the first finalizer, and has to come after ours.
        finalize(self, self.close).detach()
        atexit.register(self.close)
        try:
            self._run(self._router.open)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close every connection, then the thread, once; a callback or listener of its own may not close it."""
        if self._thread is current_thread() and os.getpid() == self._owner:
            raise RuntimeError("a router cannot be closed from its own event loop thread, which it would wait for")
        thread, self._thread = self._thread, None
        if thread is None:
            return
        atexit.unregister(self.close)
        if os.getpid() != self._owner:
            # A fork has the record of the thread, but not the thread, and the servers are its parent's. What is left of
            # its loop is in the router all the same: that can never be opened here.
            return
        portal = self._portal
        assert portal is not None  # it goes with the thread
        try:
            self._run(self._router.close)
        finally:
            self._portal = None
            with suppress(RuntimeError):  # the loop has ended by itself
                portal.call(portal.stop)
            thread.join()

    def _run(self, method: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a method on the loop, in the caller's context, so that its span is the parent there too."""
        if (portal := self._portal) is None:
            raise RuntimeError("the router is not open; use `with router:`")
        self._check_process()
        scopes: list[CancelScope] = []
        ended = False

        async def there() -> T:
            nonlocal ended
            with CancelScope() as scope:
                scopes.append(scope)
                try:
                    return await method(*args, **kwargs)
                finally:
                    ended = True
            raise RuntimeError("the call was interrupted")  # for nobody: its caller has gone

        try:
            return portal.start_task_soon(there).result()
        except BaseException:
            # A Ctrl-C in this thread is the caller's cancellation over there. It may come in the middle of handing the
            # call over, when there is no future yet to cancel; what is handed over after the call runs after it.
            if not ended:
                with suppress(RuntimeError):  # the loop has ended, and the call with it
                    portal.start_task_soon(cancel, scopes)
            raise

    def _check_process(self) -> None:
        if os.getpid() != self._owner:
            raise RuntimeError("the router was opened in another process; make a new SyncRouter in each, after forking")

    def _do(self, method: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a method that does not wait on the loop, where everything that it touches lives."""

        async def there() -> T:
            return method(*args, **kwargs)

        return self._run(there)

    def ready(self, server: str) -> None:
        """Wait until a server is ready for calls; see `Router.ready`."""
        return self._run(self._router.ready, server)

    def probe(self, server: str) -> None:
        """Ask a server for a sign of life; see `Router.probe`."""
        return self._run(self._router.probe, server)

    def isolate(self, server: str) -> None:
        """Reject every call to a server; see `Router.isolate`."""
        return self._do(self._router.isolate, server)

    def release(self, server: str) -> None:
        """Let calls to a server through again; see `Router.release`."""
        return self._do(self._router.release, server)

    def close_session(self, session: str) -> None:
        """Close what calls with this `session` have opened; see `Router.close_session`."""
        return self._run(self._router.close_session, session)

    def add_server(self, server: Server) -> None:
        """Add a server; see `Router.add_server`."""
        return self._run(self._router.add_server, server)

    def remove_server(self, server: str) -> None:
        """Remove a server; see `Router.remove_server`."""
        return self._run(self._router.remove_server, server)

    def reload(self, source: str | Path | Mapping[str, Any]) -> None:
        """Take over a changed configuration; see `Router.reload`."""
        return self._run(self._router.reload, source)

    def disable(self, name: str) -> None:
        """Hide a server, a tool or a tag; see `Router.disable`."""
        return self._do(self._router.disable, name)

    def enable(self, name: str) -> None:
        """Undo `disable`."""
        return self._do(self._router.enable, name)

    def session(self, server: str) -> SyncServerSession:
        """Return one server's own face; see `Router.session`."""
        return SyncServerSession(self._router.session(server), self._run)

    # --- what there is

    @property
    def servers(self) -> Mapping[str, Server]:
        """The servers by name, as they were configured."""
        return self._router.servers

    def list_tools(self, *, tags: Iterable[str] | None = None, server: str | None = None) -> list[types.Tool]:
        """Return the tools of all servers, of those that have one of `tags`, or of one server."""
        return self._run(self._router.list_tools, tags=tags, server=server)

    def list_resources(self, *, server: str | None = None) -> list[types.Resource]:
        """Return the resources of all servers, or of one."""
        return self._run(self._router.list_resources, server=server)

    def list_resource_templates(self, *, server: str | None = None) -> list[types.ResourceTemplate]:
        """Return the resource templates of all servers, or of one."""
        return self._run(self._router.list_resource_templates, server=server)

    def list_prompts(self, *, server: str | None = None) -> list[types.Prompt]:
        """Return the prompts of all servers, or of one."""
        return self._run(self._router.list_prompts, server=server)

    def listing(self, server: str) -> Listing:
        """Return what one server offers, under its own names, as it was listed last."""
        return self._do(self._router.listing, server)

    def health(self) -> dict[str, ServerHealth]:
        """Return how every server is, without asking any of them."""
        return self._do(self._router.health)

    # --- calls

    def call_tool(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,
        idempotent: bool | None = None,
        caller: str | None = None,
        meta: Mapping[str, Any] | None = None,
        progress: Progress | None = None,
        server_name: str | None = None,
        session: str | None = None,
        raise_on_error: bool | None = None,
    ) -> types.CallToolResult:
        """Call a tool and return its result, or a result that says what went wrong; see `Router.call_tool`."""
        return self._run(
            self._router.call_tool,
            name,
            arguments,
            timeout=timeout,
            idempotent=idempotent,
            caller=caller,
            meta=meta,
            progress=progress,
            server_name=server_name,
            session=session,
            raise_on_error=raise_on_error,
        )

    def read_resource(
        self,
        uri: str,
        *,
        timeout: float | None = None,
        caller: str | None = None,
        meta: Mapping[str, Any] | None = None,
        server_name: str | None = None,
        session: str | None = None,
    ) -> types.ReadResourceResult:
        """Read a resource; see `Router.read_resource`."""
        return self._run(
            self._router.read_resource,
            uri,
            timeout=timeout,
            caller=caller,
            meta=meta,
            server_name=server_name,
            session=session,
        )

    def get_prompt(
        self,
        name: str,
        arguments: Mapping[str, str] | None = None,
        *,
        timeout: float | None = None,
        caller: str | None = None,
        meta: Mapping[str, Any] | None = None,
        server_name: str | None = None,
        session: str | None = None,
    ) -> types.GetPromptResult:
        """Fetch a prompt; see `Router.get_prompt`."""
        return self._run(
            self._router.get_prompt,
            name,
            arguments,
            timeout=timeout,
            caller=caller,
            meta=meta,
            server_name=server_name,
            session=session,
        )

    def complete(
        self,
        reference: types.PromptReference | types.ResourceTemplateReference,
        argument: Mapping[str, str],
        *,
        context: Mapping[str, str] | None = None,
        timeout: float | None = None,
        caller: str | None = None,
        server_name: str | None = None,
    ) -> types.CompleteResult:
        """Complete an argument of a prompt or resource template; see `Router.complete`."""
        return self._run(
            self._router.complete,
            reference,
            argument,
            context=context,
            timeout=timeout,
            caller=caller,
            server_name=server_name,
        )

    def fan_out(
        self, calls: Sequence[Call[types.CallToolResult]], *, quorum: int | None = None, timeout: float | None = None
    ) -> FanOut:
        """Make many tool calls at once and return one verdict; see `Router.fan_out`."""
        return self._run(self._router.fan_out, calls, quorum=quorum, timeout=timeout)

    def stream(self, calls: Sequence[Call[types.CallToolResult]], *, timeout: float | None = None) -> Iterator[Reply]:
        """Make many tool calls at once and yield each reply as it comes; leaving the loop cancels the rest."""
        steps = Steps(self._router.stream(calls, timeout=timeout))
        try:
            while (reply := self._run(steps.next)) is not None:
                yield reply
        finally:
            # A loop that has ended took what it ran along, and one in whose thread this is collected closes it itself.
            if self._portal is not None and self._thread is not current_thread():
                with suppress(RuntimeError):  # it has ended in the meantime, or is another process's
                    self._run(steps.close)
