"""The lists of one session, kept fresh: fetched at the start, and again when they change or expire."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

import mcp_types as types
from mcp import MCPError
from mcp.client import ClientSession
from mcp.client.subscriptions import listen

from recloser.catalog import Listing
from recloser.connection.lists import walk
from recloser.connection.own import Ask, unseen
from recloser.connection.schemas import OutputSchemas
from recloser.options import Server

__all__ = ["FreshLists"]

QUIET: Final = 0.2
"""Seconds after a list-changed notification before the lists are fetched again: floods become one walk."""

AGAIN: Final = 5.0
"""Seconds before a refresh that failed is tried again, and the least time between two that a server's ttl asks for."""

RELISTEN_CAP: Final = 300.0
"""The most seconds before a lost subscription is asked for again; the wait begins at `AGAIN` and doubles."""

_REFUSALS: Final = frozenset({types.METHOD_NOT_FOUND, types.INVALID_PARAMS, types.INVALID_REQUEST})

_log = logging.getLogger("recloser")


class FreshLists:
    """What a session's server offers.

    Written by its own methods: `fetch` by whoever needs the lists anew, the others by the session's owner.
    """

    def __init__(self, server: Server, on_listing: Callable[[Listing], None], ask: Ask = unseen) -> None:
        self._server = server
        self._on_listing = on_listing
        self._ask = ask
        self._dirty = asyncio.Event()
        self._walking = asyncio.Lock()
        self._due: float | None = None
        self._begun = 0
        self._done = 0
        self.schemas = OutputSchemas(server.name)
        """What the results of its tools are held against."""
        self.inputs: Mapping[str, dict[str, Any]] = {}
        """The input schemas of its tools."""

    @property
    def now(self) -> int:
        """How many walks have begun; a token for `fetch`."""
        return self._begun

    def changed(self) -> None:
        """Note that the server's lists are not what they were."""
        self._dirty.set()

    async def fetch(self, session: ClientSession, *, unless_after: int | None = None) -> None:
        """Fetch all lists, unless a walk that began after the moment `unless_after` has fetched them already.

        Raises:
            MCPError: the transport failed, or the tools were refused.
        """
        async with self._walking:
            if unless_after is not None and self._done > unless_after:
                return
            self._begun = number = self._begun + 1
            listing = await walk(session, self._ask)
            self._done = number
        self.schemas.take(listing.tools)
        self.inputs = {tool.name: tool.input_schema for tool in listing.tools}
        self._due = None
        if listing.expires_at is not None:
            # A ttl of a few milliseconds would be a request for an endless walk.
            self._due = max(listing.expires_at, asyncio.get_running_loop().time() + AGAIN)
        self._on_listing(listing)

    async def keep(self, session: ClientSession) -> None:
        """Fetch the lists again whenever the server says that they changed, or they have outlived their ttl."""
        loop = asyncio.get_running_loop()
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._due):
                    await self._dirty.wait()
                    await asyncio.sleep(QUIET)
            self._dirty.clear()
            try:
                async with asyncio.timeout(self._server.timeouts.start):
                    await self.fetch(session)
            except Exception as error:  # noqa: BLE001 - boundary: the last good lists stay, whatever went wrong
                _log.warning("server %s: its lists could not be refreshed: %s", self._server.name, type(error).__name__)
                self._due = loop.time() + AGAIN

    async def listen(self, session: ClientSession) -> None:
        """Hold the modern era's subscription to list changes; a server without it is left alone."""
        offers = session.server_capabilities or types.ServerCapabilities()
        tools = bool(offers.tools and offers.tools.list_changed)
        resources = bool(offers.resources and offers.resources.list_changed)
        prompts = bool(offers.prompts and offers.prompts.list_changed)
        loop = asyncio.get_running_loop()
        wait = AGAIN
        while tools or resources or prompts:
            begun = loop.time()
            try:
                async with listen(
                    session,
                    tools_list_changed=tools,
                    resources_list_changed=resources,
                    prompts_list_changed=prompts,
                ) as subscription:
                    async for _ in subscription:
                        self.changed()
            except MCPError as error:
                if error.code in _REFUSALS:
                    return
            except RuntimeError:
                pass  # the stream was lost
            # One that lasted is asked for again soon; a server that ends each at once is asked less and less often.
            wait = AGAIN if loop.time() - begun > wait else min(wait * 2, RELISTEN_CAP)
            await asyncio.sleep(wait)
            self.changed()  # what happened meanwhile is unknown
