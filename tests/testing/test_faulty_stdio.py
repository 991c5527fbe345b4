"""Each fault over stdio does what the table says: in this process, where every way can be seen, and in real ones."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp.client import Client
from mcp.client.stdio import stdio_client

from recloser.testing.faulty import FAULTS, FaultyStdio
from recloser.testing.faulty.control import ControlFile
from recloser.testing.faulty.pipe import StdioServer, write_all
from recloser.testing.faulty.pipe_faults import STDIO_DEEDS, act
from recloser.testing.faulty.plan import Order, Plan
from recloser.testing.faulty.protocol import Core
from recloser.testing.faulty.work import Ledger, Work
from support.faulty_clients import MISSHAPEN, Lines, call, initialize, process, read_pipe, request, until

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


def write(text: str, *, modern: bool = True) -> dict[str, Any]:
    return call("write", {"text": text}, modern=modern)


class Inside:
    """A stdio server in this process; `left` are the exit codes with which it would have ended."""

    def __init__(self, era: Any, sleepers: str | None = None) -> None:
        clock = asyncio.get_running_loop().time
        self.ledger = Ledger(clock)
        self.plan = Plan(clock)
        self.left: list[int] = []
        self.core = Core(Work(self.ledger), era=era)
        stdin, self.write_end = os.pipe()
        self.stdin = stdin
        self.read_end, stdout = os.pipe()
        self.stdout = stdout
        self.server = StdioServer(self.core, self.plan, act, leave=self.left.append, stdout=stdout, sleepers=sleepers)

    def fault(self, name: str, **fields: Any) -> None:
        order = Order.of(name, **fields)
        order.check("stdio")
        self.plan.add(order)

    def executions(self) -> list[str]:
        return [entry.label for entry in self.ledger.entries()]


@asynccontextmanager
async def inside(era: str = "dual", order: str | None = None, sleepers: str | None = None, **arguments: object):
    server = Inside(era, sleepers)
    if order is not None:
        server.fault(order, arguments=arguments)
    reader, reading = await read_pipe(server.read_end)
    stdin, stdin_reading = await read_pipe(server.stdin)
    lines = Lines(lambda data: write_all(server.write_end, data), reader)
    running = asyncio.get_running_loop().create_task(server.server.serve(stdin, stdin_reading.pause_reading))
    try:
        yield server, lines, running
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        for descriptor in (server.write_end, server.stdout):
            try:
                os.close(descriptor)
            except OSError:
                continue
        reading.close()
        stdin_reading.close()
        await asyncio.sleep(0)


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


def test_the_first_request_settles_the_era():
    async def main():
        async with inside() as (_server, lines, _):
            assert "result" in await lines.ask(request("server/discover"))
            refused = await lines.ask(initialize())
            assert refused["error"]["data"]["supported"] == ["2026-07-28"]
            assert (await lines.ask(request("tools/list", modern=False)))["error"]["code"] == -32602
        async with inside() as (_server, lines, _):
            assert "result" in await lines.ask(initialize())
            assert (await lines.ask(request("server/discover")))["error"]["code"] == -32600
            assert (await lines.ask(request("ping", modern=False)))["result"] == {}
        async with inside("legacy") as (_server, lines, _):
            assert (await lines.ask(request("server/discover")))["error"]["code"] == -32601
            assert "result" in await lines.ask(initialize())

    asyncio.run(main())


def test_what_is_no_good_line_is_answered_with_an_error_without_an_id():
    async def main():
        async with inside() as (_server, lines, _):
            for bad, code in ((b"{nothing\n", -32700), (b"[]\n", -32600), (b'{"params":1}\n', -32600)):
                lines.send(bad)
                found = await lines.receive()
                assert (found["id"], found["error"]["code"]) == (None, code)

    asyncio.run(main())


def test_a_question_is_answered_once_and_only_once():
    async def main():
        async with inside() as (_server, lines, _):
            await lines.ask(initialize(elicitation={}))
            lines.send(call("ask", modern=False))
            question = await lines.receive()
            assert question["method"] == "elicitation/create"
            for _ in range(2):
                lines.send({"jsonrpc": "2.0", "id": question["id"], "result": {"action": "decline"}})
            assert (await lines.receive())["result"]["content"][0]["text"] == '{"action": "decline"}'
            lines.send({"jsonrpc": "2.0", "id": question["id"], "result": {"action": "decline"}})
            lines.send(call("ask", modern=False))
            question = await lines.receive()
            lines.send({"jsonrpc": "2.0", "id": question["id"], "error": {"code": -1, "message": "no"}})
            assert (await lines.receive())["result"]["isError"]

    asyncio.run(main())


def test_progress_and_logs_go_to_whoever_wants_them():
    async def main():
        async with inside() as (_server, lines, _):
            await lines.ask(initialize())
            assert "result" in await lines.ask(call("progress", {"steps": 1}, modern=False))
            await lines.ask(request("logging/setLevel", {"level": "info"}, modern=False))
            lines.send(call("progress", {"steps": 1}, modern=False, _meta={"progressToken": 7}))
            assert [(await lines.receive()).get("method") for _ in range(3)] == [
                "notifications/progress",
                "notifications/message",
                None,
            ]

    asyncio.run(main())


def test_a_child_that_is_left_behind_is_written_down(tmp_path):
    async def main():
        async with inside("dual", "forks_sleeper", str(tmp_path / "sleepers"), lives=0) as (server, lines, _):
            lines.send(call("sleep", {"seconds": 0}))
            await until(lambda: server.left)
            os.waitpid(int((tmp_path / "sleepers").read_text()), 0)
            server.fault("late_answer", arguments={"delay": 0})
            assert "result" in await lines.ask(call("sleep", {"seconds": 0}))

    asyncio.run(main())


def test_the_wish_to_end_can_be_ignored():
    before = signal.getsignal(signal.SIGTERM)

    async def main():
        async with inside("dual", "ignores_eof", lives=0) as (server, _lines, running):
            os.close(server.write_end)
            await running
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN

    try:
        asyncio.run(main())
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_cancelled_call_is_never_answered():
    async def main():
        async with inside() as (server, lines, _):
            slow = call("sleep", {"seconds": 3600})
            lines.send(slow)
            for unknown in (slow["id"], "nothing"):
                params = {"requestId": unknown}
                lines.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params})
            assert (await lines.ask(write("x")))["result"]["content"][0]["text"] == "x"
            assert len(server.executions()) == 2

    asyncio.run(main())


def test_a_client_that_reads_no_more_ends_the_server():
    async def main():
        async with inside() as (server, lines, _):
            lines.reader._transport.close()
            await asyncio.sleep(0)
            lines.send(write("x"))
            await until(lambda: server.left == [0])

    asyncio.run(main())


def test_a_full_pipe_that_does_not_block_is_waited_for():
    async def main():
        read_end, write_end = os.pipe()
        os.set_blocking(write_end, False)
        reader, transport = await read_pipe(read_end)
        await asyncio.to_thread(write_all, write_end, b"x" * 1_000_000)
        os.close(write_end)
        assert len(await reader.read()) == 1_000_000
        transport.close()

    asyncio.run(main())


# --- real processes


def run(main):
    """Run a test with a stdio server's files."""

    async def with_files():
        with FaultyStdio() as faulty:
            await main(faulty)
            return faulty

    faulty = asyncio.run(with_files())
    assert not faulty.directory.exists()


