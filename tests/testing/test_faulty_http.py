"""Each fault over HTTP does to a call and its answer what the table says."""

from __future__ import annotations

import asyncio

import pytest

from recloser.testing.faulty import FAULTS, FaultyHttp
from recloser.testing.faulty.web_faults import HTTP_DEEDS
from recloser.testing.leaks import no_leaks
from support.faulty_clients import call, until, wire, write

pytestmark = pytest.mark.thorough

HERE = [fault for fault in FAULTS.values() if "http" in fault.transports]
ON_CALLS = [fault.name for fault in HERE if {"tools/call", "*"} & set(fault.on)]
STRIKES = [(name, era == "modern") for name in ON_CALLS for era in sorted(FAULTS[name].eras)]
CHOICES = [fault.name for fault in HERE if "executes" in fault.arguments]
SILENT = {"hang_call", "no_answer"}
QUICK = {
    "late_answer": {"delay": 0},
    "slow_drip": {"delay": 0, "chunk": 50},
    "big_answer": {"bytes": 300_000},
    "list_changed_flood": {"count": 5},
    "exit_after": {"calls": 1},
    "exit_idle": {"delay": 0},
    "restart": {"down": 0},
}
ENDS = {
    "reset": "reset",
    "close": "end",
    "truncated": "end",
    "exit_before_call": "end",
    "exit_mid_call": "end",
    "restart": "end",
}


def test_every_fault_of_the_table_is_done_over_http():
    assert set(HTTP_DEEDS) == {fault.name for fault in HERE} - {"flapping"}


@pytest.mark.parametrize(("name", "modern"), STRIKES)
def test_a_struck_call_runs_exactly_when_the_table_says_so_and_the_next_one_is_well(name, modern):
    fault = FAULTS[name]

    async def main():
        async with no_leaks(), FaultyHttp() as server, wire(server, modern=modern) as http, wire(server) as other:
            other.session = http.session
            server.fault(name, times=1, **QUICK.get(name, {}))
            if name in SILENT:
                await http.send(write("first", modern=modern))
            else:
                await http.ask(write("first", modern=modern))
            await until(lambda: server.fired and server.executions("write") == bool(fault.executes))
            if not fault.heals:
                await until(lambda: not server.listening)
                await server.start()
            await until(lambda: server.listening)
            if not fault.heals or name in ("restart", "session_lost"):
                async with wire(server, modern=modern) as fresh:
                    answer = await fresh.ask(write("second", modern=modern))
            else:
                answer = await other.ask(write("second", modern=modern))
            assert answer.text == "second"
            assert server.executed("write") == [*(["first"] if fault.executes else []), "second"]

    asyncio.run(main())


@pytest.mark.parametrize("executes", [True, False])
@pytest.mark.parametrize("name", CHOICES)
def test_where_it_can_be_chosen_a_struck_call_runs_or_not(name, executes):
    async def main():
        async with FaultyHttp() as server, wire(server) as http:
            server.fault(name, executes=executes)
            await http.send(write("first"))
            if name not in SILENT:
                await http.receive()
            await until(lambda: server.fired and server.executions("write") == executes)

    asyncio.run(main())


@pytest.mark.parametrize(("name", "broken"), ENDS.items())
def test_the_connection_ends_in_place_of_an_answer(name, broken):
    async def main():
        async with FaultyHttp() as server, wire(server) as http:
            server.fault(name, **QUICK.get(name, {}))
            answer = await http.ask(write("x"))
            assert answer.broken == broken
            assert (answer.status == 200) is (name == "truncated")

    asyncio.run(main())


@pytest.mark.parametrize("name", [name for name in ON_CALLS if name.startswith("status_")])
@pytest.mark.parametrize("rpc", [True, False])
def test_a_status_comes_as_text_or_as_a_jsonrpc_error(name, rpc):
    async def main():
        async with FaultyHttp() as server, wire(server) as http:
            server.fault(name, rpc=rpc, retry_after=2)
            struck = write("x")
            answer = await http.ask(struck)
            assert answer.status == int(name[7:])
            assert answer.headers["retry-after"] == "2"
            assert ("www-authenticate" in answer.headers) is (name == "status_401")
            if rpc:
                assert (answer.messages[0]["id"], answer.messages[0]["error"]["code"]) == (struck["id"], -32000)
            else:
                assert answer.headers["content-type"] == "text/plain"

    asyncio.run(main())


