"""From a URI to the server that can read it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import mcp_types as types

from recloser.catalog import refusals
from recloser.catalog.entries import ResourceEntry
from recloser.catalog.index import Index
from recloser.catalog.shelf import Shelf
from recloser.catalog.switches import Switches
from recloser.catalog.templates import matches
from recloser.errors import RouterError, error_for

__all__ = ["Resources"]

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_USER_INFO: Final = re.compile(r"//[^/@]*@")
_CODE: Final = "invalid_request"


class Resources:
    """All resources and templates. Changed by the catalog alone.

    `server:uri` is firm, for a server's name holds no colon; a server's own URI is an alias.
    """

    def __init__(self, shelves: Mapping[str, Shelf], switches: Switches) -> None:
        self._shelves = shelves
        self._switches = switches
        self._listed: Index[ResourceEntry] = Index()
        self._templates: Index[ResourceEntry] = Index()

    def restock(self, shelf: Shelf) -> None:
        """Make a server's entries anew."""
        for index, entries in self._indexed(shelf):
            for entry in entries.values():
                index.drop(entry, [f"{entry.server}:{entry.uri}"], [entry.uri])
        shelf.stock_resources()
        for index, entries in self._indexed(shelf):
            for entry in entries.values():
                index.add(entry, [f"{entry.server}:{entry.uri}"], [entry.uri])

    def _indexed(self, shelf: Shelf) -> tuple[tuple[Index[ResourceEntry], dict[str, ResourceEntry]], ...]:
        return (self._listed, shelf.resources), (self._templates, shelf.templates)

    def seen(self, shelf: Shelf) -> tuple[list[ResourceEntry], list[ResourceEntry]]:
        """Return a server's resources, and its templates, that are not switched off."""
        return [e for e in shelf.resources.values() if self._on(e)], [
            e for e in shelf.templates.values() if self._on(e)
        ]

    def shown(self, entry: ResourceEntry) -> types.Resource | types.ResourceTemplate:
        """Return a listed resource or template with its own URI if no other has that, else with `server:uri`."""
        assert entry.shown is not None
        is_template = entry.template is not None
        index = self._templates if is_template else self._listed
        sharers = sum(self._on(other) for other in index.sharers(entry.uri))
        if sharers <= 1 and index.firm(entry.uri) is None:
            return entry.shown
        field = "uri_template" if is_template else "uri"
        return entry.shown.model_copy(update={field: f"{entry.server}:{entry.uri}"})

    def find(self, uri: str, server: str | None = None) -> ResourceEntry:
        """Return which server reads a URI, and the server's own URI for it.

        Raises:
            CriticalError: no server or several answer to it, or the server is not known or switched off.
        """
        if server is not None:
            return self._allowed(self._at(uri, server))
        if (entry := self._exact(self._listed, uri)) is not None:
            return entry
        named = self._named(uri)
        if named is not None and named.template is not None:
            return self._allowed(named)
        if (entry := self._made(uri)) is not None:
            return entry
        if named is not None and _SCHEME.match(named.uri):
            return self._allowed(named)
        on = [shelf.name for shelf in self._shelves.values() if self._switches.allow(shelf.name, shelf.server.tags)]
        if len(on) == 1:
            # A router before one server must not be able to do less than that server's own client.
            return ResourceEntry(server=on[0], uri=uri)
        raise self._unknown(uri)

    def find_template(self, template: str, server: str | None = None) -> ResourceEntry:
        """Return which server has a template, or else a resource, of this URI.

        Raises:
            CriticalError: no server or several answer to it, or the server is not known or switched off.
        """
        if server is None and (entry := self._exact(self._templates, template)) is not None:
            return entry
        return self.find(template, server)

    def _at(self, uri: str, server: str) -> ResourceEntry:
        shelf = self._shelves.get(server)
        if shelf is None:
            raise refusals.unknown_server(server, self._shelves)
        own = uri.removeprefix(server + ":")
        for each in (uri, own):
            if (entry := shelf.resources.get(each) or shelf.templates.get(each)) is not None:
                return entry
        # A URI of the scheme `server:` is no `server:uri`, unless what follows is a URI too.
        return self._of(shelf, own if _SCHEME.match(own) else uri)

    def _of(self, shelf: Shelf, uri: str) -> ResourceEntry:
        """Return the entry of a URI that a server is asked for, listed or not."""
        for entry in shelf.templates.values():
            if matches(entry.uri, uri):
                return replace(entry, uri=uri, shown=None)
        return ResourceEntry(server=shelf.name, uri=uri, tags=shelf.server.tags)

    def _exact(self, index: Index[ResourceEntry], uri: str) -> ResourceEntry | None:
        if (entry := index.firm(uri)) is not None:
            return self._allowed(entry)
        sharers = index.sharers(uri)
        return self._one_of(uri, sharers) or (self._allowed(sharers[0]) if sharers else None)

    def _named(self, uri: str) -> ResourceEntry | None:
        """Return what `server:uri` says, if `server` is one."""
        server, colon, own = uri.partition(":")
        shelf = self._shelves.get(server) if colon and own else None
        return self._of(shelf, own) if shelf is not None else None

    def _made(self, uri: str) -> ResourceEntry | None:
        """Return which server has a template that the URI can have been made from."""
        found = [
            next((entry for entry in self.seen(shelf)[1] if matches(entry.uri, uri)), None)
            for shelf in self._shelves.values()
        ]
        one = self._one_of(uri, [entry for entry in found if entry is not None])
        return replace(one, uri=uri, shown=None) if one is not None else None

    def _one_of(self, uri: str, entries: list[ResourceEntry]) -> ResourceEntry | None:
        on = [entry for entry in entries if self._on(entry)]
        if len(on) > 1:
            order = list(self._shelves)
            servers = sorted((entry.server for entry in on), key=order.index)
            shown = _bare(uri)
            raise refusals.ambiguous(_CODE, "resource", shown, servers, [f"{server}:{shown}" for server in servers])
        return on[0] if on else None

    def _on(self, entry: ResourceEntry) -> bool:
        return self._switches.allow(entry.server, entry.tags)

    def _allowed(self, entry: ResourceEntry) -> ResourceEntry:
        if not self._on(entry):
            raise refusals.disabled(_CODE, "resource", _bare(entry.uri), entry.server)
        return entry

    def _unknown(self, uri: str) -> RouterError:
        offering = [
            shelf.name
            for shelf in self._shelves.values()
            if (shelf.resources or shelf.templates or shelf.listing is None)
            and self._switches.allow(shelf.name, shelf.server.tags)
        ]
        hint = f"say 'server:uri' to ask one of {refusals.listed(offering)}" if offering else "no server offers any"
        return error_for(_CODE, f"No server has said that it offers the resource {_bare(uri)[:128]!r}; {hint}")


def _bare(uri: str) -> str:
    """Return a URI without what may be secret in it: user info and query."""
    return _USER_INFO.sub("//", uri.partition("?")[0])
