"""Each fault over stdio does what the table says, in this process, where every way can be seen."""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

import pytest
from faulty_stdio_kit import Inside, inside

from recloser.testing.faulty import FAULTS
from recloser.testing.faulty.pipe_faults import STDIO_DEEDS
from support.faulty_clients import MISSHAPEN, call, initialize, request, until, write

pytestmark = pytest.mark.thorough

HERE = [fault for fault in FAULTS.values() if "stdio" in fault.transports]
ON_CALLS = [fault.name for fault in HERE if "tools/call" in fault.on]
QUICK: dict[str, dict[str, Any]] = {
    "late_answer": {"delay": 0},
    "slow_drip": {"delay": 0, "chunk": 50},
    "big_answer": {"bytes": 20_000},
    "list_changed_flood": {"count": 5},
    "stderr_flood": {"bytes": 100},
    "exit_after": {"calls": 1},
    "exit_idle": {"delay": 0},
    "forks_sleeper": {"lives": 0},
    "wedged_stdin": {"lives": 0},
}
SILENT = {
    "hang_call",
    "no_answer",
    "wedged_stdin",
    "partial_line",
    "exit_before_call",
    "exit_mid_call",
    "forks_sleeper",
}
ENDED = {"exit_before_call", "exit_mid_call", "exit_after", "exit_idle", "forks_sleeper", "wedged_stdin"}
TWO_LINES = {"duplicate", "list_changed_flood", "banner"}


def test_every_fault_of_the_table_is_done_over_stdio():
    assert set(STDIO_DEEDS) == {fault.name for fault in HERE} - {"flapping"}


@pytest.mark.parametrize("modern", [True, False])
@pytest.mark.parametrize("name", ON_CALLS)
def test_a_struck_call_runs_exactly_when_the_table_says_so_and_the_next_one_is_well(name, modern):
    fault = FAULTS[name]

    async def main():
        async with inside() as (server, lines, _):
            if not modern:
                await lines.ask(initialize())
            server.fault(name, times=1, arguments=QUICK.get(name, {}))
            lines.send(write("first", modern=modern))
            if name not in SILENT:
                await lines.line()
            await until(lambda: server.plan.tally.read() and len(server.executions()) == bool(fault.executes))
            if name in ENDED:
                await until(lambda: server.left)
            assert server.left == ([1] if name in ENDED else [])
            if name == "wedged_stdin":
                return
            second = write("second", modern=modern)
            lines.send(second)
            found = await lines.line()
            while b'"second"' not in found:
                assert name in TWO_LINES | {"partial_line"}
                found = await lines.line()
            assert server.executions() == [*(["first"] if fault.executes else []), "second"]

    asyncio.run(main())


def test_wrong_bytes_are_wrong_in_just_one_way():
    async def main():
        async with inside() as (server, lines, _):
            server.fault("garbage", arguments={"text": "hello"})
            lines.send(write("x"))
            assert await lines.line() == b"hello\n"
            server.fault("banner")
            lines.send(write("x"))
            assert [await lines.line() for _ in range(3)] == [b"Server ready.\n", b"\n", b"{not json\n"]
            assert (await lines.receive())["result"]["content"][0]["text"] == "x"
            server.fault("bad_byte")
            lines.send(write("x"))
            found = await lines.line()
            assert b"\xff" in found
            assert json.loads(found.replace(b"\xff", b"?"))["result"]["content"][0]["text"] == "x"
            server.fault("partial_line", arguments={"exits": True})
            lines.send(write("x"))
            await until(lambda: server.left)
            server.plan.heal()
            lines.send(write("y"))
            spoiled = await lines.line()
            with pytest.raises(ValueError, match=r"delimiter|Expecting|Unterminated"):
                json.loads(spoiled)
            assert spoiled.count(b'"jsonrpc"') == 2

    asyncio.run(main())


def test_half_a_line_spoils_the_next_one_and_the_server_serves_on():
    async def main():
        async with inside() as (server, lines, _):
            server.fault("partial_line", times=1)
            for text in "xyz":
                lines.send(write(text))
            spoiled = await lines.line()
            assert spoiled.count(b'"jsonrpc"') == 2
            assert (await lines.receive())["result"]["content"][0]["text"] == "z"
            assert server.left == []

    asyncio.run(main())


