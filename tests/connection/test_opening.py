"""From a server's options to an open session, within one process and over transports of the user's own."""

import asyncio

import pytest
from connection_kit import call_of, run, watched
from mcp.client.streamable_http import streamable_http_client
from mcp.server import MCPServer

from recloser import RouterError, Server
from recloser.testing.clock import run_virtual
from recloser.testing.faulty import FaultyHttp
from support.peers import LEGACY, MODERN, Peer, Silence


def local():
    server = MCPServer("local", log_level="ERROR")

    @server.tool()
    async def echo(text: str = "echo") -> str:
        return text

    @server.tool()
    async def slow() -> str:
        await asyncio.sleep(100)
        return "slow"

    return server


# --- within one process


@pytest.mark.parametrize(("era", "version"), [("auto", MODERN), ("modern", MODERN), ("legacy", LEGACY)])
def test_a_server_object_is_spoken_to_in_each_era(era, version):
    async def main():
        async with watched(Server("peer", local(), era=era)) as seen:
            assert await seen.call() == "echo"
            assert seen.connection.protocol_version == version
            assert seen.connection.pid is None
            await seen.connection.probe()

    run_virtual(main)


def test_a_server_object_whose_tool_has_ended_its_session_is_opened_anew():
    async def main():
        server = local()

        @server.tool()
        async def ends() -> str:
            gone = asyncio.get_running_loop().create_future()
            gone.cancel()
            return await gone

        async with watched(Server("peer", server, era="legacy")) as seen:
            assert await seen.call() == "echo"
            with pytest.raises(RouterError) as caught:
                await seen.call("ends")
            assert caught.value.payload.code == "connection_lost"
            assert caught.value.payload.delivered == "maybe"
            await seen.until("ready", 2)
            assert seen.codes[2] == "connection_lost"
            assert await seen.call() == "echo"
            assert seen.connection.number == 2

    run_virtual(main)


@pytest.mark.parametrize("era", ["modern", "legacy"])
def test_a_server_object_is_opened_again_as_often_as_wanted_and_its_calls_are_cut_off(era):
    async def main():
        async with watched(Server("peer", local(), era=era)) as seen:
            await seen.connection.ready()
            call = asyncio.ensure_future(seen.connection.send(call_of("slow")))
            await asyncio.sleep(1)
            seen.connection.renew()
            with pytest.raises(RouterError) as caught:
                await call
            assert caught.value.payload.delivered == "maybe"
            assert await seen.call() == "echo"
            assert seen.connection.number == 2

    run_virtual(main)


@pytest.mark.parametrize("era", ["auto", "legacy"])
def test_a_server_object_of_no_known_kind_is_refused(era):
    async def main():
        async with watched(Server("peer", object(), era=era)) as seen:
            with pytest.raises(RouterError) as caught:
                await seen.connection.ready()
            assert caught.value.payload.code == "internal"

    run_virtual(main)


# --- transports of the user's own


def test_a_function_that_makes_transports_is_called_for_each_connection():
    async def main():
        async with FaultyHttp() as faulty:
            server = Server("peer", lambda: streamable_http_client(faulty.url))
            assert server.kind == "transport"
            async with watched(server) as seen:
                assert await seen.call(arguments={"text": "one"}) == "one"
                seen.connection.renew()
                await seen.until("ready", 2)
                assert await seen.call(arguments={"text": "two"}) == "two"

    run(main)


def test_a_transport_is_opened_once_and_a_second_time_gets_a_clear_error():
    async def main():
        peer = Peer()
        server = Server("peer", peer())
        assert server.kind == "transport"
        async with watched(server) as seen:
            assert await seen.call() == "echo"
            await asyncio.sleep(10)
            peer.line.end()
            await seen.until("failed")
            payload = seen.connection.error.payload
            assert payload.code == "cannot_start"
            assert "only once" in payload.message and "function" in payload.message
            assert len(peer.lines) == 1
        # It is remembered whoever tries.
        async with watched(server) as seen:
            with pytest.raises(RouterError) as caught:
                await seen.connection.ready()
            assert caught.value.payload.code == "cannot_start"

    run_virtual(main)


def test_a_transport_that_cannot_be_remembered_tells_of_its_second_opening_itself():
    class Closed:
        __slots__ = ("inner", "used")

        def __init__(self, peer):
            self.inner, self.used = peer(), False

        async def __aenter__(self):
            if self.used:
                raise FileNotFoundError("used up")
            self.used = True
            return await self.inner.__aenter__()

        async def __aexit__(self, *error):
            return await self.inner.__aexit__(*error)

    async def main():
        async with watched(Server("peer", Closed(Peer()))) as seen:
            assert await seen.call() == "echo"
            seen.connection.renew()
            await seen.until("failed")
            assert seen.connection.error.payload.code == "cannot_start"

    run_virtual(main)


def test_a_transport_that_cannot_take_a_message_has_not_sent_it():
    async def main():
        peer = Peer()
        async with watched(peer.server()) as seen:
            await seen.connection.ready()
            peer.line.from_client.close()  # it does not read any more, and has not gone yet
            with pytest.raises(RouterError) as caught:
                await seen.call()
            assert caught.value.payload.code == "connection_lost"
            assert caught.value.payload.delivered == "no"

    run_virtual(main)


def test_a_request_that_waits_to_be_taken_when_its_caller_leaves_may_have_been_sent():
    async def main():
        peer = Peer()

        async def hangs(line, params):
            raise Silence

        peer.on["echo"] = hangs
        async with watched(peer.server()) as seen:
            await seen.connection.ready()
            call = call_of()
            task = asyncio.ensure_future(seen.connection.send(call))
            await asyncio.sleep(1)
            assert call.trail.sent
            task.cancel()
            await asyncio.wait({task})
            assert call.trail.sent

    run_virtual(main)
