"""Lists that a server says have changed: whoever is told fetches them again, but not without end."""

import asyncio

import pytest
from connection_kit import everything, names, refuses, watched

from recloser import Server
from recloser.testing.clock import run_virtual
from recloser.testing.faulty import FaultyHttp
from support.http_faults import FaultServer
from support.peers import ALL, Peer, tool

CHANGED = "notifications/tools/list_changed"


@pytest.mark.parametrize("kind", ["tools", "resources", "prompts"])
def test_a_legacy_server_that_says_its_lists_have_changed_is_listed_again(kind):
    async def main():
        peer = everything(modern=False)
        async with watched(peer.server()) as seen:
            await seen.connection.ready()
            peer.tools.append(tool("new"))
            peer.line.notify(f"notifications/{kind}/list_changed")
            await asyncio.sleep(1)
            assert names(seen.listings[-1]) == ["echo", "new"]
            assert len(seen.listings) == 2

    run_virtual(main)


def test_a_flood_of_changes_becomes_one_walk():
    async def main():
        peer = everything(modern=False)
        async with watched(peer.server()) as seen:
            await seen.connection.ready()
            for _ in range(500):
                peer.line.notify(CHANGED)
            await asyncio.sleep(10)
            assert len(seen.listings) == 2

    run_virtual(main)


def test_changes_without_a_pause_do_not_put_the_walk_off_for_ever():
    async def main():
        peer = everything(modern=False)
        async with watched(peer.server()) as seen:
            await seen.connection.ready()
            for _ in range(100):
                peer.line.notify(CHANGED)
                await asyncio.sleep(0.1)
            assert 10 < len(seen.listings) <= 51

    run_virtual(main)


def listening(peer, *, close_after=None):
    """Let a modern peer hold subscriptions; `close_after` ends each gracefully after so many seconds."""
    peer.subscriptions = []

    async def listens(line, params):
        meta = {"io.modelcontextprotocol/subscriptionId": line.seen[-1].id}
        peer.subscriptions.append((line, meta))
        line.notify(
            "notifications/subscriptions/acknowledged", {"notifications": params["notifications"], "_meta": meta}
        )
        if close_after is None:
            await asyncio.Event().wait()
        await asyncio.sleep(close_after)
        return {"_meta": meta}

    peer.on["subscriptions/listen"] = listens
    peer.capabilities = ALL
    return peer


def announce(peer, method=CHANGED):
    line, meta = peer.subscriptions[-1]
    line.notify(method, {"_meta": meta})


def test_a_modern_server_is_subscribed_to_and_listed_again_when_it_says_so():
    async def main():
        peer = listening(Peer())
        async with watched(peer.server()) as seen:
            await seen.connection.ready()
            await asyncio.sleep(1)
            assert len(peer.subscriptions) == 1
            peer.tools.append(tool("new"))
            for _ in range(50):
                announce(peer)
            await asyncio.sleep(1)
            assert names(seen.listings[-1]) == ["echo", "new"]
            assert len(seen.listings) == 2

    run_virtual(main)


def test_a_modern_http_server_is_subscribed_to():
    async def main():
        async with FaultyHttp(era="modern") as faulty, watched(Server("peer", faulty.url)) as seen:
            await seen.connection.ready()
            while not faulty.server.core._listeners:
                await asyncio.sleep(0.005)
            faulty.extra = 1
            faulty.announce(CHANGED)
            while len(seen.listings) < 2:
                await asyncio.sleep(0.01)
            assert "extra_1" in names(seen.listings[-1])

    asyncio.run(main())


@pytest.mark.parametrize("code", [-32601, -32602, -32600])
def test_a_modern_server_that_has_no_subscriptions_is_left_alone(code):
    async def main():
        peer = everything(on={"subscriptions/listen": refuses(code)})
        async with watched(peer.server()) as seen:
            await seen.connection.ready()
            await asyncio.sleep(1000)
            assert peer.methods.count("subscriptions/listen") == 1
            assert len(seen.listings) == 1

    run_virtual(main)


def test_a_modern_server_that_announces_no_changes_is_not_subscribed_to():
    async def main():
        peer = Peer()
        async with watched(peer.server()) as seen:
            await seen.connection.ready()
            await asyncio.sleep(10)
            assert "subscriptions/listen" not in peer.methods

    run_virtual(main)


def test_a_subscription_that_ends_after_a_while_is_asked_for_again_and_the_lists_with_it():
    async def main():
        peer = listening(Peer(), close_after=100)
        async with watched(peer.server()) as seen:
            await seen.connection.ready()
            await asyncio.sleep(104)
            assert len(peer.subscriptions) == 1
            await asyncio.sleep(2)
            assert len(peer.subscriptions) == 2
            assert len(seen.listings) == 2

    run_virtual(main)


@pytest.mark.parametrize("how", ["closed", "refused"])
def test_a_subscription_that_ends_at_once_each_time_is_asked_for_less_and_less_often(how):
    async def main():
        peer = listening(Peer(), close_after=0)
        if how == "refused":
            peer.on["subscriptions/listen"] = refuses(-32603)
        async with watched(peer.server()) as seen:
            await seen.connection.ready()
            await asyncio.sleep(3600)
            assert 10 <= peer.methods.count("subscriptions/listen") <= 18
            assert len(seen.listings) <= 18

    run_virtual(main)


def test_a_subscription_that_is_lost_is_asked_for_again():
    async def main():
        peer = listening(Peer())
        async with watched(peer.server()) as seen:
            await seen.connection.ready()
            await asyncio.sleep(60)
            line, meta = peer.subscriptions[0]
            line.notify("notifications/cancelled", {"requestId": meta["io.modelcontextprotocol/subscriptionId"]})
            await asyncio.sleep(6)
            assert len(peer.subscriptions) == 2
            assert len(seen.listings) == 2

    run_virtual(main)


def test_over_http_lists_are_fetched_again_whenever_the_stream_that_tells_of_them_was_cut():
    tools = []

    async def cut(exchange):
        tools.append(tool(f"new{len(tools)}"))
        await exchange.events(": hello")
        exchange.close()

    async def listed(exchange):
        await exchange.result({"tools": tools})

    async def main():
        on = {"GET": cut, "tools/list": listed}
        async with (
            FaultServer(session=True, on=on) as server,
            watched(Server("peer", server.url, era="legacy")) as seen,
        ):
            await seen.connection.ready()
            await asyncio.sleep(10)
            assert names(seen.listings[-1])[:3] == ["new0", "new1", "new2"]

    run_virtual(main, grace=0.05)
