"""From a server's options to an open session, over every transport."""

import asyncio
import gc
import sys

import pytest
from connection_kit import Watched, call_of, watched
from mcp import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.server import MCPServer

from recloser import Limits, RouterError, Server, Timeouts
from recloser.testing.clock import run_virtual
from recloser.testing.faulty import FaultyHttp, FaultyStdio
from recloser.testing.leaks import no_leaks
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


def run(main):
    async def checked():
        async with no_leaks():
            await main()

    asyncio.run(checked())


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


def test_a_server_object_of_no_known_kind_is_refused():
    async def main():
        async with watched(Server("peer", object())) as seen:
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


# --- processes


@pytest.mark.processes
def test_a_command_is_started_with_its_own_surroundings():
    async def main():
        code = "import os, sys; print(os.getcwd(), os.environ['SAID'], *sys.argv[1:], file=sys.stderr)"
        server = Server("peer", command=sys.executable, args=["-c", code, "a", "b"], env={"SAID": "hello"}, cwd="/")
        async with watched(server) as seen:
            with pytest.raises(RouterError) as caught:
                await seen.connection.ready()
            assert caught.value.payload.code == "unreachable"
            assert caught.value.payload.delivered == "no"
            assert seen.stderr[0] == "/ hello a b"

    run(main)


@pytest.mark.processes
def test_the_sdks_own_parameters_start_a_process_too():
    async def main():
        with FaultyStdio() as faulty:
            server = Server("peer", faulty.parameters(env={"X": "1"}, cwd="/"))
            assert server.kind == "stdio"
            async with watched(server) as seen:
                assert await seen.call(arguments={"text": "hello"}) == "hello"
                assert seen.connection.pid == faulty.pids()[-1]

    run(main)


@pytest.mark.processes
def test_parameters_without_a_directory_start_where_we_are():
    async def main():
        with FaultyStdio() as faulty:
            given = StdioServerParameters(command=faulty.command, args=faulty.args)
            async with watched(Server("peer", given)) as seen:
                assert await seen.call(arguments={"text": "hello"}) == "hello"

    run(main)


@pytest.mark.processes
def test_a_command_that_is_not_there_cannot_start():
    async def main():
        async with watched(Server("peer", command="/nowhere/at-all")) as seen:
            with pytest.raises(RouterError) as caught:
                await seen.connection.ready()
            assert caught.value.payload.code == "cannot_start"

    run(main)


@pytest.mark.processes
def test_a_process_that_is_killed_is_replaced_and_its_end_told():
    async def main():
        with FaultyStdio() as faulty:
            server = Server("peer", command=faulty.command, args=faulty.args)
            async with watched(server) as seen:
                await seen.connection.ready()
                faulty.kill()
                await seen.until("ready", 2)
                assert "connection_lost" in seen.codes
                assert seen.connection.error.payload.message.startswith("server 'peer' has ended")
                assert await seen.call(arguments={"text": "hello"}) == "hello"
                assert seen.connection.pid == faulty.pids()[1]

    run(main)


@pytest.mark.processes
def test_a_process_that_exits_says_with_which_code():
    async def main():
        with FaultyStdio() as faulty:
            faulty.fault("exit_idle", code=7, delay=0.0)
            async with watched(Server("peer", command=faulty.command, args=faulty.args)) as seen:
                assert await seen.call(arguments={"text": "hello"}) == "hello"
                faulty.heal()
                await seen.until("ready", 2)
                assert seen.connection.error.payload.message in (
                    "server 'peer' has ended with exit code 7",
                    "server 'peer' has ended the connection",
                )

    run(main)


@pytest.mark.processes
def test_closing_takes_the_process_along_while_it_starts_and_while_it_works():
    async def main():
        with FaultyStdio() as faulty:
            faulty.fault("hang_initialize")
            server = Server("peer", command=faulty.command, args=faulty.args)
            seen = Watched(server)
            seen.connection.start()
            while not faulty.fired:
                await asyncio.sleep(0.01)
            await seen.connection.close()
            faulty.heal()
            seen = Watched(server)
            await seen.connection.ready()
            call = asyncio.ensure_future(seen.connection.send(call_of("sleep", {"seconds": 60})))
            while not faulty.executions("sleep"):
                await asyncio.sleep(0.01)
            await seen.connection.close()
            with pytest.raises(RouterError):
                await call

    run(main)


@pytest.mark.processes
def test_limits_reach_the_transport():
    async def main():
        with FaultyStdio() as faulty:
            limits = Limits(message=4096)
            server = Server("peer", command=faulty.command, args=faulty.args, limits=limits)
            async with watched(server) as seen:
                with pytest.raises(RouterError) as caught:
                    await seen.call("big", arguments={"bytes": 10_000})
                assert "limit" in caught.value.payload.message

    run(main)


