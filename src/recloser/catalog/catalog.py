"""The catalog: what all servers of one router offer, under which names, and who offers it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import replace
from itertools import chain
from typing import Literal

import mcp_types as types

from recloser.catalog import refusals
from recloser.catalog.bare import Holders, NamesCollideError
from recloser.catalog.entries import Mark, PromptEntry, ResourceEntry, ToolEntry
from recloser.catalog.kinds import PROMPTS, TOOLS
from recloser.catalog.listing import Listing
from recloser.catalog.lists import Lists
from recloser.catalog.named import Named
from recloser.catalog.resources import Resources
from recloser.catalog.shelf import Shelf
from recloser.catalog.switches import Meant, Switches
from recloser.catalog.view import Revisions, View
from recloser.events import CatalogChanged, Listener
from recloser.options import Server
from recloser.redact import redact

__all__ = ["Catalog"]

_log = logging.getLogger("recloser")


class Catalog:
    """Known tools, prompts, resources and resource templates of all servers of one router.

    Changed by its own methods only, which the router calls; all of them return at once. A server that goes down keeps
    its last good listing, marked unavailable.

    Args:
        servers: in the order in which they are shown.
        names: whether tools and prompts are shown as `server__tool`, or under their own names.
        emit: hears of every real change.

    Raises:
        ValueError: two servers have one name.
    """

    def __init__(
        self, servers: Iterable[Server], *, names: Literal["qualified", "bare"] = "qualified", emit: Listener
    ) -> None:
        self._emit = emit
        self._servers: dict[str, Server] = {}
        self._shelves: dict[str, Shelf] = {}
        self._switches = Switches()
        self._revisions = Revisions()
        # What names have led to since the last change: most calls ask for few tools again and again.
        self._found: dict[str, ToolEntry] = {}
        tools, prompts = (Holders(self._servers) if names == "bare" else None for _ in range(2))
        self._tools = Named(TOOLS, shelves=self._shelves, switches=self._switches, holders=tools)
        self._prompts = Named(PROMPTS, shelves=self._shelves, switches=self._switches, holders=prompts)
        self._resources = Resources(self._shelves, self._switches)
        self._lists = Lists(self._shelves, self._tools, self._prompts, self._resources)
        for server in servers:
            self.add_server(server)

    # What changes it.

    def add_server(self, server: Server) -> None:
        """Make room for a server; it comes after all others.

        Raises:
            ValueError: there is one of this name already.
        """
        if server.name in self._shelves:
            raise ValueError(f"there are two servers named {server.name!r}; names must be unique")
        self._servers[server.name] = server
        self._shelves[server.name] = Shelf(server)
        if not server.enabled:
            self._switches.turn(("server", server.name), on=False)

    def replace_server(self, server: Server) -> None:
        """Take over new options of a server: its place, its names and what is switched off stay as they are.

        What it offered stays known until it lists anew, as through an outage.

        Raises:
            CriticalError: there is no such server.
        """
        shelf = self._shelf(server.name)
        if server.enabled != shelf.server.enabled:
            self._switches.turn(("server", server.name), on=server.enabled)
        self._servers[server.name] = shelf.server = server
        shelf.confirmed = False
        shelf.take(shelf.listing)
        self._tell(self._restock(shelf))

    def remove_server(self, name: str) -> None:
        """Forget a server and all that it offers.

        Raises:
            CriticalError: there is no such server.
        """
        shelf = self._shelf(name)
        shelf.take(None)
        shelf.mark = Mark()
        concerned = self._restock(shelf)
        self._switches.forget(name)
        del self._servers[name], self._shelves[name]
        self._tell(concerned)

    def update(self, name: str, listing: Listing) -> None:
        """Take over what a server has just listed; it is available then.

        Raises:
            CriticalError: there is no such server.
        """
        shelf = self._shelf(name)
        shelf.confirmed = True
        if listing == shelf.listing:
            shelf.listing = listing
            self.set_available(name, True)
            return
        shelf.take(listing)
        shelf.mark = Mark(available=True)
        self._tell(self._restock(shelf))

    def restore(self, name: str, listing: Listing) -> None:
        """Take over what a server offered in an earlier run, unless it has been listed in this one.

        It stays unavailable.

        Raises:
            CriticalError: there is no such server.
        """
        shelf = self._shelf(name)
        if shelf.listing is None:
            shelf.take(replace(listing, expires_at=None))
            self._tell(self._restock(shelf))

    def set_available(
        self, name: str, available: bool, since: float | str | None = None, code: str | None = None
    ) -> None:
        """Mark all that a server offers as available or not; `since` and `code` are shown while it is not.

        Raises:
            CriticalError: there is no such server.
        """
        shelf = self._shelf(name)
        mark = Mark(available=True) if available else Mark(since=since, code=code)
        if mark != shelf.mark:
            shelf.mark = mark
            self._tell(self._restock(shelf))

    def settle_names(self) -> None:
        """End the start: from now on whoever holds a bare name keeps it for as long as he offers it.

        Raises:
            NamesCollideError: bare names are shown, and two servers of equal priority offer a tool of one name.
        """
        disputes = self._tools.holders.disputes() if self._tools.holders is not None else []
        if disputes:
            raise NamesCollideError(disputes)
        for named in (self._tools, self._prompts):
            if named.holders is not None:
                named.holders.settle()

    def disable(self, what: str) -> None:
        """Take a server, a tool (by any of its names) or all that bears a tag out of the lists, and refuse calls to it.

        Raises:
            CriticalError: nothing is called that.
        """
        self._turn(self._meant(what), on=False)

    def enable(self, what: str) -> None:
        """Undo `disable` of the same server, tool or tag.

        Raises:
            CriticalError: nothing is called that.
        """
        self._turn(self._meant(what), on=True)

    # What asks it.

    def tool(self, name: str, server: str | None = None) -> ToolEntry:
        """Return the tool that a name means: `server__tool`, `server.tool`, or `tool` where only one server has it.

        A name that says itself which server has it leads to that server also before it has been listed.

        Args:
            name: the name in any of its forms.
            server: whose tool it is, whatever the name alone would mean.

        Raises:
            CriticalError: nobody offers it, several do, it is switched off, or the server is not known.
        """
        entry = self._tools.find(name, server)
        if server is None and not entry.provisional:
            self._found[name] = entry
        return entry

    def found(self, name: str) -> ToolEntry | None:
        """Return what `tool` returned for this name last, if nothing has changed since; None asks for `tool` itself."""
        return self._found.get(name)

    def prompt(self, name: str, server: str | None = None) -> PromptEntry:
        """Return the prompt that a name means; forms, arguments and errors as for `tool`."""
        return self._prompts.find(name, server)

    def resource(self, uri: str, server: str | None = None) -> ResourceEntry:
        """Return which server reads a URI, and the server's own URI for it.

        A URI is looked up as listed, then as `server:uri`, then against the templates of all servers.

        Args:
            uri: the server's own URI, or `server:uri`.
            server: which server to ask, listed there or not.

        Raises:
            CriticalError: no server or several answer to it, or the server is not known or switched off.
        """
        return self._resources.find(uri, server)

    def completion(
        self, ref: types.PromptReference | types.ResourceTemplateReference, server: str | None = None
    ) -> tuple[str, types.PromptReference | types.ResourceTemplateReference]:
        """Return which server completes a reference, and the reference in the server's own words.

        Raises:
            CriticalError: as for `prompt` and `resource`.
        """
        if isinstance(ref, types.PromptReference):
            prompt = self.prompt(ref.name, server)
            return prompt.server, ref.model_copy(update={"name": prompt.own})
        entry = self._resources.find_template(ref.uri, server)
        return entry.server, ref.model_copy(update={"uri": entry.uri})

    def list_tools(self, tags: AbstractSet[str] | None = None) -> list[types.Tool]:
        """Return all tools, or those that bear one of the tags, in the order of servers and then in their own."""
        return self._lists.get("tools", tags)

    def list_prompts(self, tags: AbstractSet[str] | None = None) -> list[types.Prompt]:
        """Return all prompts, or those that bear one of the tags."""
        return self._lists.get("prompts", tags)

    def list_resources(self, tags: AbstractSet[str] | None = None) -> list[types.Resource]:
        """Return all resources, or those that bear one of the tags."""
        return self._lists.get("resources", tags)

    def list_resource_templates(self, tags: AbstractSet[str] | None = None) -> list[types.ResourceTemplate]:
        """Return all resource templates, or those that bear one of the tags."""
        return self._lists.get("templates", tags)

    @property
    def revisions(self) -> Revisions:
        """How often each list has changed."""
        return self._revisions

    @property
    def servers(self) -> tuple[Server, ...]:
        """All servers in order, those that are switched off too."""
        return tuple(self._servers.values())

    def listing(self, name: str) -> Listing | None:
        """Return what a server has listed last; None if it has not been listed yet.

        Raises:
            CriticalError: there is no such server.
        """
        return self._shelf(name).listing

    def listings(self) -> list[tuple[Server, Listing]]:
        """Return what all servers have listed last, for a snapshot."""
        return [(shelf.server, shelf.listing) for shelf in self._shelves.values() if shelf.listing is not None]

    def enabled(self, name: str) -> bool:
        """Return whether a server is switched on.

        Raises:
            CriticalError: there is no such server.
        """
        return self._allows(self._shelf(name))

    def refresh_due(self, now: float) -> list[str]:
        """Return the servers whose listing has expired at `now`, in seconds of `loop.time()`."""
        return [
            name
            for name, shelf in self._shelves.items()
            if shelf.listing is not None
            and shelf.listing.expires_at is not None
            and shelf.listing.expires_at <= now
            and shelf.mark.available
            and self._allows(shelf)
        ]

    # How it is done.

    def _shelf(self, name: str) -> Shelf:
        try:
            return self._shelves[name]
        except KeyError as error:
            raise refusals.unknown_server(name, self._shelves) from error

    def _allows(self, shelf: Shelf) -> bool:
        return self._switches.allow(shelf.name, shelf.server.tags)

    def _restock(self, shelf: Shelf) -> list[Shelf]:
        """Make a server's entries anew; return it, and the other servers whose bare names change by that."""
        self._resources.restock(shelf)
        return list(dict.fromkeys([shelf, *self._tools.restock(shelf), *self._prompts.restock(shelf)]))

    def _view(self, shelf: Shelf) -> View:
        resources, templates = self._resources.seen(shelf)
        return View(
            available=shelf.mark.available,
            tools={entry.name: entry.tool for entry in self._tools.seen(shelf)},
            prompts={entry.name: entry.prompt for entry in self._prompts.seen(shelf)},
            resources={entry.uri: entry.resource for entry in resources},
            templates={entry.uri: entry.template for entry in templates},
            shadowed=(*self._tools.shadowed(shelf), *self._prompts.shadowed(shelf)),
        )

    def _tell(self, shelves: Iterable[Shelf]) -> None:
        """Let listeners know of what has really changed; the state is whole before the first one hears of it."""
        self._lists.clear()
        self._found.clear()
        events = []
        for shelf in shelves:
            before, after = shelf.told, self._view(shelf)
            if before == after:
                continue
            shelf.told = after
            self._warn(shelf.name, [own for own in after.shadowed if own not in before.shadowed])
            self._revisions = self._revisions.after(before, after)
            events.append(
                CatalogChanged(
                    server=shelf.name,
                    available=after.available,
                    added=tuple(name for name in after.tools if name not in before.tools),
                    removed=tuple(name for name in before.tools if name not in after.tools),
                    shadowed=after.shadowed,
                )
            )
        for event in events:
            self._emit(event)

    def _warn(self, server: str, taken: list[str]) -> None:
        """Say that a server came too late for some bare names, which would have been refused or decided at start."""
        if taken and self._tools.holders is not None and self._tools.holders.settled:
            shown = redact(", ".join(taken))
            _log.warning("server %s: other servers have these names, so its own stay qualified: %s", server, shown)

    def _turn(self, meant: Meant, *, on: bool) -> None:
        self._switches.turn(meant, on=on)
        self._tell(self._shelves.values())

    def _meant(self, what: str) -> Meant:
        """Return what an operator means: a server, a firm name of a tool, a tag, or a tool by another of its names."""
        if what in self._shelves:
            return "server", what
        firm = self._tools.firm(what)
        if firm is None and any(what in self._tags(shelf) for shelf in self._shelves.values()):
            return "tag", what
        entry = firm or self._tools.called(what)
        return "tool", entry.server, entry.own

    def _tags(self, shelf: Shelf) -> Iterator[str]:
        server = shelf.server
        stated = (
            entry.tags
            for entries in (shelf.tools, shelf.prompts, shelf.resources, shelf.templates)
            for entry in entries.values()
        )
        return chain(server.tags, *server.tool_tags.values(), *stated)
