"""Names of hosts: one that cannot be looked up holds up no other; the first of its addresses that answers is taken."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from typing import Any

import httpcore2
import pytest
from http_kit import call, facts, transport
from mcp import MCPError
from mcp.client import ClientSession

from recloser.facts import HttpFacts
from recloser.testing.clock import run_virtual
from recloser.transport import dialing
from support.http_faults import FaultServer, open_session
from support.names import Resolver, resolving

REAL = 0.05
"""Real seconds that threads and sockets have before time jumps."""
UNREACHED = HttpFacts(kind="transport", sent=False, exception="httpx2.ConnectError")


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Resolver]:
    with resolving(monkeypatch) as made:
        yield made


async def ask(url: str, **options: Any) -> None:
    """Open a session and close it."""
    async with transport(url, **options) as (read, write), ClientSession(read, write) as session:
        await session.initialize()


async def unanswered(url: str, **options: Any) -> HttpFacts:
    async with transport(url, **options) as (read, write), ClientSession(read, write) as session:
        with pytest.raises(MCPError) as caught:
            await session.initialize()
        return facts(caught.value)


def test_a_name_that_hangs_holds_one_thread_and_no_other_name(resolver: Resolver) -> None:
    async def main() -> None:
        async with FaultServer() as server:
            sick = [
                asyncio.create_task(unanswered(f"http://sick.test:{port}/mcp", connect_timeout=60))
                for port in range(80, 120)
            ]
            while ("sick.test", "recloser look-up") not in resolver.asked:
                await asyncio.sleep(0)
            well = server.url.replace("127.0.0.1", "well.test")
            async with open_session(transport(well), "legacy") as session:
                assert (await call(session, "next")).content
            assert [name for name, _ in resolver.asked].count("sick.test") == 1
            resolver.let.set()
            assert await asyncio.gather(*sick) == [UNREACHED] * len(sick)

    asyncio.run(main())


def test_a_name_that_was_looked_up_is_looked_up_anew_for_the_next_connection(resolver: Resolver) -> None:
    async def main() -> None:
        resolver.let.set()
        for _ in range(2):
            assert await unanswered("http://sick.test/mcp") == UNREACHED
        assert len(resolver.asked) == 2

    asyncio.run(main())


def test_a_name_that_hangs_ends_with_the_connect_timeout_and_its_thread_hinders_no_loop(resolver: Resolver) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        found = await unanswered("http://sick.test/mcp", connect_timeout=2.0)
        assert found == HttpFacts(kind="transport", sent=False, exception="httpx2.ConnectTimeout")
        assert loop.time() == 2.0

    run_virtual(main, grace=REAL)
    run_virtual(main, grace=REAL)  # another loop does not wait for the first one's look-up
    assert len(resolver.asked) == 2


def test_a_proxys_name_is_looked_up_in_the_same_way(resolver: Resolver, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with FaultServer() as server:
            monkeypatch.setenv("HTTP_PROXY", f"http://proxy.test:{server.port}")
            monkeypatch.setenv("NO_PROXY", "elsewhere.test")
            await ask("http://beyond.test/mcp")
            assert resolver.asked == [("proxy.test", "recloser look-up")]

    asyncio.run(main())


V4, V6 = socket.AF_INET, socket.AF_INET6


def entry(family: int, *where: Any) -> tuple[Any, ...]:
    return (family, socket.SOCK_STREAM, 6, "", where)


@pytest.mark.parametrize(
    ("found", "tried"),
    [
        ([entry(V4, "192.0.2.1", 0)], ["192.0.2.1"]),
        (
            [entry(V4, "192.0.2.1", 0), entry(V4, "192.0.2.2", 0), entry(V6, "2001:db8::1", 0, 0, 0)],
            ["2001:db8::1", "192.0.2.1", "192.0.2.2"],
        ),
        (
            [
                entry(V6, "2001:db8::1", 0, 0, 0),
                entry(V6, "2001:db8::2", 0, 0, 0),
                entry(V4, "192.0.2.1", 0),
                entry(V4, "192.0.2.2", 0),
            ],
            ["2001:db8::1", "192.0.2.1", "2001:db8::2", "192.0.2.2"],
        ),
        ([entry(V6, "fe80::1", 0, 0, 3), entry(V6, "fe80::2%eth0", 0, 0, 2)], ["fe80::1%3", "fe80::2%eth0"]),
        ([entry(V6, 10, b"\0"), entry(V4, "192.0.2.1", 0)], ["192.0.2.1"]),
    ],
)
def test_addresses_are_tried_in_the_order_of_happy_eyeballs(found: Any, tried: list[str]) -> None:
    assert dialing.ordered(found) == tried


class Stream(httpcore2.AsyncNetworkStream):
    def __init__(self) -> None:
        self.closed = False

    async def aclose(self) -> None:
        self.closed = True


class Addresses:
    """What each address does when it is connected to, and when that was tried."""

    def __init__(self, **does: Any) -> None:
        self.does = does
        self.tried: dict[str, float] = {}
        self.streams: dict[str, Stream] = {}

    async def __call__(self, address: str) -> Stream:
        self.tried[address] = asyncio.get_running_loop().time()
        does = self.does[address]
        if isinstance(does, Exception):
            raise does
        await does()
        self.streams[address] = made = Stream()
        return made


async def at_once() -> None:
    pass


async def never() -> None:
    await asyncio.Event().wait()


REFUSED = httpcore2.ConnectError("refused")


def test_a_second_address_is_tried_beside_one_that_is_silent() -> None:
    async def main() -> None:
        connect = Addresses(a=never, b=at_once, c=at_once)
        assert await dialing._first(["a", "b", "c"], connect) is connect.streams["b"]
        assert connect.tried == {"a": 0.0, "b": dialing.NEXT}

    run_virtual(main)


def test_an_address_that_refuses_is_followed_by_the_next_at_once() -> None:
    async def main() -> None:
        connect = Addresses(a=REFUSED, b=at_once)
        assert await dialing._first(["a", "b"], connect) is connect.streams["b"]
        assert connect.tried == {"a": 0.0, "b": 0.0}

    run_virtual(main)


@pytest.mark.parametrize("addresses", [["a"], ["a", "a"], []])
def test_a_name_none_of_whose_addresses_answers_is_told(addresses: list[str]) -> None:
    async def main() -> None:
        with pytest.raises(httpcore2.ConnectError, match="no address"):
            await dialing._first(addresses, Addresses(a=REFUSED))

    run_virtual(main)


def test_of_two_addresses_that_answer_at_the_same_moment_one_is_closed_again() -> None:
    async def main() -> None:
        gate = asyncio.get_running_loop().create_future()

        async def both() -> None:
            await asyncio.shield(gate)

        asyncio.get_running_loop().call_later(1, gate.set_result, None)
        connect = Addresses(a=both, b=both)
        first = await dialing._first(["a", "b"], connect)
        assert first is connect.streams["a"]
        assert [stream.closed for stream in connect.streams.values()] == [False, True]

    run_virtual(main)


def test_a_connection_that_comes_when_nobody_waits_any_more_is_closed() -> None:
    async def main() -> None:
        async def leave() -> None:
            dialling.cancel()

        connect = Addresses(a=leave)
        dialling = asyncio.create_task(dialing._first(["a"], connect))
        with pytest.raises(asyncio.CancelledError):
            await dialling
        assert connect.streams["a"].closed

    run_virtual(main)
