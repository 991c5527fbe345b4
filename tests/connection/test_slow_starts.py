"""Servers whose first answer is long in coming, as of one that `npx` fetches: how long they have, and what it means."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from connection_kit import watched
from mcp.client import ClientSession

from recloser import RouterError, Server, Timeouts
from recloser.connection import generation
from recloser.connection.negotiation import negotiate
from recloser.connection.opening import Opened
from recloser.testing.clock import run_virtual
from support.peers import LEGACY, MODERN, Peer, Refusal


@asynccontextmanager
async def session_with(peer):
    async with peer() as (read, write), ClientSession(read, write) as session:
        yield session


def answers_after(seconds):
    async def handler(line, params):
        await asyncio.sleep(seconds)
        return line.peer.behave(line, "server/discover", params)

    return handler


def test_a_pipes_server_that_is_to_be_modern_may_take_as_long_as_the_start_for_its_first_answer():
    async def main():
        async with session_with(Peer(on={"server/discover": answers_after(9)})) as session:
            await negotiate(session, "modern", pipe=True, patience=10)
            assert session.protocol_version == MODERN

    run_virtual(main)


def test_a_server_that_has_answered_once_is_not_silent():
    async def main():
        peer = Peer()

        async def names_a_version(line, params):
            peer.on["server/discover"] = answers_after(5)
            raise Refusal(-32022, "unsupported", {"supported": [MODERN], "requested": "x"})

        peer.on["server/discover"] = names_a_version
        async with session_with(peer) as session:
            await negotiate(session, "auto", pipe=True, patience=12)
            assert session.protocol_version == MODERN

    run_virtual(main)


@pytest.mark.parametrize("era", ["auto", "modern"])
def test_where_silence_says_nothing_the_first_answer_has_all_the_time_of_the_start(era):
    async def main():
        peer = Peer(on={"server/discover": answers_after(29)})
        async with watched(peer.server(era=era)) as seen:
            await seen.connection.ready()
            assert seen.connection.protocol_version == MODERN
            assert asyncio.get_running_loop().time() == 29
            assert (peer.methods.count("server/discover"), seen.connection.number) == (1, 1)

    run_virtual(main)


# --- over a pipe, where silence may mean the handshake era


@pytest.fixture
def piped(monkeypatch):
    """Return how to make a server that is reached as by a pipe, and is a peer."""

    def make(peer, **options):
        @asynccontextmanager
        async def opens(*args, **kwargs):
            async with session_with(peer) as session:
                yield Opened(session)

        monkeypatch.setattr(generation, "open_session", opens)
        return Server("peer", command="peer", **options)

    return make


def refuses_the_handshake(peer):
    async def refuses(line, params):
        raise Refusal(-32022, "unsupported", {"supported": [MODERN], "requested": LEGACY})

    peer.on["initialize"] = refuses
    return peer


def test_a_server_that_is_slow_at_each_start_and_refuses_the_handshake_comes_up_as_a_modern_one(piped):
    async def main():
        peer = refuses_the_handshake(Peer(on={"server/discover": answers_after(6)}))
        async with watched(piped(peer, timeouts=Timeouts(start=12))) as seen:
            with pytest.raises(RouterError) as caught:
                await seen.connection.ready()
            assert caught.value.payload.code == "unreachable"
            await seen.connection.ready()
            assert seen.connection.protocol_version == MODERN
            asked = ["server/discover", "initialize", "server/discover"]
            assert [method for method in peer.methods if method in asked] == asked

    run_virtual(main)


def test_an_older_server_in_place_of_one_that_refused_the_handshake_is_spoken_to_in_its_own_era(piped):
    async def main():
        peer = refuses_the_handshake(Peer(on={"server/discover": answers_after(6)}))
        async with watched(piped(peer, timeouts=Timeouts(start=12))) as seen:
            with pytest.raises(RouterError):
                await seen.connection.ready()
            await seen.connection.ready()
            peer.modern, peer.on = False, {}
            seen.connection.renew()
            await seen.until("ready", 2)
            assert seen.connection.protocol_version == LEGACY

    run_virtual(main)
