"""Starting a server, speaking with it, and knowing how it is."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import pty
import signal
from io import FileIO
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import ClientSession
from mcp.shared.exceptions import MCPError
from mcp.shared.jsonrpc_dispatcher import JSONRPCDispatcher
from stdio_peer import ECHO, notification, request, run, server, until

from recloser.facts import HttpFacts, facts_of
from recloser.transport.pipes import ReadPipe
from recloser.transport.stdio import StdioTransport

LEGACY = """
for message in lines():
    if message["method"] == "initialize":
        say(id=message["id"], result={"protocolVersion": "2025-06-18", "capabilities": {"tools": {}},
                                      "serverInfo": {"name": "peer", "version": "1"}})
    elif message["method"] == "tools/call":
        name = message["params"]["name"]
        if name == "large":
            say(id=message["id"], result={"content": [{"type": "text", "text": "x" * 300_000}]})
        elif name == "spoilt":
            say(id=message["id"], result="no object")
        elif name == "crash":
            os._exit(3)
    elif message["method"] == "tools/list":
        say(id=message["id"], result={"tools": []})
"""


def test_an_sdk_session_works_and_a_bad_answer_fails_its_own_call_only() -> None:
    async def main() -> None:
        transport = server(LEGACY, max_message=100_000)
        async with transport as (read, write), ClientSession(dispatcher=JSONRPCDispatcher(read, write)) as session:
            assert (await session.initialize()).server_info.name == "peer"
            with pytest.raises(MCPError) as large:
                await session.call_tool("large", {})
            assert large.value.error.code == -32099
            assert facts_of(large.value.error.data) == HttpFacts(kind="too_large", sent=True)
            with pytest.raises(MCPError) as spoilt:
                await session.call_tool("spoilt", {})
            assert spoilt.value.error.code == -32700
            assert (await session.list_tools()).tools == []
            with pytest.raises(MCPError, match="Connection closed"):
                await session.call_tool("crash", {})
            assert await transport.wait_exited(10) == 3

    run(main)


def test_what_is_known_of_a_server_before_while_and_after_it_runs() -> None:
    async def main() -> None:
        transport = server(ECHO)
        assert (transport.pid, transport.exit_code, transport.stalled) == (None, None, False)
        assert await transport.wait_exited(0) is None
        async with transport as (read, write):
            assert transport.pid is not None
            assert os.getpgid(transport.pid) == os.getsid(transport.pid) == transport.pid
            await write.send(request(1))
            await read.receive()
            assert transport.exit_code is None
            assert not transport.died.is_set()
        assert transport.exit_code == 0
        assert transport.died.is_set()

    run(main)


def test_a_death_between_calls_is_noticed_at_once() -> None:
    async def main() -> None:
        transport = server(ECHO)
        async with transport as (read, write):
            os.kill(transport.pid, signal.SIGKILL)
            await transport.died.wait()
            assert await transport.wait_exited(10) == -9
            with pytest.raises(anyio.EndOfStream):
                await read.receive()
            with pytest.raises(anyio.BrokenResourceError):
                await write.send(request(1))

    run(main)


def test_an_output_that_ends_is_a_death_though_the_process_lives_on() -> None:
    async def main() -> None:
        transport = server("note('bye'); os.close(1); forever()", shutdown=0.05)
        async with transport as (read, _):
            await transport.died.wait()
            assert transport.exit_code is None
            assert transport.stderr == "bye\n"
            with pytest.raises(anyio.EndOfStream):
                await read.receive()

    run(main)


@pytest.mark.parametrize("end", ["\n", ""])
def test_the_last_answer_of_a_server_that_ends_is_received(end: str) -> None:
    async def main() -> None:
        transport = server(f"raw(b'''{json.dumps({'jsonrpc': '2.0', 'id': 1, 'result': {}})}{end}'''); note('done')")
        async with transport as (read, _):
            # Noticed before anything was received, as a rule.
            await transport.wait_exited(10)
            assert transport.stderr == "done\n"
            assert [item.message.id async for item in read] == [1]

    run(main)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"command": "/no/such/binary"}, FileNotFoundError),
        ({"command": "/"}, PermissionError),
        ({"cwd": "/no/such/directory"}, FileNotFoundError),
        ({"command": "a\0b"}, ValueError),
    ],
)
def test_a_command_that_cannot_be_started_says_so_and_leaves_nothing(changes: Any, error: type[Exception]) -> None:
    async def main() -> None:
        transport = StdioTransport(**{"command": "/bin/true", "max_message": 1024, "stderr_tail": 0, **changes})
        with pytest.raises(error) as raised:
            await transport.__aenter__()
        assert type(raised.value) is error

    run(main)


def test_a_system_without_process_groups_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        monkeypatch.delattr(os, "killpg")
        with pytest.raises(OSError, match="process groups") as raised:
            await server(ECHO).__aenter__()
        assert raised.value.errno == errno.ENOSYS

    run(main)


def test_a_server_that_is_only_half_started_is_ended() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()

        def refuse(*_: object) -> None:
            raise NotImplementedError

        loop.add_reader = refuse  # type: ignore[method-assign]
        try:
            with pytest.raises(NotImplementedError):
                await server(ECHO).__aenter__()
        finally:
            del loop.add_reader

    run(main)


def test_a_transport_is_entered_only_once() -> None:
    async def main() -> None:
        transport = server(ECHO)
        async with transport:
            with pytest.raises(RuntimeError, match="only once"):
                await transport.__aenter__()
        with pytest.raises(RuntimeError, match="only once"):
            await transport.__aenter__()

    run(main)


def test_a_server_sees_its_directory_and_only_the_variables_that_it_shall_see(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_HOST", "1")

    async def main() -> None:
        code = "say(method='tell', params={'cwd': os.getcwd(), 'env': dict(os.environ)}); list(lines())"
        async with server(code, env={"TOKEN": "t"}, cwd=tmp_path) as (read, _):
            seen = (await read.receive()).message.params
        assert seen["cwd"] == str(tmp_path.resolve())
        assert seen["env"]["TOKEN"] == "t"
        assert seen["env"]["PATH"] == os.environ["PATH"]
        assert "SECRET_OF_THE_HOST" not in seen["env"]

    run(main)


@pytest.mark.parametrize("missing", [("pidfd_open",), ("pidfd_open", "waitid")])
def test_a_death_is_noticed_on_systems_that_do_not_tell_of_it(
    monkeypatch: pytest.MonkeyPatch, missing: tuple[str, ...]
) -> None:
    for name in missing:
        monkeypatch.delattr(os, name)

    async def main() -> None:
        # The sleeper keeps the output open, so only looking at the process itself can tell.
        transport = server("subprocess.Popen(['sleep', '100']); note('started'); signal.pause()", shutdown=0.05)
        async with transport:
            await until(lambda: transport.stderr)
            os.kill(transport.pid, signal.SIGKILL)
            await transport.died.wait()
            assert transport.exit_code == -9

    run(main)


def test_a_child_that_somebody_else_has_reaped_is_dead_too() -> None:
    async def main() -> None:
        transport = server(ECHO)
        async with transport:
            os.kill(transport.pid, signal.SIGKILL)
            os.waitpid(transport.pid, 0)
            await transport.died.wait()
            assert await transport.wait_exited(10) == 0

    run(main)


def test_the_end_of_stderr_is_kept_and_a_flood_of_it_blocks_nobody() -> None:
    async def main() -> None:
        code = "sys.stderr.write('y' * 2_000_000 + '\\nlast words \\xff'); sys.stderr.flush()\n" + ECHO
        transport = server(code, stderr_tail=20)
        async with transport as (read, write):
            await write.send(request(1))
            await read.receive()
            await until(lambda: transport.stderr.endswith("\ufffd") or "words" in transport.stderr)
        assert transport.stderr.startswith("y" * 3)
        assert "\nlast words " in transport.stderr

    run(main)


def test_a_tail_of_no_bytes_is_empty() -> None:
    async def main() -> None:
        transport = server("note('something')", stderr_tail=0)
        async with transport:
            await transport.died.wait()
            await transport.wait_exited(10)
        assert transport.stderr == ""

    run(main)


def test_each_line_of_stderr_is_handed_on() -> None:
    async def main() -> None:
        said: list[str] = []
        code = """
