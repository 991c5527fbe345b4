"""Ending a server: all of it, always, whoever is cancelled while it is done."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress

import anyio
import pytest
from mcp_types import JSONRPCResponse
from stdio_peer import ECHO, PRELUDE, is_running, request, run, server, until

from recloser.transport import process
from recloser.transport.stdio import StdioTransport

STUBBORN = "signal.signal(signal.SIGTERM, signal.SIG_IGN); say(method='ready'); forever()"


async def started(transport: StdioTransport) -> None:
    """Enter a transport and wait for its server's first message."""
    read, _ = await transport.__aenter__()
    await read.receive()


@pytest.mark.parametrize(
    ("code", "ends"),
    [
        ("say(method='ready'); list(lines())", 0),
        ("say(method='ready'); list(lines()); sys.exit(7)", 7),
        ("say(method='ready'); forever()", -signal.SIGTERM),
        ("say(method='ready'); os.kill(os.getpid(), signal.SIGSTOP); forever()", -signal.SIGTERM),
        (STUBBORN, -signal.SIGKILL),
        ("say(method='ready'); os.close(1); os.close(2); forever()", -signal.SIGTERM),
    ],
    ids=["clean", "code", "ignores the end of input", "stopped", "ignores SIGTERM too", "closes its output"],
)
def test_a_server_is_ended_as_gently_as_it_lets_itself_be(code: str, ends: int) -> None:
    async def main() -> None:
        # Those that end by themselves get long enough for it on any machine, the others soon hear SIGTERM.
        transport = server(code, shutdown=60 if ends >= 0 else 1)
        await started(transport)
        await transport.__aexit__(None, None, None)
        assert transport.exit_code == ends

    run(main)


def test_no_time_to_end_means_a_kill() -> None:
    async def main() -> None:
        transport = server(STUBBORN, shutdown=0)
        await started(transport)
        await transport.__aexit__(None, None, None)
        assert transport.exit_code in (-signal.SIGKILL, -signal.SIGTERM)

    run(main)


@pytest.mark.parametrize("then", ["os._exit(0)", "list(lines())", "forever()"])
def test_what_a_server_started_and_left_behind_is_ended_with_it(then: str) -> None:
    async def main() -> None:
        # The sleepers hold its output open, so the end of that is no sign of anything.
        code = f"""
pids = [subprocess.Popen(["sleep", "1000"]).pid for _ in range(2)]
say(method="ready", params={{"pids": pids}})
{then}
"""
        transport = server(code, shutdown=0.2)
        async with transport as (read, _):
            pids = (await read.receive()).message.params["pids"]
            if then == "os._exit(0)":
                await transport.died.wait()
                assert transport.exit_code == 0
        await until(lambda: not any(map(is_running, pids)))

    run(main)


