"""Transports of a user's own, which tell a lost session in words that any tool can say too."""

import asyncio

import pytest
from connection_kit import hangs, run, watched
from mcp.client.streamable_http import streamable_http_client

from recloser import RouterError, Server
from recloser.testing.clock import run_virtual
from recloser.testing.faulty import FaultyHttp
from support.peers import Peer, Refusal

LOST = (-32600, "Session terminated")


async def ends_in(call):
    with pytest.raises(RouterError) as caught:
        await call
    return caught.value.payload.code, caught.value.payload.delivered


def own(faulty, **options):
    return Server("peer", lambda: streamable_http_client(faulty.url), **options)


@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_a_tool_that_says_that_a_session_is_lost_runs_once_and_ours_is_kept_if_it_is_not(era):
    async def main():
        async with FaultyHttp(era=era) as faulty, watched(own(faulty, era=era)) as seen:
            await seen.connection.ready()
            faulty.fault("jsonrpc_error", code=LOST[0], message=LOST[1], executes=True, on="tools/call", times=1)
            code = "connection_lost" if era == "legacy" else "protocol_violation"
            assert await ends_in(seen.call("write", arguments={"text": "one"})) == (code, "maybe")
            while era == "legacy" and not faulty.requests("ping"):
                await asyncio.sleep(0.01)
            assert await seen.call("write", arguments={"text": "two"}) == "two"
            assert faulty.executed("write") == ["one", "two"]
            assert seen.connection.number == 1

    run(main)


def test_a_session_that_is_lost_is_opened_anew_and_what_was_told_in_words_may_have_run():
    async def main():
        async with FaultyHttp(era="legacy") as faulty, watched(own(faulty)) as seen:
            await seen.connection.ready()
            faulty.forget_sessions()
            assert await ends_in(seen.call("write", arguments={"text": "one"})) == ("connection_lost", "maybe")
            await seen.until("ready", 2)
            assert await seen.call("write", arguments={"text": "two"}) == "two"
            assert faulty.executed("write") == ["two"]

    run(main)


def test_a_session_that_is_lost_before_its_lists_have_come_is_one_that_could_not_be_reached():
    async def main():
        async def lost(line, params):
            raise Refusal(*LOST)

        peer = Peer(modern=False, on={"tools/list": lost})
        async with watched(peer.server(era="legacy")) as seen:
            assert await ends_in(seen.connection.ready()) == ("unreachable", "no")

    run_virtual(main)


def test_a_look_that_finds_nothing_out_changes_nothing_and_the_next_doubt_is_looked_into():
    async def main():
        async def lost(line, params):
            raise Refusal(*LOST)

        async def odd(line, params):
            raise Refusal(-32603)

        peer = Peer(modern=False, on={"echo": lost, "ping": hangs})
        async with watched(peer.server(era="legacy")) as seen:
            await seen.connection.ready()
            for answer in (hangs, odd):
                peer.on["ping"] = answer
                assert await ends_in(seen.call()) == ("connection_lost", "maybe")
                await asyncio.sleep(60)
            assert (peer.methods.count("ping"), seen.connection.number) == (2, 1)
            peer.on["ping"] = lost
            assert await ends_in(seen.call()) == ("connection_lost", "maybe")
            del peer.on["echo"]
            await seen.until("ready", 2)
            assert await seen.call() == "echo"

    run_virtual(main)
