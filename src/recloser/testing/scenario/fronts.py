"""What stands between a client and any server, our own or a user's: chaos policies, and a proxy before its port."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import SplitResult, urlsplit

from recloser.options import Server
from recloser.testing.chaos import ChaosPolicy
from recloser.testing.proxy import FaultProxy, Toxic
from recloser.testing.scenario.records import MARKED, Strike
from recloser.testing.scenario.tools import make_policy

__all__ = ["Fronts", "aims_at"]


def aims_at(strike: Strike, server: str, marked: frozenset[str]) -> bool:
    """Return whether a strike is meant for a server."""
    return server in strike.servers or (MARKED in strike.servers and server in marked)


def _host(parts: SplitResult) -> str:
    """Return what a client says as `Host` for a URL."""
    name = parts.hostname or ""
    name = f"[{name}]" if ":" in name else name.encode("idna").decode("ascii")
    return name if parts.port in (None, 80) else f"{name}:{parts.port}"


class Fronts:
    """The policies and proxies of one run; written by its own methods."""

    def __init__(self, strikes: Sequence[Strike], *, seed: int) -> None:
        self._strikes = strikes
        self._numbers = random.Random(f"{seed}:fronts")  # noqa: S311 - faults must be repeatable, not unguessable
        self._policies: dict[tuple[int, str], ChaosPolicy] = {}
        self._proxies: dict[str, FaultProxy] = {}
        self._toxics: dict[tuple[int, str], Toxic] = {}

    async def put(self, server: Server, marked: frozenset[str] = frozenset()) -> Server:
        """Return a server with all that the timeline needs before it; without effect where it needs nothing.

        Raises:
            ValueError: a policy's arguments are wrong, or a proxy cannot stand before this server.
        """
        mine = [each for each in self._strikes if aims_at(each, server.name, marked)]
        policies = []
        for strike in mine:
            if strike.kind == "policy":
                policy = make_policy(strike, seed=self._numbers.randrange(2**32))
                self._policies[id(strike), server.name] = policy
                policies.append(policy)
        if policies:
            server = replace(server, chaos=(*server.chaos, *policies))
        return await self._behind_proxy(server) if any(each.kind == "toxic" for each in mine) else server

    async def _behind_proxy(self, server: Server) -> Server:
        parts = urlsplit(server.url or "")
        if parts.scheme != "http" or parts.hostname is None:
            reached = "stdio" if server.url is None else "TLS, which names the server and not the proxy"
            raise ValueError(f"no proxy can stand before {server.name!r}: it is reached over {reached}; use a policy")
        proxy = FaultProxy(parts.hostname, parts.port or 80)
        await proxy.start()
        self._proxies[server.name] = proxy
        user, at, _ = parts.netloc.rpartition("@")
        through = parts._replace(netloc=f"{user}{at}{proxy.address}").geturl()
        # A server may serve the name alone that it is known by; what stands in between is none of its business.
        given = any(name.lower() == "host" for name in server.headers)
        headers = server.headers if given else {"Host": _host(parts), **server.headers}
        return replace(server, url=through, headers=headers)

    async def strike(self, strike: Strike, server: str) -> None:
        """Let a policy or a toxic begin."""
        if strike.kind == "policy":
            self._policies[id(strike), server].on()
        elif strike.name == "down":
            await self._proxies[server].down()
        else:
            more: dict[str, Any] = {"name": f"{strike.name} {id(strike)}", **strike.arguments}
            kind: Any = strike.name
            self._toxics[id(strike), server] = await self._proxies[server].add(kind, **more)

    async def heal(self, strike: Strike, server: str) -> None:
        """Let it end."""
        if strike.kind == "policy":
            self._policies[id(strike), server].off()
        elif strike.name == "down":
            await self._proxies[server].up()
        else:
            await self._toxics[id(strike), server].remove()

    def struck(self, strike: Strike, server: str) -> int:
        """Return how often a policy or a toxic that has begun has struck: calls, connections, or the port itself."""
        if strike.kind == "policy":
            return self._policies[id(strike), server].struck
        return 1 if strike.name == "down" else self._toxics[id(strike), server].struck

    async def close(self) -> None:
        """Stop all proxies."""
        for proxy in self._proxies.values():
            await proxy.stop()