def test_a_stranger_that_holds_the_output_open_does_not_hold_up_the_end() -> None:
    async def main() -> None:
        code = """
pid = subprocess.Popen(["sleep", "1000"], start_new_session=True).pid
say(method="ready", params={"pid": pid})
list(lines())
"""
        transport = server(code)
        async with transport as (read, _):
            pid = (await read.receive()).message.params["pid"]
        assert transport.exit_code == 0
        # It left the group by itself, as daemons do, so it is not ours to end, but the check has adopted it.
        os.kill(pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(pid, 0)

    run(main)


@pytest.mark.parametrize("own_session", [True, False])
def test_an_answer_without_a_newline_counts_though_a_stranger_holds_the_output_open(own_session: bool) -> None:
    async def main() -> None:
        code = f"""
pid = subprocess.Popen(["sleep", "1000"], start_new_session={own_session}).pid
say(method="ready", params={{"pid": pid}})
next(lines())
raw(b'{{"jsonrpc":"2.0","id":7,"result":{{}}}}')
os._exit(0)
"""
        async with server(code) as (read, write):
            pid = (await read.receive()).message.params["pid"]
            await write.send(request(7))
            assert (await read.receive()).message == JSONRPCResponse(jsonrpc="2.0", id=7, result={})
            with pytest.raises(anyio.EndOfStream):
                await read.receive()
        if own_session:
            os.kill(pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)

    run(main)


def test_half_an_answer_whose_rest_never_comes_is_none() -> None:
    async def main() -> None:
        code = """
pid = subprocess.Popen(["sleep", "1000"]).pid
raw(b'{"jsonrpc":"2.0","id":7,"result":{')
os._exit(0)
"""
        async with server(code) as (read, _):
            with pytest.raises(anyio.EndOfStream):
                await read.receive()

    run(main)


def test_a_body_that_fails_or_is_cancelled_ends_its_server() -> None:
    async def main() -> None:
        failed, cancelled = server(ECHO), server(ECHO)
        with pytest.raises(ZeroDivisionError):
            async with failed:
                raise ZeroDivisionError
        assert failed.exit_code == 0

        async def body() -> None:
            async with cancelled as (read, _):
                await read.receive()

        task = asyncio.create_task(body())
        await until(lambda: cancelled.pid)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert cancelled.exit_code == 0

    run(main)


@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_closing_task_that_is_cancelled_ends_its_server_first(times: int) -> None:
    async def main() -> None:
        transport = server(STUBBORN, shutdown=0.1)
        await started(transport)
        closing = asyncio.create_task(transport.__aexit__(None, None, None))
        for _ in range(times):
            await asyncio.sleep(0)
            closing.cancel()
        await asyncio.wait([closing])
        assert closing.cancelled()
        assert transport.exit_code == -9

    run(main)


def test_a_server_is_ended_within_scopes_and_time_limits_of_any_kind() -> None:
    async def main() -> None:
        by_scope, by_timeout = server(STUBBORN, shutdown=0.1), server(STUBBORN, shutdown=0.1)
        with anyio.CancelScope() as scope:
            async with by_scope as (read, _):
                await read.receive()
                scope.cancel()
                await anyio.sleep_forever()
        assert scope.cancelled_caught
        assert by_scope.exit_code == -9
        await started(by_timeout)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await by_timeout.__aexit__(None, None, None)
        assert by_timeout.exit_code == -9
        await asyncio.sleep(0)

    run(main)


def test_a_loop_that_ends_every_task_ends_the_servers_too() -> None:
    transport, closing = server(STUBBORN, shutdown=1000), server(STUBBORN, shutdown=1000)

    async def owner() -> None:
        async with transport as (read, _):
            await read.receive()
            await asyncio.get_running_loop().create_future()

    async def main() -> None:
        task = asyncio.create_task(owner())
        await started(closing)
        leaving = asyncio.create_task(closing.__aexit__(None, None, None))
        await until(lambda: closing._ending)
        task.cancel()
        await until(lambda: transport._ending)
        await asyncio.sleep(0)
        # Both are in the middle of an ending that is to take for ever, and the loop cuts it short.
        assert not (task.done() or leaving.done())

    asyncio.run(main())
    assert (transport.exit_code, closing.exit_code) == (-9, -9)


def test_an_ending_that_is_cancelled_hurries() -> None:
    async def main() -> None:
        transport = server(STUBBORN, shutdown=1000)
        await started(transport)
        closing = asyncio.create_task(transport.__aexit__(None, None, None))
        await until(lambda: transport._ending)
        await asyncio.sleep(0)
        transport._ending.cancel()
        await closing
        assert transport.exit_code == -9

    run(main)


def test_an_ending_that_fails_is_told() -> None:
    async def main() -> None:
        transport = server(ECHO)
        await transport.__aenter__()

        async def fail(**_: object) -> None:
            raise ZeroDivisionError

        child = transport._child
        child.end = fail  # type: ignore[method-assign]
        with pytest.raises(ZeroDivisionError):
            await transport.__aexit__(None, None, None)
        child.abandon()

    run(main)


def test_a_group_that_is_gone_is_sent_nothing_since_its_number_may_be_somebody_elses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        transport = server(ECHO)
        async with transport:
            pass
        sent: list[object] = []
        monkeypatch.setattr(os, "killpg", lambda *what: sent.append(what))
        transport._child.signal(signal.SIGKILL)
        await transport._child.end(grace=0, gentle=False)
        assert sent == []

    run(main)


def test_a_process_that_cannot_be_killed_is_given_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(process, "_REAP", 0.05)
    kill: Callable[[int, int], None] = os.killpg

    async def main() -> None:
        transport = server(STUBBORN, shutdown=0.02)
        await started(transport)
        with monkeypatch.context() as patch:
            patch.setattr(os, "killpg", lambda *_: None)
            closing = asyncio.create_task(transport.__aexit__(None, None, None))
            await until(lambda: transport._ending)
            await asyncio.sleep(0.0)
            # However often it is cancelled, it looks as long as it may.
            transport._ending.cancel()
            await asyncio.sleep(0)
            transport._ending.cancel()
            await closing
        assert transport.exit_code is None
        assert is_running(transport.pid)
        kill(transport.pid, signal.SIGKILL)
        os.waitpid(transport.pid, 0)
        transport._child.check()

    with caplog.at_level(logging.WARNING):
        run(main)
    assert "does not end, though it was killed" in caplog.text


@pytest.mark.parametrize("missing", [(), ("pidfd_open",)])
def test_a_loop_that_is_closed_over_a_server_leaves_none(
    monkeypatch: pytest.MonkeyPatch, missing: tuple[str, ...]
) -> None:
    for name in missing:
        monkeypatch.delattr(os, name)
    loop = asyncio.new_event_loop()
    transport = server(STUBBORN)
    loop.run_until_complete(started(transport))
    pid = transport.pid
    assert is_running(pid)
    loop.close()
    del transport, loop
    gc.collect()
    assert not is_running(pid)


def test_a_fork_does_not_end_the_servers_of_its_parent() -> None:
    async def main() -> None:
        transport = server(ECHO)
        async with transport:
            process._abandon(transport._child._popen, None, os.getpid() + 1)
            assert is_running(transport.pid)

    run(main)


def test_an_interpreter_that_exits_leaves_no_server() -> None:
    code = f"""
import asyncio, sys
from recloser.transport.stdio import StdioTransport
async def main():
    transport = StdioTransport(command=sys.executable, args=["-I", "-S", "-c", {PRELUDE + STUBBORN!r}],
                               max_message=1 << 20, stderr_tail=0)
    read, _ = await transport.__aenter__()
    await read.receive()
    print(transport.pid, flush=True)
loop = asyncio.new_event_loop()
loop.run_until_complete(main())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not is_running(int(done.stdout))
