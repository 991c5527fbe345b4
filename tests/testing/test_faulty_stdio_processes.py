"""Faults over stdio in real processes: they die, stay, are wedged, and are told what to do from outside."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest
from mcp.client import Client
from mcp.client.stdio import stdio_client

from recloser.testing.faulty import FaultyStdio
from recloser.testing.faulty.control import ControlFile
from recloser.testing.faulty.plan import Plan
from recloser.testing.faulty.protocol import Core
from recloser.testing.faulty.work import Ledger, Work
from support.faulty_clients import call, process, until, write

pytestmark = pytest.mark.thorough


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