# --- HTTP


@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_a_url_is_spoken_to_over_streamable_http(era):
    async def main():
        async with FaultyHttp(era=era) as faulty, watched(Server("peer", faulty.url)) as seen:
            assert await seen.call(arguments={"text": "hello"}) == "hello"
            await seen.connection.probe()

    run(main)


def test_a_url_that_ends_in_sse_is_spoken_to_in_the_old_way():
    async def main():
        from support.http_faults import FaultServer

        async with FaultServer(sse=True) as old, watched(Server("peer", old.url, era="legacy")) as seen:
            assert await seen.call() == "ok"

    run(main)


def test_a_server_that_has_lost_our_session_gets_a_new_one_and_the_call_once_more():
    async def main():
        async with FaultyHttp(era="legacy") as faulty, watched(Server("peer", faulty.url)) as seen:
            assert await seen.call("write", arguments={"text": "one"}) == "one"
            faulty.forget_sessions()
            # `write` has no hints at all: it is sent again because it provably has not run.
            assert await seen.call("write", arguments={"text": "two"}) == "two"
            assert faulty.executed("write") == ["one", "two"]
            assert seen.connection.number == 2
            assert faulty.requests("initialize") == 2

    run(main)


def test_many_calls_that_meet_a_lost_session_share_one_new_one():
    async def main():
        async with FaultyHttp(era="legacy") as faulty, watched(Server("peer", faulty.url)) as seen:
            await seen.connection.ready()
            faulty.forget_sessions()
            texts = [f"t{number}" for number in range(10)]
            assert await asyncio.gather(*(seen.call("write", arguments={"text": text}) for text in texts)) == texts
            assert sorted(faulty.executed("write")) == sorted(texts)
            assert faulty.requests("initialize") == 2

    run(main)


def test_a_server_that_loses_each_new_session_too_is_not_asked_for_ever():
    async def main():
        async with FaultyHttp(era="legacy") as faulty, watched(Server("peer", faulty.url)) as seen:
            await seen.connection.ready()
            faulty.fault("session_lost")
            with pytest.raises(RouterError) as caught:
                await seen.call("write", arguments={"text": "one"})
            assert caught.value.payload.code == "connection_lost"
            assert caught.value.payload.delivered == "no"
            assert faulty.requests("tools/call") == 2
            assert faulty.executions("write") == 0

    run(main)


def test_another_error_of_a_lost_session_is_not_sent_again():
    async def main():
        async with FaultyHttp(era="legacy") as faulty, watched(Server("peer", faulty.url)) as seen:
            generation = await seen.connection.ready()
            faulty.fault("status_401", on="tools/call")
            call = asyncio.ensure_future(seen.connection.send(call_of("write", {"text": "one"})))
            await asyncio.sleep(0)
            generation._session_lost()
            with pytest.raises(RouterError) as caught:
                await call
            assert caught.value.payload.code == "unauthenticated"
            assert faulty.requests("tools/call") == 1

    run(main)


def test_calls_in_flight_on_a_lost_session_may_still_be_answered():
    async def main():
        async with FaultyHttp(era="legacy") as faulty, watched(Server("peer", faulty.url)) as seen:
            await seen.connection.ready()
            slow = asyncio.ensure_future(seen.connection.send(call_of("sleep", {"seconds": 0.2})))
            while not faulty.executions("sleep"):
                await asyncio.sleep(0.005)
            faulty.fault("session_lost", times=1)
            assert await seen.call("write", arguments={"text": "one"}) == "one"
            assert seen.connection.number == 2
            assert (await slow).content[0].text == "slept"

    run(main)


def test_a_session_that_is_lost_again_at_once_costs_a_back_off():
    async def main():
        peer = Peer()
        async with watched(peer.server()) as seen:
            generation = await seen.connection.ready()
            generation._session_lost()
            await seen.until("ready", 2)
            assert asyncio.get_running_loop().time() == 0
            generation = await seen.connection.ready()
            generation._session_lost()
            await seen.until("ready", 3)
            assert asyncio.get_running_loop().time() == pytest.approx(0.2)

    run_virtual(main)


def test_a_start_over_http_that_is_given_up_leaves_nothing():
    async def main():
        async with FaultyHttp() as faulty:
            faulty.fault("hang_list")
            server = Server("peer", faulty.url, timeouts=Timeouts(start=0.3))
            async with watched(server) as seen:
                with pytest.raises(RouterError) as caught:
                    await seen.connection.ready()
                assert caught.value.payload.code == "unreachable"
        gc.collect()

    run(main)
