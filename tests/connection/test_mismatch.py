"""Calls that are refused because their headers do not match: sent once more where that proves that nothing has run."""

import asyncio

import pytest
from connection_kit import everything, refuses, run, watched
from mcp.client.streamable_http import streamable_http_client

from recloser import Call, RouterError, Server
from recloser.testing.clock import run_virtual
from support.http_faults import ANSWER, FaultServer

LISTED = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}


class Picky(FaultServer):
    """A server whose tool `picky` wants its argument mirrored in a header, and checks that before it runs."""

    def __init__(self, *, header="A", **options):
        super().__init__(on={"tools/list": self._list, "picky": self._call}, **options)
        self.header = header
        self.ran = 0
        self.says = None
        """What the tool itself ends in, once it has run: a code."""

    async def _list(self, exchange):
        text = {"type": "string"} | ({"x-mcp-header": self.header} if self.header else {})
        tools = [{"name": "picky", "inputSchema": {"type": "object", "properties": {"text": text}}}]
        await exchange.result({"tools": tools if self.header != "gone" else [], **LISTED})

    async def _call(self, exchange):
        sent = {name for name in exchange.headers if name.startswith("mcp-param-")}
        if sent != ({f"mcp-param-{self.header.lower()}"} if self.header else set()):
            await exchange.error(400, -32020, "the headers do not match the body")
            return
        self.ran += 1
        if self.says is not None:
            await exchange.error(400, self.says, "no")
            return
        await exchange.result(ANSWER)


async def picky(seen):
    return await seen.call("picky", arguments={"text": "t"})


async def fails(seen):
    with pytest.raises(RouterError) as caught:
        await picky(seen)
    return caught.value.payload.code, caught.value.payload.delivered


@pytest.mark.parametrize(("before", "after"), [("A", "B"), (None, "A"), ("A", None)])
def test_a_call_that_was_refused_because_its_schema_has_changed_is_listed_anew_and_sent_once_more(before, after):
    async def main():
        async with Picky(header=before) as server, watched(Server("peer", server.url, era="modern")) as seen:
            await seen.connection.ready()
            server.header = after
            assert await picky(seen) == "ok"
            assert server.ran == 1
            assert server.methods()[-3:] == ["tools/call", "tools/list", "tools/call"]

    run(main)


@pytest.mark.parametrize("header", ["A", None])
def test_a_tool_that_says_so_itself_is_not_sent_again_since_its_headers_were_right(header):
    async def main():
        async with Picky(header=header) as server, watched(Server("peer", server.url, era="modern")) as seen:
            server.says = -32020
            assert await fails(seen) == ("protocol_violation", "maybe")
            assert server.ran == 1

    run(main)


def test_a_tool_that_is_gone_from_the_new_list_is_not_sent_again():
    async def main():
        async with Picky() as server, watched(Server("peer", server.url, era="modern")) as seen:
            await seen.connection.ready()
            server.header = "gone"
            assert await fails(seen) == ("protocol_violation", "maybe")
            assert server.methods().count("tools/call") == 1

    run(main)


def test_in_the_handshake_era_no_argument_is_mirrored_so_that_it_is_no_refusal():
    async def main():
        async with Picky(session=True) as server, watched(Server("peer", server.url, era="legacy")) as seen:
            await seen.connection.ready()
            server.header, server.says = None, -32020
            asked = server.methods().count("tools/list")
            assert await fails(seen) == ("protocol_violation", "maybe")
            assert (server.ran, server.methods().count("tools/list")) == (1, asked)

    run(main)


def test_a_call_that_is_refused_again_is_not_sent_a_third_time():
    async def main():
        async with Picky() as server, watched(Server("peer", server.url, era="modern")) as seen:
            await seen.connection.ready()
            server.header, server.says = "B", -32020
            assert await fails(seen) == ("protocol_violation", "maybe")
            assert (server.ran, server.methods().count("tools/call")) == (1, 2)

    run(main)


def test_of_a_call_whose_new_listing_is_refused_it_is_not_known_whether_it_has_run():
    async def main():
        async with Picky() as server, watched(Server("peer", server.url, era="modern")) as seen:
            await seen.connection.ready()

            async def full(exchange):
                await exchange.reply(429)

            server.header = "B"
            server.on["tools/list"] = full
            assert await fails(seen) == ("overloaded", "maybe")
            assert server.methods().count("tools/call") == 1

    run(main)


def test_many_calls_that_meet_one_changed_schema_share_one_walk():
    async def main():
        async with Picky() as server, watched(Server("peer", server.url, era="modern")) as seen:
            await seen.connection.ready()
            listed = server.methods().count("tools/list")
            server.header = "B"
            assert await asyncio.gather(*(picky(seen) for _ in range(20))) == ["ok"] * 20
            assert (server.ran, server.methods().count("tools/list")) == (20, listed + 1)

    run(main)


def test_over_a_transport_of_ones_own_the_call_may_have_run_and_the_next_one_knows_the_new_schema():
    async def main():
        async with Picky() as server:
            target = Server("peer", lambda: streamable_http_client(server.url), era="modern")
            async with watched(target) as seen:
                await seen.connection.ready()
                server.header = "B"
                assert await fails(seen) == ("protocol_violation", "maybe")
                assert server.ran == 0
                while len(seen.listings) < 2:
                    await asyncio.sleep(0.01)
                assert await picky(seen) == "ok"

    run(main)


def test_other_methods_are_not_sent_again():
    async def main():
        peer = everything(on={"resources/read": refuses(-32020)})
        async with watched(peer.server()) as seen:
            call = Call(method="resources/read", key="a://b", name="a://b", server="peer", params={"uri": "a://b"})
            with pytest.raises(RouterError):
                await seen.connection.send(call)
            assert peer.methods.count("resources/read") == 1

    run_virtual(main)