def test_a_flood_of_notifications_reaches_only_who_has_subscribed_in_the_modern_era():
    async def main():
        async with inside() as (server, lines, _):
            server.fault("list_changed_flood", arguments={"count": 2})
            assert (await lines.ask(write("x")))["result"]["content"][0]["text"] == "x"
            lines.send(request("subscriptions/listen", {"notifications": {"toolsListChanged": True}}))
            assert (await lines.receive())["method"] == "notifications/subscriptions/acknowledged"
            lines.send(write("y"))
            told = [await lines.receive() for _ in range(3)]
            assert [each.get("method") for each in told] == ["notifications/tools/list_changed"] * 2 + [None]
            assert len(server.plan.tally.read()) == 2

    asyncio.run(main())


def test_a_message_of_another_shape_is_refused_and_the_server_lives_on():
    async def main():
        async with inside() as (_, lines, _):
            await lines.ask(initialize())
            for message in MISSHAPEN:
                refused = await lines.ask(message)
                assert (refused["id"], refused["error"]["code"]) == (None, -32600), message
            wrong = await lines.ask(request("tools/call", {"name": [1]}, modern=False))
            assert wrong["error"] == {"code": -32602, "message": "Invalid params: TypeError"}
            lines.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": [1]}})
            assert (await lines.ask(request("ping", modern=False)))["result"] == {}

    asyncio.run(main())


def test_a_wedged_server_reads_nothing_more_not_even_what_has_come():
    async def main():
        async with inside() as (server, lines, _):
            server.fault("wedged_stdin", times=1)
            slow = call("sleep", {"seconds": 0.01})
            both = [json.dumps(message).encode() + b"\n" for message in (slow, write("x"), write("y"))]
            lines.send(b"".join(both))
            await until(server.plan.tally.read)
            assert server.executions() == []
        async with inside() as (server, lines, _):
            server.fault("wedged_stdin", tool="write")
            lines.send(b"".join(both))
            # A call that was running before is answered nevertheless.
            assert (await lines.receive())["id"] == slow["id"]
            assert len(server.executions()) == 1

    asyncio.run(main())


def test_a_server_can_be_wedged_without_a_transport_to_stop():
    async def main():
        server = Inside("dual")
        server.fault("wedged_stdin")
        reader = asyncio.StreamReader()
        reader.feed_data(json.dumps(write("x")).encode() + b"\n")
        running = asyncio.get_running_loop().create_task(server.server.serve(reader))
        await until(server.plan.tally.read)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        for descriptor in (server.stdin, server.write_end, server.read_end, server.stdout):
            os.close(descriptor)

    asyncio.run(main())


def test_notifications_can_be_struck_and_have_no_answer():
    async def main():
        async with inside() as (server, lines, _):
            await lines.ask(initialize())
            server.fault("late_answer", on="notifications/*", arguments={"delay": 0})
            lines.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
            assert (await lines.ask(request("ping", modern=False)))["result"] == {}
            await until(server.plan.tally.read)

    asyncio.run(main())


def test_a_listing_or_the_handshake_can_be_struck():
    async def main():
        async with inside() as (server, lines, _):
            server.fault("slow_start", on="server/discover")
            assert "result" in await lines.ask(request("server/discover"))
            server.fault("endless_pages")
            assert (await lines.ask(request("prompts/list")))["result"]["nextCursor"] == "1"
            server.fault("hang_list")
            lines.send(request("prompts/list"))
            await until(lambda: len(server.plan.tally.read()) == 3)

    asyncio.run(main())


@pytest.mark.parametrize("name", ["slow_start", "exit_at_start", "crash_loop", "ignores_eof"])
def test_the_start_can_be_struck(name):
    arguments = {"slow_start": {"delay": 0}, "crash_loop": {"delay": 0}, "ignores_eof": {"lives": 0.001, "term": False}}

    async def main():
        async with inside("dual", name, **arguments.get(name, {})) as (server, lines, running):
            assert "result" in await lines.ask(request("server/discover"))
            if name in ("exit_at_start", "crash_loop"):
                await until(lambda: server.left)
            os.close(server.write_end)
            await running

    asyncio.run(main())