@pytest.mark.parametrize("status", [*range(400, 432), 451, *range(500, 512), 599])
def test_every_status_can_be_had_with_a_wish_when_to_come_again(status):
    async def main():
        async with FaultyHttp() as server, wire(server) as http:
            server.fault(
                "status", status=status, retry_after="Wed, 21 Oct 2026 07:28:00 GMT", www_authenticate="Bearer"
            )
            answer = await http.ask(write("x"))
            assert answer.status == status
            assert answer.headers["retry-after"] == "Wed, 21 Oct 2026 07:28:00 GMT"
            assert answer.headers["www-authenticate"] == "Bearer"
            assert server.executions("write") == 0

    asyncio.run(main())


def test_wrong_answers_are_wrong_in_just_one_way():
    async def main():
        async with FaultyHttp() as server, wire(server) as http:
            struck = call("add", {"a": 1, "b": 2})

            async def answer(name, **arguments):
                server.fault(name, **arguments)
                return await http.ask(struck)

            assert (await answer("malformed")).messages[0]["result"]["content"] == "wrong"
            assert (await answer("wrong_id")).messages[0]["id"] == struck["id"] + 1_000_000
            assert [found["id"] for found in (await answer("duplicate")).messages] == [struck["id"]] * 2
            assert (await answer("big_answer", bytes=1000)).text == "x" * 1000
            error = (await answer("is_error_storm", text="slow down")).messages[0]["result"]
            assert error["isError"]
            assert "structuredContent" not in error
            assert error["content"][0]["text"] == "slow down"
            assert (await answer("jsonrpc_error", code=-7)).messages[0]["error"]["code"] == -7
            assert (await answer("garbage", text="<html>", content_type="text/html")).body == b"<html>"
            assert b"\xff" in (await answer("bad_byte")).body
            assert (await answer("accepted")).status == 202
            cut = await answer("sse_cut")
            assert (cut.status, cut.body, cut.broken) == (200, b"", None)
            assert (await answer("sse_cut", event_id=True)).body.startswith(b"event: message\r\nid: event-")
            moved = await answer("redirect", status=302, location="http://127.0.0.1:1/")
            assert (moved.status, moved.headers["location"]) == (302, "http://127.0.0.1:1/")
            struck["id"] = "text"
            assert (await answer("wrong_id")).messages[0]["id"] == "not text"

    asyncio.run(main())


def test_no_answer_sends_comments_for_ever():
    async def main():
        async with FaultyHttp() as server, wire(server) as http:
            server.fault("no_answer")
            await http.send(write("x"))
            await http.head()
            assert await http.reader.readuntil(b"here\r\n\r\n\r\n")
            await http.close()
            await until(lambda: not server.server._tasks)

    asyncio.run(main())


@pytest.mark.parametrize("name", ["malformed", "late_answer", "wrong_id", "bad_byte", "truncated", "jsonrpc_error"])
@pytest.mark.parametrize("verb", ["POST", "DELETE"])
def test_what_has_no_answer_can_be_struck_too(name, verb):
    async def main():
        async with FaultyHttp() as server, wire(server, modern=False) as http:
            server.fault(name, on="*", **QUICK.get(name, {}))
            message = {"jsonrpc": "2.0", "method": "notifications/initialized"} if verb == "POST" else None
            answer = await http.ask(message, verb=verb)
            assert (answer.status, server.fired) == (
                202 if verb == "POST" and name != "truncated" and name != "bad_byte" else 200,
                1,
            )

    asyncio.run(main())


def test_a_message_that_could_not_be_served_anyway_is_refused_as_ever():
    async def main():
        async with FaultyHttp() as server, wire(server) as http:
            http.session = "unknown"
            server.fault("late_answer", delay=0)
            assert (await http.ask(write("x", modern=False))).status == 404

    asyncio.run(main())
