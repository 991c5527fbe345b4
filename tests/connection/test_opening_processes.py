"""From a command to an open session: how its process starts, and what becomes of it."""

import asyncio
import os
import sys
from contextlib import suppress

import pytest
from connection_kit import Watched, call_of, run, watched
from mcp import StdioServerParameters

from recloser import Limits, RouterError, Server, Timeouts
from recloser.testing.faulty import FaultyStdio


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


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


@pytest.mark.processes
@pytest.mark.parametrize("era", ["modern", "legacy"])
@pytest.mark.parametrize("way", ["close", "renew"])
def test_a_callback_that_swallows_its_cancellation_does_not_keep_the_servers_process(era, way):
    async def main():
        gave_in, entered = asyncio.Event(), asyncio.Event()

        async def stubborn(*_report):
            entered.set()
            while not gave_in.is_set():
                with suppress(asyncio.CancelledError):
                    await gave_in.wait()

        with FaultyStdio(era=era) as faulty:
            server = Server("peer", command=faulty.command, args=faulty.args, timeouts=Timeouts(shutdown=0.4))
            async with watched(server) as seen:
                await seen.connection.ready()
                pid = faulty.pids()[-1]
                call = asyncio.create_task(seen.call("progress", arguments={"steps": 1}, progress=stubborn))
                await entered.wait()
                try:
                    if way == "close":
                        await seen.connection.close()
                    else:
                        seen.connection.renew()
                        while is_running(pid):
                            await asyncio.sleep(0.01)
                    assert not is_running(pid)
                finally:
                    gave_in.set()
                    await asyncio.wait({call})

    run(main)
