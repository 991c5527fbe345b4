"""Calls do not hang on what a server lists."""

import asyncio

import pytest
from connection_kit import watched

from recloser import Router, RouterError, Timeouts, error_of
from recloser.connection import Callbacks, Connection
from recloser.connection.generation import ADMIT
from recloser.testing.clock import run_virtual
from support.peers import Peer, Silence, tool


class Slow:
    """Answers `tools/list` after so many seconds, or never."""

    def __init__(self, after=None, tools=("echo",)):
        self.after = after
        self.tools = tools
        self.asked = 0

    async def __call__(self, line, params):
        self.asked += 1
        if self.after is None:
            raise Silence
        await asyncio.sleep(self.after)
        return {"tools": [tool(name) for name in self.tools]}


async def hangs(line, params):
    raise Silence


def now():
    return asyncio.get_running_loop().time()


@pytest.mark.parametrize("era", ["modern", "legacy"])
def test_a_call_is_sent_while_the_lists_are_long_in_coming(era):
    async def main():
        peer = Peer(modern=era == "modern", on={"tools/list": Slow()})
        async with watched(peer.server()) as seen:
            assert await seen.call(arguments={"text": "hello"}) == "hello"
            assert now() == ADMIT
            assert await seen.call(arguments={"text": "again"}) == "again"
            return now(), tuple(seen.states)

    assert run_virtual(main) == (ADMIT, ("connecting",))


def test_lists_that_come_in_time_are_waited_for():
    async def main():
        async with watched(Peer(on={"tools/list": Slow(after=ADMIT / 2)}).server()) as seen:
            assert await seen.call(arguments={"text": "hello"}) == "hello"
            assert len(seen.listings) == 1
            return now(), tuple(seen.states)

    assert run_virtual(main) == (ADMIT / 2, ("connecting", "ready"))


def test_who_needs_the_lists_waits_for_them():
    async def main():
        async with watched(Peer(on={"tools/list": Slow(after=10.0)}).server()) as seen:
            await seen.connection.ready()
            assert len(seen.listings) == 1
            return now(), tuple(seen.states)

    assert run_virtual(main) == (10.0, ("connecting", "ready"))


def test_a_session_that_takes_calls_is_not_given_up_for_its_lists():
    slow = Slow()

    async def main():
        async with watched(Peer(on={"tools/list": slow}).server(timeouts=Timeouts(start=5.0))) as seen:
            calling = asyncio.create_task(seen.call(arguments={"text": "hello"}))
            for _ in range(2):
                with pytest.raises(RouterError, match="has not told within 5 s what it offers"):
                    await seen.connection.ready()
                assert now() == 5.0
            assert seen.listings == []
            assert await calling == "hello"
            slow.after = 1.0
            while not seen.listings:
                await asyncio.sleep(1.0)
            await seen.connection.ready()
            return tuple(seen.states), seen.connection.number

    assert run_virtual(main) == (("connecting", "ready"), 1)
    assert slow.asked >= 2


def test_a_required_server_that_never_tells_what_it_offers_is_not_ready():
    async def main():
        server = Peer(on={"tools/list": Slow()}).server(required=True, timeouts=Timeouts(start=5.0))
        with pytest.raises(RouterError, match="has not told within 5 s"):
            async with Router(server):
                pass

    run_virtual(main)


def test_a_session_that_takes_no_calls_yet_is_given_up_in_time():
    async def main():
        async with watched(Peer(on={"tools/list": Slow()}).server(timeouts=Timeouts(start=ADMIT))) as seen:
            with pytest.raises(RouterError) as caught:
                await seen.connection.ready()
            return caught.value.payload.code, now()

    assert run_virtual(main) == ("unreachable", ADMIT)


def test_a_peer_that_dies_before_its_lists_came_ends_the_calls_and_is_connected_anew():
    slow = Slow()
    peer = Peer(on={"tools/list": slow, "hang": hangs})

    async def main():
        async with watched(peer.server()) as seen:
            assert await seen.call(arguments={"text": "hello"}) == "hello"
            calling = asyncio.create_task(seen.call("hang"))
            await asyncio.sleep(1.0)
            slow.after = 0.0
            peer.line.end()
            with pytest.raises(RouterError) as caught:
                await calling
            await seen.until("failed")
            assert await seen.call(arguments={"text": "again"}) == "again"
            return caught.value.payload.code, caught.value.payload.delivered, seen.connection.number

    assert run_virtual(main) == ("connection_lost", "maybe", 2)


def test_closing_ends_the_calls_of_a_session_without_lists():
    async def main():
        async with watched(Peer(on={"tools/list": Slow(), "hang": hangs}).server()) as seen:
            calling = asyncio.create_task(seen.call("hang"))
            await asyncio.sleep(ADMIT + 1.0)
        with pytest.raises(RouterError) as caught:
            await calling
        return caught.value.payload.code

    assert run_virtual(main) == "connection_lost"


def test_a_timeout_that_is_not_the_starts_own_is_a_failure_of_the_lists():
    def hears(listing):
        raise TimeoutError

    async def main():
        connection = Connection(
            Peer().server(), Callbacks(), on_change=lambda *_: None, on_listing=hears, on_stderr=print, rng=lambda: 0.5
        )
        with pytest.raises(RouterError) as caught:
            await connection.ready()
        await connection.close()
        return caught.value.payload.code

    assert run_virtual(main) == "unreachable"


def test_lists_that_fail_after_calls_were_let_in_are_the_end_of_the_session():
    async def refuses(line, params):
        await asyncio.sleep(ADMIT + 1.0)
        line.end()
        raise Silence

    async def main():
        async with watched(Peer(on={"tools/list": refuses}).server()) as seen:
            assert await seen.call(arguments={"text": "hello"}) == "hello"
            with pytest.raises(RouterError) as caught:
                await seen.connection.ready()
            return caught.value.payload.code

    assert run_virtual(main) == "unreachable"


def test_a_router_sends_calls_to_a_server_that_never_lists_its_tools():
    async def main():
        async with Router(Peer(on={"tools/list": Slow()}).server(), Peer().server("other")) as router:
            begun = now()
            found = await router.call_tool("peer__echo", {"text": "hello"})
            assert error_of(found) is None
            assert [one.name for one in await router.list_tools()] == ["other__echo"]
            return found.content[0].text, now() - begun <= ADMIT

    assert run_virtual(main) == ("hello", True)
