"""One server's own face, with `await` and without: the methods of the SDK's client, with the router behind them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, Protocol, TypeAlias, TypeVar

import mcp_types as types

from recloser.call import Progress

if TYPE_CHECKING:
    from recloser.router import Router

__all__ = ["Runner", "ServerSession", "SyncServerSession"]

P = ParamSpec("P")
T = TypeVar("T")
CacheMode: TypeAlias = Literal["use", "refresh", "bypass"]
"""As the SDK's client has it."""


class ServerSession:
    """Speaks to one server of a router under the server's own names.

    The methods and their arguments are those of `mcp.Client`; lists come from the catalog, so they are whole (there is
    never a next page) and cost no request, whatever `cursor`, `meta` and `cache_mode` say. Not here: what belongs to
    one connection (subscriptions, the log level, notifications of one's own, facts of the handshake), for which the
    router has methods and callbacks, and `input_responses`: its callbacks answer a server's questions.
    """

    def __init__(self, router: Router, server: str) -> None:
        self._router = router
        self._server = server

    def __repr__(self) -> str:
        return f"ServerSession({self._server!r})"

    @property
    def protocol_version(self) -> str | None:
        """The version agreed on with the server; None before the first connection, and once it was removed."""
        health = self._router.health().get(self._server)
        return None if health is None else health.protocol_version

    async def send_ping(self, *, meta: Mapping[str, Any] | None = None) -> types.EmptyResult:
        """Ask the server for a sign of life, as `Router.probe` does.

        Raises:
            RouterError: there was none.
        """
        del meta
        await self._router.probe(self._server)
        return types.EmptyResult()

    async def list_tools(
        self, *, cursor: str | None = None, meta: Mapping[str, Any] | None = None, cache_mode: CacheMode = "use"
    ) -> types.ListToolsResult:
        """Return the server's tools under their own names."""
        del cursor, meta, cache_mode
        return types.ListToolsResult(tools=list(self._router.listing(self._server).tools))

    async def list_resources(
        self, *, cursor: str | None = None, meta: Mapping[str, Any] | None = None, cache_mode: CacheMode = "use"
    ) -> types.ListResourcesResult:
        """Return the server's resources."""
        del cursor, meta, cache_mode
        return types.ListResourcesResult(resources=list(self._router.listing(self._server).resources))

    async def list_resource_templates(
        self, *, cursor: str | None = None, meta: Mapping[str, Any] | None = None, cache_mode: CacheMode = "use"
    ) -> types.ListResourceTemplatesResult:
        """Return the server's resource templates."""
        del cursor, meta, cache_mode
        return types.ListResourceTemplatesResult(resource_templates=list(self._router.listing(self._server).templates))

    async def list_prompts(
        self, *, cursor: str | None = None, meta: Mapping[str, Any] | None = None, cache_mode: CacheMode = "use"
    ) -> types.ListPromptsResult:
        """Return the server's prompts under their own names."""
        del cursor, meta, cache_mode
        return types.ListPromptsResult(prompts=list(self._router.listing(self._server).prompts))

    async def call_tool(
        self,
        name: str,
        arguments: dict[str, Any] | None = None,
        read_timeout_seconds: float | None = None,
        progress_callback: Progress | None = None,
        *,
        meta: Mapping[str, Any] | None = None,
    ) -> types.CallToolResult:
        """Call a tool by the server's own name for it."""
        return await self._router.call_tool(
            name,
            arguments,
            timeout=read_timeout_seconds,
            progress=progress_callback,
            meta=meta,
            server_name=self._server,
        )

    async def read_resource(
        self, uri: str, *, meta: Mapping[str, Any] | None = None, cache_mode: CacheMode = "use"
    ) -> types.ReadResourceResult:
        """Read a resource by its own URI; it is always asked for."""
        del cache_mode
        return await self._router.read_resource(uri, meta=meta, server_name=self._server)

    async def get_prompt(
        self, name: str, arguments: dict[str, str] | None = None, *, meta: Mapping[str, Any] | None = None
    ) -> types.GetPromptResult:
        """Fetch a prompt by the server's own name for it."""
        return await self._router.get_prompt(name, arguments, meta=meta, server_name=self._server)

    async def complete(
        self,
        ref: types.ResourceTemplateReference | types.PromptReference,
        argument: dict[str, str],
        context_arguments: dict[str, str] | None = None,
    ) -> types.CompleteResult:
        """Complete an argument of a prompt or resource template."""
        return await self._router.complete(ref, argument, context=context_arguments, server_name=self._server)


