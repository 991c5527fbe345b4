"""A faulty server over stdio, in this process: what it reads, what it writes, and how it ends."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest
from faulty_stdio_kit import inside

from recloser.testing.faulty.pipe import write_all
from support.faulty_clients import call, initialize, read_pipe, request, until, write

pytestmark = pytest.mark.thorough


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