@pytest.mark.processes
@pytest.mark.parametrize(("name", "executes"), [("exit_before_call", False), ("exit_mid_call", True)])
def test_a_process_that_died_is_well_when_it_is_started_again(name, executes):
    async def main(faulty):
        faulty.fault(name, times=1, code=7)
        async with process(faulty) as (lines, started):
            lines.send(write("first"))
            assert await lines.line() == b""
            assert await started.wait() == 7
            assert faulty.executions("write") == executes
        async with process(faulty) as (lines, _):
            assert "result" in await lines.ask(write("second"))
        assert faulty.executed("write") == [*(["first"] if executes else []), "second"]
        assert (faulty.fired, faulty.starts) == (1, 2)

    run(main)


@pytest.mark.processes
def test_a_process_can_die_after_its_answers():
    async def main(faulty):
        faulty.fault("exit_after", calls=2)
        async with process(faulty) as (lines, started):
            assert "result" in await lines.ask(write("x"))
            assert "result" in await lines.ask(write("x"))
            assert await started.wait() == 1
        faulty.fault("exit_idle", delay=0.01)
        async with process(faulty) as (lines, started):
            assert "result" in await lines.ask(write("x"))
            assert await started.wait() == 1

    run(main)


@pytest.mark.processes
def test_a_process_can_die_at_its_start_so_often_and_then_live():
    async def main(faulty):
        faulty.fault("exit_at_start", times=2, code=3)
        for _ in range(2):
            async with process(faulty) as (lines, started):
                assert await lines.line() == b""
                assert await started.wait() == 3
                assert b"meant to fail" in await started.stderr.read()
        async with process(faulty) as (lines, _):
            assert "result" in await lines.ask(write("x"))
        faulty.fault("crash_loop", delay=0.01)
        async with process(faulty) as (_, started):
            assert await started.wait() == 1

    run(main)


