"""The public object: one router in front of many MCP servers."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

import mcp_types as types

from recloser.arguments import checked_timeout, mapping_of
from recloser.call import Call, Progress, Trail
from recloser.calling import make, usual
from recloser.catalog import Listing
from recloser.connection import Callbacks
from recloser.connection.asks import Elicitation, LogCallback, Roots, Sampling
from recloser.errors import RouterError, as_result
from recloser.events import Emitter, Listener
from recloser.fanout import FanOut, Reply, fan_out, stream
from recloser.fleet import Fleet
from recloser.health import ServerHealth
from recloser.options import Server
from recloser.redact import Redactor
from recloser.session import ServerSession

__all__ = ["Router"]

R = TypeVar("R")


class Router:
    """Routes calls to many MCP servers and keeps working when some of them do not.

    Use it as an async context manager. All methods belong to the event loop that entered it; calls may come from any
    task of that loop. A router that is not open raises `RuntimeError` from all of them.

    Args:
        servers: the servers, each with a name of its own.
        names: whether tools are shown as `server__tool`, or under their own names where that is unambiguous.
        raise_on_error: whether a failed call raises `RouterError` instead of returning a result that tells it.
        listeners: hear every event; called on the loop, so they must be quick.
        sampling, elicitation, roots: answer what servers ask of our side; what is None is not offered to them.
        on_log: hears what servers log.
        snapshot: a file that keeps the last known listings from run to run.
        secrets: values that must not appear in anything that leaves, whatever they look like.
        rng: source of randomness for jitter, 0 <= x < 1.
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
    ) -> None:
        self._emit = Emitter(listeners)
        self._raise_on_error = raise_on_error
        self._open = False
        self._secrets = tuple(secrets)
        self._fleet = Fleet(
            servers,
            names=names,
            callbacks=Callbacks(sampling=sampling, elicitation=elicitation, roots=roots, on_log=on_log),
            emit=self._emit,
            redactor=Redactor(self._secrets),
            snapshot=None if snapshot is None else Path(snapshot),
            rng=rng,
        )

    @classmethod
    def from_config(cls, source: str | Path | Mapping[str, Any], **overrides: Any) -> Self:
        """Make a router from a configuration file or mapping; `overrides` are arguments of `Router` itself.

        `secrets` are those of both.

        Raises:
            ConfigurationError: with every mistake in it, each with its place.
        """
        from recloser.config import load

        settings = load(source)
        known: dict[str, Any] = {"names": settings.names, "snapshot": settings.cache} | overrides
        secrets = [secret.get_secret_value() for secret in settings.secrets]
        known["secrets"] = [*secrets, *overrides.get("secrets", ())]
        return cls(*settings.servers, **known)

    @classmethod
    def from_dict(cls, source: Mapping[str, Any], **overrides: Any) -> Self:
        """Make a router from a mapping with the keys of a configuration file; see `from_config`."""
        return cls.from_config(source, **overrides)

    # --- life

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def open(self) -> None:
        """Start all servers at once; return when the required ones are ready and the others are ready, failed or slow.

        Raises:
            RouterError: a required server could not be made ready; everything is closed again.
            RuntimeError: the router is open already.
        """
        if self._open:
            raise RuntimeError("the router is open already")
        self._open = True
        try:
            await self._fleet.open()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Close every connection; returns when nothing is left. Closing a closed router does nothing."""
        self._open = False
        await self._fleet.close()

    def _opened(self) -> Fleet:
        if not self._open:
            raise RuntimeError("the router is not open; use `async with router:`")
        return self._fleet

    async def ready(self, server: str) -> None:
        """Wait until a server is ready for calls.

        Raises:
            RouterError: it is not known, or the try to connect failed.
        """
        await self._opened().upstream(server).ready()

    async def add_server(self, server: Server) -> None:
        """Add a server; returns when it is ready, has failed, or has had two seconds.

        Raises:
            ValueError: there is one of that name.
        """
        await self._opened().add(server)

    async def remove_server(self, server: str) -> None:
        """Remove a server: its tools are gone at once, its calls in flight may end.

        Raises:
            RouterError: it is not known.
        """
        self._opened().remove(server)

    async def reload(self, source: str | Path | Mapping[str, Any]) -> None:
        """Take over a changed configuration's servers: what did not change is not disturbed, nor is a call in flight.

        How names are shown, and where the snapshot lies, stays as it was at the start.

        Raises:
            ConfigurationError: there are mistakes in it; nothing was changed.
        """
        from recloser.config import load

        settings = load(source)
        secrets = [secret.get_secret_value() for secret in settings.secrets]
        await self._opened().reload(settings.servers, Redactor((*self._secrets, *secrets)))

    def disable(self, name: str) -> None:
        """Hide a server, a tool (`server__tool`) or a tag, and refuse calls to it, until `enable`.

        Raises:
            RouterError: there is nothing of that name.
        """
        self._opened().disable(name)

    def enable(self, name: str) -> None:
        """Undo `disable`.

        Raises:
            RouterError: there is nothing of that name.
        """
        self._opened().enable(name)

    def session(self, server: str) -> ServerSession:
        """Return one server's own face, with the methods of the SDK's client and the server's own names.

        Raises:
            RouterError: it is not known.
        """
        self._fleet.server(server)
        return ServerSession(self, server)

    # --- what there is

    async def list_tools(self, *, tags: Iterable[str] | None = None, server: str | None = None) -> list[types.Tool]:
        """Return the tools of all servers, those that bear one of `tags`, or those of one server.

        Raises:
            RouterError: the server is not known.
        """
        if isinstance(tags, str):
            raise TypeError(f"tags must be a collection of strings, got {tags!r}")
        fleet = self._opened()
        return fleet.of_server(fleet.catalog.list_tools(None if tags is None else frozenset(tags)), server)

    async def list_resources(self, *, server: str | None = None) -> list[types.Resource]:
        """Return the resources of all servers, or of one; raises as `list_tools` does."""
        fleet = self._opened()
        return fleet.of_server(fleet.catalog.list_resources(), server)

    async def list_resource_templates(self, *, server: str | None = None) -> list[types.ResourceTemplate]:
        """Return the resource templates of all servers, or of one; raises as `list_tools` does."""
        fleet = self._opened()
        return fleet.of_server(fleet.catalog.list_resource_templates(), server)

    async def list_prompts(self, *, server: str | None = None) -> list[types.Prompt]:
        """Return the prompts of all servers, or of one; raises as `list_tools` does."""
        fleet = self._opened()
        return fleet.of_server(fleet.catalog.list_prompts(), server)

    @property
    def servers(self) -> Mapping[str, Server]:
        """The servers by name, as they were configured."""
        return self._fleet.servers

    def listing(self, server: str) -> Listing:
        """Return what one server offers, under its own names, as it was listed last.

        Raises:
            RouterError: it is not known.
        """
        return self._opened().catalog.listing(server) or Listing()

    def health(self) -> dict[str, ServerHealth]:
        """Return how every server is, without asking any of them."""
        return self._opened().health()

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
            session: a connection of one's own; None shares one with all callers.
            raise_on_error: overrides the router's setting for this call.

        Raises:
            RouterError: the call failed and errors are to be raised.
        """
        fleet, arguments = self._opened(), mapping_of(arguments)
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
            return await make(call, fleet, self._emit, ready=call is quick)
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
        params: dict[str, Any] = {"ref": reference, "argument": dict(argument)}
        if context is not None:
            params["context"] = {"arguments": dict(context)}
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
        self._opened()
        seconds = checked_timeout(timeout)
        return await fan_out(_tool_calls(calls), self._member, quorum=quorum, timeout=seconds, emit=self._emit)

    async def stream(
        self, calls: Sequence[Call[types.CallToolResult]], *, timeout: float | None = None
    ) -> AsyncGenerator[Reply, None]:
        """Make many tool calls at once and yield each reply as it comes; leaving the loop cancels the rest."""
        self._opened()
        replies = stream(_tool_calls(calls), self._member, timeout=checked_timeout(timeout))
        try:
            async for reply in replies:
                yield reply
        finally:
            await replies.aclose()

    async def _member(self, call: Call[R]) -> R:
        # The same call may be part of several spreads, and what has happened in one says nothing about another.
        return await self._call(call.replace(trail=Trail()))

    async def _call(self, call: Call[R]) -> R:
        return await make(call, self._opened(), self._emit)


def _tool_calls(calls: Iterable[Call[types.CallToolResult]]) -> tuple[Call[types.CallToolResult], ...]:
    given = tuple(calls)
    for call in given:
        if not isinstance(call, Call):
            raise TypeError(f"calls are made by Call.tool, got {call!r}")
    return given
