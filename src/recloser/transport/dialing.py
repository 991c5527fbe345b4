"""Connections to names, where a name that cannot be looked up holds up nobody else.

An event loop looks names up in a few threads that everything else shares, and a look-up that hangs keeps its thread
until the resolver gives up, whether anybody still waits or not: some calls to one sick server, and no other server's
name is looked up any more. Here every name that is being looked up has one thread of its own, for all who want it.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from functools import partial
from ipaddress import ip_address
from threading import Thread
from typing import Any, Final
from weakref import WeakKeyDictionary

import anyio
import httpcore2
import httpx2

__all__ = ["dial_by_name", "ordered"]

NEXT: Final = 0.25
"""Seconds before the next address of a name is tried beside the last one (RFC 6555), as anyio does it."""

Connect = Callable[[str], Awaitable[httpcore2.AsyncNetworkStream]]
_Found = list[tuple[Any, ...]] | Exception

# The names that are being looked up, by the loop that waits for them. Written in the loop, by `_addresses`.
_UNDER_WAY: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, asyncio.Future[_Found]]]] = WeakKeyDictionary()


def dial_by_name(transport: httpx2.AsyncHTTPTransport) -> None:
    """Let a transport look names up in threads of their own, that of its proxy too."""
    transport._pool._network_backend = _Backend()  # noqa: SLF001 - httpx2 has no way to hand it on


class _Backend(httpcore2.AsyncNetworkBackend):
    def __init__(self) -> None:
        self._inner: Any = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Connect to an address, or to whichever of a name's addresses answers first.

        Raises:
            ConnectTimeout: nothing answered in time.
            ConnectError: the name has no address, or none of them can be reached.
        """
        connect: Connect = partial(
            self._inner.connect_tcp, port=port, local_address=local_address, socket_options=socket_options
        )
        try:
            with anyio.fail_after(timeout):
                return await _first([host] if _is_address(host) else ordered(await _addresses(host)), connect)
        except TimeoutError as error:
            raise httpcore2.ConnectTimeout(str(error)) from error


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


async def _addresses(host: str) -> list[tuple[Any, ...]]:
    """Return what `socket.getaddrinfo` says about a name, by the look-up that is under way if there is one."""
    loop = asyncio.get_running_loop()
    under_way = _UNDER_WAY.setdefault(loop, {})
    answer = under_way.get(host)
    if answer is None:
        answer = loop.create_future()

        def found(what: _Found) -> None:
            under_way.pop(host).set_result(what)

        # A daemon: the end of the program must not wait for a resolver.
        Thread(target=_look_up, args=(host, loop, found), name="recloser look-up", daemon=True).start()
        under_way[host] = answer
    what = await asyncio.shield(answer)
    if isinstance(what, Exception):
        raise httpcore2.ConnectError(str(what)) from what
    return what


def _look_up(host: str, loop: asyncio.AbstractEventLoop, found: Callable[[_Found], None]) -> None:
    what: _Found
    try:
        what = socket.getaddrinfo(host.encode("ascii"), None, type=socket.SOCK_STREAM)
    except Exception as error:  # noqa: BLE001 - handed to whoever waits
        what = error
    with suppress(RuntimeError):  # the loop has been closed
        loop.call_soon_threadsafe(found, what)


def ordered(found: list[tuple[Any, ...]]) -> list[str]:
    """Return the addresses in the order in which they are tried: first one of each kind, IPv6 before IPv4."""
    addresses: list[str] = []
    newest = second = False
    for family, _, _, _, where in found:
        address = where[0]
        if not isinstance(address, str):
            continue  # IPv6, where Python was built without it
        if family == socket.AF_INET6 and where[3] and "%" not in address:
            address = f"{address}%{where[3]}"  # of one link only: the number says which
        if family == socket.AF_INET6 and not newest:
            newest = True
            addresses.insert(0, address)
        elif family == socket.AF_INET and newest and not second:
            second = True
            addresses.insert(1, address)
        else:
            addresses.append(address)
    return addresses


async def _first(addresses: list[str], connect: Connect) -> httpcore2.AsyncNetworkStream:
    """Return a connection to the address that answers first; each is tried when the one before has had a moment."""
    streams: list[httpcore2.AsyncNetworkStream] = []
    failures: list[Exception] = []

    async def attempt(address: str, over: asyncio.Event) -> None:
        try:
            streams.append(await connect(address))
            group.cancel_scope.cancel()
        except httpcore2.ConnectError as error:
            failures.append(error)
        finally:
            over.set()

    try:
        async with anyio.create_task_group() as group:
            for address in addresses:
                over = asyncio.Event()
                group.start_soon(attempt, address, over)
                with anyio.move_on_after(NEXT):
                    await over.wait()
        first = streams.pop(0) if streams else None
    finally:
        for late in streams:  # which came at the same moment, or when nobody waited any more
            await late.aclose()
    if first is None:
        raise httpcore2.ConnectError("no address of the name can be reached") from next(iter(failures), None)
    return first