@pytest.mark.processes
def test_a_process_can_ignore_the_end_of_its_input_and_the_wish_to_end():
    async def main(faulty):
        faulty.fault("ignores_eof", lives=60)
        async with process(faulty) as (lines, started):
            assert "result" in await lines.ask(write("x"))
            faulty.kill(signal.SIGTERM)
            assert "result" in await lines.ask(write("x"))
            started.stdin.close()
            await started.stdin.wait_closed()
            faulty.kill()
            assert await started.wait() == -signal.SIGKILL

    run(main)


@pytest.mark.processes
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are seen on Linux only")
def test_a_process_can_leave_a_child_that_holds_its_stdout():
    async def main(faulty):
        faulty.fault("forks_sleeper", lives=60)
        async with process(faulty) as (lines, started):
            lines.send(write("x"))
            # asyncio tells a process's end only after that of its pipes, and these do not end.
            await until(faulty.sleepers)
            await until(lambda: not Path(f"/proc/{started.pid}/cmdline").exists() or _is_dead(started.pid))
            assert not lines.reader.at_eof()
            faulty.close()
            assert await lines.line() == b""

    run(main)


def _is_dead(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


@pytest.mark.processes
def test_a_wedged_process_takes_no_more_than_the_pipe_holds():
    async def main(faulty):
        faulty.fault("wedged_stdin")
        async with process(faulty) as (lines, started):
            lines.send(write("x"))
            await until(lambda: faulty.fired)
            lines.send(b"x" * 10_000_000)
            transport = started.stdin.transport
            before = -1
            while transport.get_write_buffer_size() != before:
                before = transport.get_write_buffer_size()
                await asyncio.sleep(0.05)
            assert before > 9_000_000

    run(main)


@pytest.mark.processes
def test_faults_tools_and_pages_can_be_changed_while_a_process_runs():
    async def main(faulty):
        async with process(faulty) as (lines, _):
            assert "result" in await lines.ask(write("x"))
            faulty.fault("jsonrpc_error", tool="write")
            faulty.fault("jsonrpc_error", on="ping", keep=True)
            assert "error" in await lines.ask(write("x"))
            faulty.heal()
            assert "result" in await lines.ask(write("x"))
            faulty.fault("jsonrpc_error", times=1, serial=40)
            assert "error" in await lines.ask(write("x"))
            # The same number again: what it may strike is used up.
            faulty.fault("jsonrpc_error", times=1, serial=40)
            assert "result" in await lines.ask(write("x"))
            faulty.extra = 1
            assert faulty.extra == 1
            assert "result" in await lines.ask(call("extra_1", {"text": "x"}))
            faulty.fault("stderr_flood", bytes=1000)
            assert "result" in await lines.ask(write("x"))
            with pytest.raises(ValueError, match="not possible over stdio"):
                faulty.fault("reset")

    run(main)


@pytest.mark.processes
def test_the_sdk_client_sees_the_fault():
    async def main(faulty):
        async with Client(stdio_client(faulty.parameters(encoding_error_handler="replace"))) as client:
            faulty.fault("bad_byte")
            assert (await client.call_tool("write", {"text": "x"})).content[0].text == "x"
            faulty.fault("is_error_storm")
            assert (await client.call_tool("write", {"text": "x"})).is_error

    run(main)


def test_a_control_file_may_come_later(tmp_path):
    async def main():
        core = Core(Work(Ledger(asyncio.get_running_loop().time)))
        plan = Plan(asyncio.get_running_loop().time)
        control = ControlFile(str(tmp_path / "control"), plan, core)
        control.poll()
        assert plan.orders == []
        (tmp_path / "control").write_text('{"orders": [{"fault": "garbage"}], "page": 2}')
        control.poll()
        control.poll()
        assert [order.fault.name for order in plan.orders] == ["garbage"]
        assert (core.page, core.work.extra) == (2, 0)

    asyncio.run(main())


def test_killing_what_is_gone_already_is_no_error():
    with FaultyStdio() as faulty:
        with pytest.raises(RuntimeError, match="no process was started yet"):
            faulty.kill()
        gone = os.posix_spawnp("true", ["true"], os.environ)
        os.waitpid(gone, 0)
        Path(f"{faulty.directory}/control.pids").write_text(f"{gone}\n")
        Path(f"{faulty.directory}/control.sleepers").write_text(f"{gone}\n{os.getpid()}\n")
        faulty.kill()
        assert faulty.starts == 1
