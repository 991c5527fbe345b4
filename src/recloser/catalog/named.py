"""From the name of a tool or prompt, in any of its forms, to its entry."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

from recloser.catalog import refusals
from recloser.catalog.bare import Holders, can_be_alias, can_be_bare
from recloser.catalog.entries import PromptEntry, ToolEntry
from recloser.catalog.index import Index
from recloser.catalog.kinds import Kind
from recloser.catalog.names import qualify, read_back
from recloser.catalog.shelf import Shelf
from recloser.catalog.switches import Switches
from recloser.errors import RouterError

__all__ = ["Named"]

E = TypeVar("E", bound=ToolEntry | PromptEntry)

_log = logging.getLogger("recloser")


class Named(Generic[E]):
    """All entries of one kind. Changed by the catalog alone.

    A qualified name, and a bare one that is shown, are firm: each belongs to one entry. `server.name` and a bare name
    that is not shown are aliases, good for as long as only one entry answers to them.
    """

    def __init__(
        self, kind: Kind[E], *, shelves: Mapping[str, Shelf], switches: Switches, holders: Holders | None
    ) -> None:
        self._kind = kind
        self._shelves = shelves
        self._switches = switches
        self.holders = holders
        """Who holds which bare name; None where qualified names are shown."""
        self._index: Index[E] = Index()

    def restock(self, shelf: Shelf) -> list[Shelf]:
        """Make a server's entries anew; return the other servers whose bare names have changed by that."""
        concerned = []
        if self.holders is not None:
            names = self.holders.offer(shelf.name, self._kind.entries(shelf), self._kind.offered(shelf))
            concerned = [other for name, other in self._shelves.items() if name in names]
        # A bare name may go from one server to another: all are taken out before the first is put in again.
        for each in (shelf, *concerned):
            self._remove(each)
        for each in (shelf, *concerned):
            self._put(each)
        return concerned

    def _remove(self, shelf: Shelf) -> None:
        entries = self._kind.entries(shelf)
        for entry in entries.values():
            self._index.drop(entry, *self._names(entry))
        entries.clear()

    def _put(self, shelf: Shelf) -> None:
        entries = self._kind.entries(shelf)
        for own in self._kind.offered(shelf):
            entry = self._kind.make(shelf, own, self.holders is not None and self.holders.holds(shelf.name, own))
            if self._index.firm(entry.qualified) is not None:
                # Two altered names with one hash: a server can construct that, but harms only its own tools by it.
                _log.warning("server %s: two %ss share the name %s", shelf.name, self._kind.what, entry.qualified)
                continue
            entries[own] = entry
            self._index.add(entry, *self._names(entry))

    def _names(self, entry: E) -> tuple[set[str], list[str]]:
        aliases = [f"{entry.server}.{entry.own}"]
        if can_be_alias(entry.own) and entry.name != entry.own:
            aliases.append(entry.own)
        return {entry.qualified, entry.name}, aliases

    def firm(self, name: str) -> E | None:
        """Return the entry that a firm name belongs to, switched off or not."""
        return self._index.firm(name)

    def seen(self, shelf: Shelf) -> list[E]:
        """Return a server's entries that are not switched off."""
        entries = list(self._kind.entries(shelf).values())
        return [entry for entry in entries if self._on(entry)] if self._switches.used else entries

    def shadowed(self, shelf: Shelf) -> tuple[str, ...]:
        """Return the bare names that a server's entries could not have because another server holds them."""
        if self.holders is None:
            return ()
        return tuple(entry.own for entry in self.seen(shelf) if entry.name != entry.own and can_be_bare(entry.own))

    def find(self, name: str, server: str | None = None) -> E:
        """Return the entry that a name means; `server` says whose it is, whatever the name alone would mean.

        Raises:
            CriticalError: nobody offers it, several do, it is switched off, or the server is not known.
        """
        if server is not None:
            return self._allowed(self._at(name, server))
        if (entry := self._index.firm(name)) is not None:
            return self._allowed(entry)
        sharers = self._index.sharers(name)
        allowed = [entry for entry in sharers if self._on(entry)]
        if allowed and "." in name:
            allowed += self._awaited(name)
        if len(allowed) > 1:
            raise self._ambiguous(name, allowed)
        if sharers:
            return self._allowed((allowed or sharers)[0])
        if (entry := self._expected(name) or self._only_one_left(name)) is not None:
            return self._allowed(entry)
        raise self._unknown(name)

    def called(self, name: str) -> E:
        """Return the entry that an operator means by a name that is not firm, switched off or not.

        Raises:
            CriticalError: nobody offers it, or several do.
        """
        sharers = self._index.sharers(name)
        if len(sharers) > 1:
            raise self._ambiguous(name, sharers)
        entry = sharers[0] if sharers else self._expected(name)
        if entry is None:
            raise self._unknown(name)
        return entry

    def _expected(self, name: str) -> E | None:
        """Return the entry of a name that says itself which server has it, where that is still to be listed."""
        for shelf in self._unlisted():
            if (own := read_back(name, shelf.name)) is not None:
                return self._kind.guess(shelf, name, own)
        # A server's name may hold dots: the longest one that fits is meant.
        dotted = [shelf for shelf in self._unlisted() if name.startswith(shelf.name + ".")]
        if not dotted:
            return None
        shelf = max(dotted, key=lambda shelf: len(shelf.name))
        own = name[len(shelf.name) + 1 :]
        return self._kind.guess(shelf, qualify(shelf.name, own), own)

    def _awaited(self, name: str) -> list[E]:
        """Return the entry that a dotted name means of a server that has never been listed.

        It may have it: until that is known, no tool that another server calls so takes its place.
        """
        meant = self._expected(name)
        never = meant is not None and self._shelves[meant.server].listing is None
        return [meant] if meant is not None and never and self._on(meant) else []

    def _only_one_left(self, name: str) -> E | None:
        """Return the entry of a bare name that just one server can have: the only one that has not been listed yet.

        Unavailable must not look like non-existent; where several are left, the refusal names them.
        """
        left = [shelf for shelf in self._unlisted() if self._switches.allow(shelf.name, shelf.server.tags)]
        if len(left) != 1 or not can_be_alias(name):
            return None
        if any(name.startswith(known + ".") for known in self._shelves):
            return None
        return self._kind.guess(left[0], qualify(left[0].name, name), name)

    def _at(self, name: str, server: str) -> E:
        shelf = self._shelves.get(server)
        if shelf is None:
            raise refusals.unknown_server(server, self._shelves)
        entries = self._kind.entries(shelf)
        dotted = name[len(server) + 1 :] if name.startswith(server + ".") else None
        for own in (name, dotted):
            if own is not None and own in entries:
                return entries[own]
        entry = self._index.firm(name)
        if entry is not None and entry.server == server:
            return entry
        if not shelf.confirmed:
            own = read_back(name, server)
            qualified = name if own is not None else qualify(server, dotted or name)
            if (guessed := self._kind.guess(shelf, qualified, own or dotted or name)) is not None:
                return guessed
        raise refusals.unknown(self._kind.code, self._kind.what, name, [*entries], server=server)

    def _unlisted(self) -> Iterator[Shelf]:
        return (shelf for shelf in self._shelves.values() if not shelf.confirmed)

    def _on(self, entry: E) -> bool:
        tool = entry.own if isinstance(entry, ToolEntry) else None
        return self._switches.allow(entry.server, entry.tags, tool)

    def _allowed(self, entry: E) -> E:
        if not self._on(entry):
            raise refusals.disabled(self._kind.code, self._kind.what, entry.own, entry.server)
        return entry

    def _ambiguous(self, name: str, entries: list[E]) -> RouterError:
        order = list(self._shelves)
        entries = sorted(entries, key=lambda entry: order.index(entry.server))
        servers = dict.fromkeys(entry.server for entry in entries)
        ways = [entry.qualified for entry in entries]
        return refusals.ambiguous(self._kind.code, self._kind.what, name, servers, ways)

    def _unknown(self, name: str) -> RouterError:
        left = [shelf.name for shelf in self._unlisted() if self._switches.allow(shelf.name, shelf.server.tags)]
        note = f" (not listed so far, and may have it: {refusals.listed(left)})" if left else ""
        known = [entry.name for shelf in self._shelves.values() for entry in self.seen(shelf)]
        return refusals.unknown(self._kind.code, self._kind.what, name, known, server=None, note=note)