sys.stderr.buffer.write(b"one\\r\\n\\nthree \\xff\\n" + b"y" + b"z" * 262_144 + b"\\nwithout end")
"""
        transport = server(code, on_stderr=said.append)
        async with transport:
            await transport.wait_exited(10)
        assert said == ["one", "", "three \ufffd", "z" * 256 * 1024, "without end"]

    run(main)


def test_a_callback_for_stderr_that_fails_is_logged_once_and_disturbs_nobody(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        said: list[str] = []

        def fail(line: str) -> None:
            said.append(line)
            raise ValueError(line)

        transport = server("note('a'); note('b')\n" + ECHO, on_stderr=fail)
        async with transport as (read, write):
            await write.send(request(1))
            await read.receive()
        assert said == ["a", "b"]

    run(main)
    assert [record.message for record in caplog.records if record.name == "recloser"] == [
        "the callback for a server's stderr failed"
    ]


def test_a_descriptor_that_cannot_be_read_has_ended() -> None:
    async def main() -> None:
        ours, theirs = pty.openpty()
        os.close(theirs)
        ended = asyncio.Event()
        pipe = ReadPipe(FileIO(ours), on_data=lambda _: None, on_end=ended.set)
        await ended.wait()
        assert pipe.closed

    run(main)


def test_draining_ends_though_somebody_goes_on_writing() -> None:
    async def main() -> None:
        ours, theirs = os.pipe()
        seen: list[int] = []

        def more(data: bytes) -> None:
            seen.append(len(data))
            os.write(theirs, b"z" * 65_536)

        pipe = ReadPipe(FileIO(ours), on_data=more, on_end=lambda: None)
        os.write(theirs, b"begin")
        pipe.drain()
        assert sum(seen) > 1024 * 1024
        pipe.close()
        pipe.close()
        pipe.resume()
        pipe.drain()
        os.close(theirs)

    run(main)


def test_a_notification_goes_out_as_json_on_one_line() -> None:
    async def main() -> None:
        code = "line = sys.stdin.buffer.readline(); say(method='got', params={'line': line.decode()})"
        async with server(code) as (read, write):
            await write.send(notification(text="a\nb\u2028c"))
            line = (await read.receive()).message.params["line"]
        assert line.count("\n") == 1
        assert json.loads(line) == {"jsonrpc": "2.0", "method": "tell", "params": {"text": "a\nb\u2028c"}}

    run(main)
