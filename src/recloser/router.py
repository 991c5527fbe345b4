"""The public object: one router in front of many MCP servers."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

import mcp_types as types

from recloser.arguments import check, checked_timeout
from recloser.audit import AuditLog, AuditRecord
from recloser.call import Call, Progress, Trail, mapping_of, new_call_id
from recloser.calling import make, usual
from recloser.checks import flag
from recloser.connection import Callbacks
from recloser.connection.asks import Elicitation, LogCallback, Roots, Sampling
from recloser.errors import RouterError, as_result
from recloser.events import FanOutFinished, Listener
from recloser.fanout import FanOut, Reply, fan_out, stream
from recloser.operating import Operated
from recloser.options import Server
from recloser.session import ServerSession
from recloser.spans import SpanKindChoice

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

__all__ = ["Router"]

R = TypeVar("R")


class Router(Operated):
    """Routes calls to many MCP servers and keeps working when some of them do not.

    Use it as an async context manager. All methods belong to the event loop that entered it; calls may come from any
    task of that loop. A router that is not open raises `RuntimeError` from all of them, one that was opened in another
    loop from those that are awaited.

    Args:
        servers: the servers, each with a name of its own.
        names: whether tools are shown as `server__tool`, or under their own names where that is unambiguous.
        raise_on_error: whether a failed call raises `RouterError` instead of returning a result that tells it.
        listeners: hear every event; called on the loop, so they must be quick.
        sampling, elicitation, roots: answer what servers ask of our side; what is None is not offered to them.
        on_log: hears what servers log.
        snapshot: a file that keeps the last known listings from run to run.
        secrets: values that must not appear in anything that leaves, besides those that the servers are given under the
            names of secrets.
        rng: source of randomness for jitter, 0 <= x < 1.
        tracer_provider, meter_provider: where spans and metrics go; None means OpenTelemetry's global ones, looked up
            when the router is opened. Without an SDK behind them nothing is recorded.
        audit: a file that gets one line per call, or what is handed a record of each.
        audit_key: of the audit's hashes, 16 bytes or more, so that those of several processes can be compared; None
            means a random one.
        capture_content: whether arguments and results stand in spans, redacted; they may hold anything.
        attempt_span_kind: of attempts' spans; `auto` is `client`, but `internal` where the SDK records its own.
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
        super().__init__(
            servers,
            names=names,
            listeners=listeners,
            callbacks=Callbacks(sampling=sampling, elicitation=elicitation, roots=roots, on_log=on_log),
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
        flag("raise_on_error", raise_on_error)
        self._raise_on_error = raise_on_error
        # What the streams that callers hold are made of: if both were collected at once, the loop would close both, one
        # in the middle of the other's closing. Added and removed by `stream`.
        self._streams: set[AsyncGenerator[Reply, None]] = set()

    @classmethod
    def from_config(cls, source: str | Path | Mapping[str, Any], **overrides: Any) -> Self:
        """Make a router from a configuration file or mapping; `overrides` are arguments of `Router` itself.

        `secrets` are those of both. Of `telemetry`, the router itself heeds what concerns its calls (the audit, spans'
        kinds and content); `recloser.telemetry.configure` sets up the rest for the process.

        Raises:
            ConfigurationError: with every mistake in it, each with its place.
        """
        from recloser.config import load

        settings = load(source)
        told = settings.telemetry
        known: dict[str, Any] = {
            "names": settings.names,
            "snapshot": settings.cache,
            "capture_content": told.capture_content,
            "attempt_span_kind": told.attempt_span_kind,
            "audit_key": told.hash_key,
        } | overrides
        log = None
        if told.audit is not None and "audit" not in overrides:
            known["audit"] = log = AuditLog(told.audit, max_bytes=told.audit_max_bytes, backups=told.audit_backups)
        secrets = [secret.get_secret_value() for secret in settings.secrets]
        known["secrets"] = [*secrets, *overrides.get("secrets", ())]
        router = cls(*settings.servers, **known)
        if log is not None:
            router._audit_log = log  # made for it, so it ends it
        return router

    @classmethod
    def from_dict(cls, source: Mapping[str, Any], **overrides: Any) -> Self:
        """Make a router from a mapping with the keys of a configuration file; see `from_config`."""
        return cls.from_config(source, **overrides)

    # --- what there is

    async def list_tools(self, *, tags: Iterable[str] | None = None, server: str | None = None) -> list[types.Tool]:
        """Return the tools of all servers, those that bear one of `tags`, or those of one server.

        Raises:
            RouterError: the server is not known.
        """
        if isinstance(tags, str):
            raise TypeError(f"tags must be a collection of strings, got {tags!r}")
        fleet = self._here()
        return fleet.of_server(fleet.catalog.list_tools(None if tags is None else frozenset(tags)), server)

    async def list_resources(self, *, server: str | None = None) -> list[types.Resource]:
        """Return the resources of all servers, or of one; raises as `list_tools` does."""
        fleet = self._here()
        return fleet.of_server(fleet.catalog.list_resources(), server)

    async def list_resource_templates(self, *, server: str | None = None) -> list[types.ResourceTemplate]:
        """Return the resource templates of all servers, or of one; raises as `list_tools` does."""
        fleet = self._here()
        return fleet.of_server(fleet.catalog.list_resource_templates(), server)

    async def list_prompts(self, *, server: str | None = None) -> list[types.Prompt]:
        """Return the prompts of all servers, or of one; raises as `list_tools` does."""
        fleet = self._here()
        return fleet.of_server(fleet.catalog.list_prompts(), server)

    def session(self, server: str) -> ServerSession:
        """Return one server's own face, with the methods of the SDK's client and the server's own names.

        Raises:
            RouterError: it is not known.
        """
        self._fleet.server(server)
        return ServerSession(self, server)

    # --- calls

    async def call_tool(
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
        """Call a tool and return its result, or a result that says what went wrong (`error_of` reads it back).

        Args:
            name: `server__tool`, `server.tool`, or `tool` where only one server has it.
            arguments: JSON values by name.
            timeout: seconds for the whole call; at most the server's `timeouts.ceiling`.
            idempotent: whether repeating it is harmless; None goes by configuration and trusted hints.
            caller: who asks, for the audit.
            meta: `_meta` for the server.
            progress: hears the tool's progress; each report also gives the running attempt more time.
            server_name: the server to use, whatever the name says.
            session: a connection of one's own, until `close_session`; None shares one with all callers.
            raise_on_error: overrides the router's setting for this call.

        Raises:
            RouterError: the call failed and errors are to be raised.
            TypeError, ValueError: a programming mistake in the call itself; that is never turned into a result.
        """
        fleet, arguments = self._here(), mapping_of(arguments)
        if raise_on_error is not None:
            flag("raise_on_error", raise_on_error)
        plain = timeout is None and idempotent is None and meta is None and progress is None and server_name is None
        quick = usual(fleet, name, arguments, session, caller) if plain else None
        call = quick or Call.tool(
            name,
            arguments,
            timeout=timeout,
            idempotent=idempotent,
            caller=caller,
            meta=meta,
            progress=progress,
            server_name=server_name,
            session=session,
        )
        try:
            return await make(call, fleet, self._observer, ready=call is quick)
        except RouterError as error:
            if self._raise_on_error if raise_on_error is None else raise_on_error:
                raise
            return as_result(error.payload)

    async def read_resource(
        self,
        uri: str,
        *,
        timeout: float | None = None,
        caller: str | None = None,
        meta: Mapping[str, Any] | None = None,
        server_name: str | None = None,
        session: str | None = None,
    ) -> types.ReadResourceResult:
        """Read a resource by its own URI where that is unique, or as `server:uri`.

        Raises:
            RouterError: it could not be read.
        """
        more: dict[str, Any] = {"timeout": timeout, "caller": caller, "meta": meta, "session": session}
        return await self._call(Call(method="resources/read", key=uri, server=server_name, **more))

    async def get_prompt(
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
        """Fetch a prompt, named like a tool.

        Raises:
            RouterError: it could not be fetched.
        """
        params = {"arguments": dict(mapping_of(arguments))}
        more: dict[str, Any] = {"timeout": timeout, "caller": caller, "meta": meta, "session": session}
        return await self._call(Call(method="prompts/get", key=name, params=params, server=server_name, **more))

    async def complete(
        self,
        reference: types.PromptReference | types.ResourceTemplateReference,
        argument: Mapping[str, str],
        *,
        context: Mapping[str, str] | None = None,
        timeout: float | None = None,
        caller: str | None = None,
        server_name: str | None = None,
    ) -> types.CompleteResult:
        """Ask the server of a prompt or resource template to complete an argument: `{"name": …, "value": …}`.

        Raises:
            RouterError: it could not be completed.
        """
        if not isinstance(reference, types.PromptReference | types.ResourceTemplateReference):
            raise TypeError(f"reference must be a PromptReference or ResourceTemplateReference, got {reference!r}")
        if not isinstance(argument, Mapping):
            raise TypeError(f"argument must be a mapping with name and value, got {type(argument).__name__}")
        params: dict[str, Any] = {"ref": reference, "argument": dict(argument)}
        if context is not None:
            params["context"] = {"arguments": dict(mapping_of(context, "context"))}
        key = reference.name if isinstance(reference, types.PromptReference) else reference.uri
        more: dict[str, Any] = {"timeout": timeout, "caller": caller}
        return await self._call(Call(method="completion/complete", key=key, params=params, server=server_name, **more))

    async def fan_out(
        self, calls: Sequence[Call[types.CallToolResult]], *, quorum: int | None = None, timeout: float | None = None
    ) -> FanOut:
        """Make many tool calls at once and return one verdict.

        Args:
            calls: made by `Call.tool`.
            quorum: how many must answer; None asks for one.
            timeout: seconds for all of them together.

        Raises:
            RouterError: fewer than `quorum` answered.
        """
        self._here()
        seconds, given = checked_timeout(timeout), _tool_calls(calls)
        spread = self._observer.spans.spread(len(given))

        def verdict(done: FanOutFinished) -> None:
            spread.end(answered=done.answered, quorum=done.quorum, outcome=done.outcome)
            self._observer.emit(done)

        try:
            send, shown = spread.inside(self._member), self._observer.shown
            return await fan_out(given, send, quorum=quorum, timeout=seconds, emit=verdict, shown=shown)
        finally:
            spread.drop()

    async def stream(
        self, calls: Sequence[Call[types.CallToolResult]], *, timeout: float | None = None
    ) -> AsyncGenerator[Reply, None]:
        """Make many tool calls at once and yield each reply as it comes; leaving the loop cancels the rest."""
        self._here()
        seconds, given = checked_timeout(timeout), _tool_calls(calls)
        spread = self._observer.spans.spread(len(given))
        replies = stream(given, spread.inside(self._member), timeout=seconds, shown=self._observer.shown)
        self._streams.add(replies)
        answered = 0
        try:
            async for reply in replies:
                answered += reply.error is None
                yield reply
            complete = answered == len(given)
            outcome: Any = "complete" if complete else "degraded" if answered else "failed"
            spread.end(answered=answered, quorum=min(1, len(given)), outcome=outcome)
        finally:
            spread.drop()
            self._streams.discard(replies)
            await replies.aclose()

    async def _member(self, call: Call[R]) -> R:
        # The same call may be made several times, and what has happened in one says nothing about another.
        call_id = new_call_id() if call.trail.spent else call.call_id
        call.trail.spent = True
        return await self._call(call.replace(trail=Trail(), call_id=call_id))

    async def _call(self, call: Call[R]) -> R:
        return await make(call, self._here(), self._observer)


def _tool_calls(calls: Iterable[Call[types.CallToolResult]]) -> tuple[Call[types.CallToolResult], ...]:
    given = tuple(calls)
    for call in given:
        if not isinstance(call, Call):
            raise TypeError(f"calls are made by Call.tool, got {call!r}")
        check(call)  # all of them before the first is made: a mistake in one would otherwise end the others in between
    return given