class Runner(Protocol):
    """Runs an async method to its end and returns its result."""

    def __call__(self, method: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run it."""
        ...


class SyncServerSession:
    """`ServerSession` with the same methods, without `await`."""

    def __init__(self, session: ServerSession, run: Runner) -> None:
        self._session = session
        self._run = run

    def __repr__(self) -> str:
        return f"Sync{self._session!r}"

    @property
    def protocol_version(self) -> str | None:
        """The version agreed on with the server; None before the first connection, and once it was removed."""

        async def there() -> str | None:
            return self._session.protocol_version

        return self._run(there)

    def send_ping(self, *, meta: Mapping[str, Any] | None = None) -> types.EmptyResult:
        """Ask the server for a sign of life, as `Router.probe` does.

        Raises:
            RouterError: there was none.
        """
        return self._run(self._session.send_ping, meta=meta)

    def list_tools(
        self, *, cursor: str | None = None, meta: Mapping[str, Any] | None = None, cache_mode: CacheMode = "use"
    ) -> types.ListToolsResult:
        """Return the server's tools under their own names."""
        return self._run(self._session.list_tools, cursor=cursor, meta=meta, cache_mode=cache_mode)

    def list_resources(
        self, *, cursor: str | None = None, meta: Mapping[str, Any] | None = None, cache_mode: CacheMode = "use"
    ) -> types.ListResourcesResult:
        """Return the server's resources."""
        return self._run(self._session.list_resources, cursor=cursor, meta=meta, cache_mode=cache_mode)

    def list_resource_templates(
        self, *, cursor: str | None = None, meta: Mapping[str, Any] | None = None, cache_mode: CacheMode = "use"
    ) -> types.ListResourceTemplatesResult:
        """Return the server's resource templates."""
        return self._run(self._session.list_resource_templates, cursor=cursor, meta=meta, cache_mode=cache_mode)

    def list_prompts(
        self, *, cursor: str | None = None, meta: Mapping[str, Any] | None = None, cache_mode: CacheMode = "use"
    ) -> types.ListPromptsResult:
        """Return the server's prompts under their own names."""
        return self._run(self._session.list_prompts, cursor=cursor, meta=meta, cache_mode=cache_mode)

    def call_tool(
        self,
        name: str,
        arguments: dict[str, Any] | None = None,
        read_timeout_seconds: float | None = None,
        progress_callback: Progress | None = None,
        *,
        meta: Mapping[str, Any] | None = None,
    ) -> types.CallToolResult:
        """Call a tool by the server's own name for it."""
        return self._run(self._session.call_tool, name, arguments, read_timeout_seconds, progress_callback, meta=meta)

    def read_resource(
        self, uri: str, *, meta: Mapping[str, Any] | None = None, cache_mode: CacheMode = "use"
    ) -> types.ReadResourceResult:
        """Read a resource by its own URI; it is always asked for."""
        return self._run(self._session.read_resource, uri, meta=meta, cache_mode=cache_mode)

    def get_prompt(
        self, name: str, arguments: dict[str, str] | None = None, *, meta: Mapping[str, Any] | None = None
    ) -> types.GetPromptResult:
        """Fetch a prompt by the server's own name for it."""
        return self._run(self._session.get_prompt, name, arguments, meta=meta)

    def complete(
        self,
        ref: types.ResourceTemplateReference | types.PromptReference,
        argument: dict[str, str],
        context_arguments: dict[str, str] | None = None,
    ) -> types.CompleteResult:
        """Complete an argument of a prompt or resource template."""
        return self._run(self._session.complete, ref, argument, context_arguments)
