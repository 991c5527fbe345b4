"""Who holds a bare name, where the catalog shows tools under their own names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from recloser.options import Server

__all__ = ["Holders", "NamesCollideError", "can_be_alias", "can_be_bare"]


class NamesCollideError(ValueError):
    """Servers of equal priority offer a tool of one name, where tools are shown under their own names."""

    hint = "set a priority, exclude one, or show qualified names"

    def __init__(self, disputes: Sequence[tuple[str, str, str]]) -> None:
        said = "; ".join(f"{own!r} is a tool of both {one!r} and {other!r}" for own, one, other in disputes[:3])
        more = f"; and {len(disputes) - 3} more" if len(disputes) > 3 else ""
        self.what = f"bare names collide: {said}{more}"
        """What collides, without what to do about it."""
        super().__init__(f"{self.what}; {self.hint}")


def can_be_alias(own: str) -> bool:
    """Return whether a name may stand for itself where it is unique: one with `__` looks like a qualified name."""
    return bool(own) and "__" not in own


def can_be_bare(own: str) -> bool:
    """Return whether a name may be shown as it is, and so belong to one entry, whoever else comes.

    One with a dot may not: it could be `server.name` of another server, now or once there is one.
    """
    return can_be_alias(own) and "." not in own


class Holders:
    """Which server holds each bare name.

    Changed by the catalog alone. Until `settle()` the highest priority holds a name, then the order of configuration;
    afterwards a holder keeps its name for as long as it offers it.
    """

    def __init__(self, servers: Mapping[str, Server]) -> None:
        self._servers = servers
        """The catalog's own mapping, in the order of configuration."""
        self._offers: dict[str, set[str]] = {}
        self._held: dict[str, str] = {}
        self.settled = False
        """Whether the start is over; written by `settle`."""

    def holds(self, server: str, own: str) -> bool:
        """Return whether a server's tool is shown under its own name."""
        return self._held.get(own) == server

    def offer(self, server: str, before: Iterable[str], after: Iterable[str]) -> set[str]:
        """Note which names a server offered before and offers now; return the other servers that this concerns."""
        old, new = set(filter(can_be_bare, before)), set(filter(can_be_bare, after))
        for own in old - new:
            self._offers[own].discard(server)
        for own in new - old:
            self._offers.setdefault(own, set()).add(server)
        concerned: set[str] = set()
        for own in old ^ new:
            earlier = self._held.get(own)
            self._decide(own)
            concerned.update(name for name in (earlier, self._held.get(own)) if name is not None)
        return concerned - {server}

    def _decide(self, own: str) -> None:
        offers = self._offers[own]
        if not offers:
            del self._offers[own]
            self._held.pop(own, None)
        elif len(offers) == 1:
            (self._held[own],) = offers
        elif not (self.settled and self._held.get(own) in offers):
            self._held[own] = self._ranked(offers)[0]

    def _ranked(self, offers: set[str]) -> list[str]:
        in_order = [name for name in self._servers if name in offers]
        return sorted(in_order, key=lambda name: -self._servers[name].priority)

    def disputes(self) -> list[tuple[str, str, str]]:
        """Return each bare name that priority does not decide, with two servers that offer it; none once settled."""
        found: list[tuple[str, str, str]] = []
        if self.settled:
            return found
        for own, offers in self._offers.items():
            if len(offers) > 1:
                first, second = self._ranked(offers)[:2]
                if self._servers[first].priority == self._servers[second].priority:
                    found.append((own, first, second))
        return found

    def settle(self) -> None:
        """End the start: from now on holders keep their names."""
        self.settled = True
