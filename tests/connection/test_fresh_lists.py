"""All that a server offers: fetched at the start, and again when it expires."""

import asyncio

import pytest
from connection_kit import ERAS, everything, names, now, refuses, watched

from recloser import RouterError, Server, Timeouts
from recloser.connection.lists import LONGEST_TTL, MAX_PAGES
from recloser.testing.clock import run_virtual
from recloser.testing.faulty import FaultyHttp
from support.peers import Peer, Silence, tool

LISTS = ("tools/list", "resources/list", "resources/templates/list", "prompts/list")


# --- the walk


@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_every_page_of_every_list_is_fetched(era):
    async def main():
        async with FaultyHttp(era=era, extra=12, page=2) as faulty, watched(Server("peer", faulty.url)) as seen:
            await seen.connection.ready()
            [listing] = seen.listings
            assert len(listing.tools) == 11 + 12
            assert len(set(names(listing))) == len(listing.tools)
            assert listing.resources and listing.templates and listing.prompts
            assert listing.instructions == ("Be careful." if era == "legacy" else None)

    asyncio.run(main())


def test_lists_that_a_server_says_it_does_not_have_are_not_asked_for():
    async def main():
        peer = Peer()
        peer.capabilities = {}
        async with watched(peer.server()) as seen:
            await seen.connection.ready()
            assert not set(peer.methods) & set(LISTS)
            assert seen.listings[0].tools == ()

    run_virtual(main)


@pytest.mark.parametrize("same", [True, False], ids=["in-a-circle", "for-ever"])
def test_pages_without_end_come_to_one(same, caplog):
    async def main():
        async def endless(line, params):
            number = int(params.get("cursor", "0"))
            return {"tools": [tool(f"t{number}")], "nextCursor": "1" if same else str(number + 1)}

        peer = Peer(on={"tools/list": endless})
        async with watched(peer.server()) as seen:
            await seen.connection.ready()
            assert len(seen.listings[0].tools) == (2 if same else MAX_PAGES)

    run_virtual(main)
    assert "never ends" in caplog.text


@pytest.mark.parametrize("refused", [True, False], ids=["refused", "page-1-again"])
@ERAS
def test_an_empty_cursor_is_the_end_of_a_list(modern, refused, caplog):
    async def once(line, params):
        if "cursor" in params and refused:
            await refuses(-32602)(line, params)
        return {"tools": [tool("echo")], "nextCursor": ""}

    async def main():
        peer = Peer(modern=modern, legacy=not modern, on={"tools/list": once})
        async with watched(peer.server()) as seen:
            await seen.connection.ready()
            assert names(seen.listings[0]) == ["echo"]
            assert peer.methods.count("tools/list") == 1

    run_virtual(main)
    assert "never ends" not in caplog.text


@pytest.mark.parametrize("method", ["resources/list", "resources/templates/list", "prompts/list"])
@ERAS
def test_an_optional_list_that_is_refused_is_empty(modern, method, caplog):
    async def main():
        peer = everything(modern=modern, on={method: refuses(-32601)})
        async with watched(peer.server()) as seen:
            await seen.connection.ready()
            assert names(seen.listings[0]) == ["echo"]

    run_virtual(main)
    assert f"refuses {method}" in caplog.text


@pytest.mark.parametrize("method", LISTS)
def test_a_list_that_a_fault_cuts_short_fails_the_start(method):
    async def main():
        async with FaultyHttp() as faulty:
            faulty.fault("status_503", on=method, times=1)
            async with watched(Server("peer", faulty.url)) as seen:
                with pytest.raises(RouterError) as caught:
                    await seen.connection.ready()
                assert caught.value.payload.code == "server_error"
                assert caught.value.payload.delivered == "no"
                assert seen.listings == []
                await seen.connection.ready()
                assert len(seen.listings) == 1

    asyncio.run(main())


@pytest.mark.parametrize("code", [-32000, -32001])
def test_an_optional_list_during_which_the_connection_ends_fails_the_start(code):
    async def main():
        peer = everything(on={"prompts/list": refuses(code)})
        async with watched(peer.server()) as seen:
            with pytest.raises(RouterError):
                await seen.connection.ready()

    run_virtual(main)


def test_tools_that_are_refused_fail_the_start():
    async def main():
        peer = Peer(on={"tools/list": refuses(-32603)})
        async with watched(peer.server()) as seen:
            with pytest.raises(RouterError) as caught:
                await seen.connection.ready()
            assert caught.value.payload.code == "server_fault"

    run_virtual(main)


# --- again, when they expire


def expiring(peer, milliseconds):
    async def listed(line, params):
        return {"tools": peer.tools, "ttlMs": milliseconds}

    peer.on["tools/list"] = listed
    return peer


def test_lists_are_fetched_again_when_they_have_outlived_their_ttl():
    async def main():
        peer = expiring(Peer(), 60_000)
        async with watched(peer.server()) as seen:
            await seen.connection.ready()
            begun = now()
            await asyncio.sleep(59)
            assert len(seen.listings) == 1
            assert seen.listings[0].expires_at == begun + 60
            await asyncio.sleep(2)
            assert len(seen.listings) == 2
            await asyncio.sleep(60)
            assert len(seen.listings) == 3

    run_virtual(main)


@pytest.mark.parametrize("milliseconds", [10**11, 10**331], ids=["years", "beyond any float"])
def test_lists_that_may_be_kept_for_ever_are_fetched_again_after_a_day(milliseconds):
    async def main():
        async with watched(expiring(Peer(), milliseconds).server()) as seen:
            await seen.connection.ready()
            begun = now()
            assert seen.listings[0].expires_at == begun + LONGEST_TTL
            await asyncio.sleep(LONGEST_TTL - 1)
            assert len(seen.listings) == 1
            await asyncio.sleep(2)
            assert len(seen.listings) == 2

    run_virtual(main)


def test_a_ttl_of_a_moment_does_not_make_an_endless_walk():
    async def main():
        peer = expiring(Peer(), 1)
        async with watched(peer.server()) as seen:
            await seen.connection.ready()
            await asyncio.sleep(100)
            assert 15 <= len(seen.listings) <= 21

    run_virtual(main)


def test_lists_without_a_ttl_are_left_alone():
    async def main():
        peer = Peer()
        async with watched(peer.server()) as seen:
            await seen.connection.ready()
            await asyncio.sleep(10_000)
            assert len(seen.listings) == 1

    run_virtual(main)


def test_a_refresh_that_fails_leaves_the_last_good_lists_and_is_tried_again(caplog):
    async def main():
        peer = expiring(Peer(), 60_000)
        async with watched(peer.server()) as seen:
            await seen.connection.ready()
            good = peer.on["tools/list"]
            peer.on["tools/list"] = refuses(-32603)
            await asyncio.sleep(72)
            assert len(seen.listings) == 1
            assert seen.connection.number == 1
            peer.on["tools/list"] = good
            await asyncio.sleep(5)
            assert len(seen.listings) == 2

    run_virtual(main)
    assert "could not be refreshed: MCPError" in caplog.text


def test_a_refresh_that_hangs_is_given_up(caplog):
    async def main():
        peer = expiring(Peer(), 60_000)
        async with watched(peer.server(timeouts=Timeouts(start=10))) as seen:
            await seen.connection.ready()
            good = peer.on["tools/list"]

            async def hangs(line, params):
                raise Silence

            peer.on["tools/list"] = hangs
            await asyncio.sleep(61)
            peer.on["tools/list"] = good
            await asyncio.sleep(15)
            assert len(seen.listings) == 2

    run_virtual(main)
    assert "could not be refreshed: TimeoutError" in caplog.text
