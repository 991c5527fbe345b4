"""Everything that a server offers: every page of every list, fetched over one session."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import mcp_types as types
from mcp import MCPError
from mcp.client import ClientSession

from recloser.catalog import Listing
from recloser.connection.own import Ask, unseen
from recloser.facts import FAULT_CODE, facts_of

__all__ = ["walk"]

MAX_PAGES: Final = 1000
"""Pages of one list after which a server is taken to page for ever."""

LONGEST_TTL: Final = 86_400.0
"""Seconds after which lists are fetched again, however long a server says that they may be kept."""

_log = logging.getLogger("recloser")

Page = TypeVar(
    "Page", types.ListToolsResult, types.ListResourcesResult, types.ListResourceTemplatesResult, types.ListPromptsResult
)


async def walk(session: ClientSession, ask: Ask = unseen) -> Listing:
    """Fetch all lists that the server says it has; `ask` goes around each request.

    A list that the server refuses in so many words is taken as empty; a list that a fault cuts short fails the walk,
    since half a list would look like tools that are gone.

    Raises:
        MCPError: the transport failed, or the tools themselves were refused.
    """
    offers = session.server_capabilities or types.ServerCapabilities()
    tools = await _pages("tools/list", session.list_tools, ask) if offers.tools is not None else []
    resources: list[types.ListResourcesResult] = []
    templates: list[types.ListResourceTemplatesResult] = []
    prompts: list[types.ListPromptsResult] = []
    if offers.resources is not None:
        resources = await _optional("resources/list", session.list_resources, ask)
        templates = await _optional("resources/templates/list", session.list_resource_templates, ask)
    if offers.prompts is not None:
        prompts = await _optional("prompts/list", session.list_prompts, ask)
    pages: list[types.CacheableResult] = [*tools, *resources, *templates, *prompts]
    # A number of JSON may be beyond any float: it is held against the longest before anything is made of it.
    ttls = [min(page.ttl_ms, LONGEST_TTL * 1000) for page in pages if page.ttl_ms > 0]
    return Listing(
        tools=tuple(tool for page in tools for tool in page.tools),
        resources=tuple(resource for page in resources for resource in page.resources),
        templates=tuple(template for page in templates for template in page.resource_templates),
        prompts=tuple(prompt for page in prompts for prompt in page.prompts),
        expires_at=asyncio.get_running_loop().time() + min(ttls) / 1000 if ttls else None,
        instructions=session.instructions,
    )


async def _pages(what: str, fetch: Callable[..., Awaitable[Page]], ask: Ask) -> list[Page]:
    pages: list[Page] = []
    cursor: str | None = None
    seen: set[str] = set()
    while len(pages) < MAX_PAGES:
        with ask(what):
            page = await fetch(params=types.PaginatedRequestParams(cursor=cursor) if cursor is not None else None)
        pages.append(page)
        cursor = page.next_cursor
        # Any cursor but a missing one may be asked for, says the protocol; servers that end their lists with an empty
        # one refuse it, or begin again.
        if not cursor:
            return pages
        if cursor in seen:
            break
        seen.add(cursor)
    _log.warning("a list of the server never ends; using its first %d pages", len(pages))
    return pages


def _is_a_fault(error: MCPError) -> bool:
    """Return whether an error tells that something went wrong, rather than that there is no such list."""
    facts = facts_of(error)
    if facts is not None and facts.kind == "status":
        # A refusal has a JSON-RPC error of the server's own, which comes with 400 or 404.
        return error.code == FAULT_CODE or facts.status not in (400, 404)
    return facts is not None or error.code in (types.CONNECTION_CLOSED, types.REQUEST_TIMEOUT)


async def _optional(what: str, fetch: Callable[..., Awaitable[Any]], ask: Ask) -> list[Any]:
    try:
        return await _pages(what, fetch, ask)
    except MCPError as error:
        if _is_a_fault(error):
            raise
        _log.warning("the server refuses %s with code %d; taken as empty", what, error.code)
        return []
