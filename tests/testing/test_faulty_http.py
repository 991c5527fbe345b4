"""Each fault over HTTP does what the table says, and ends when it should."""

from __future__ import annotations

import asyncio
import json
import socket

import pytest
from mcp import MCPError
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client

from recloser.testing.faulty import FAULTS, FaultyHttp
from recloser.testing.faulty.web_faults import HTTP_DEEDS
from recloser.testing.leaks import no_leaks
from support.faulty_clients import call, initialize, request, until, wire

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


def write(text: str, *, modern: bool = True):
    return call("write", {"text": text}, modern=modern)


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


def test_the_handshake_can_hang_or_be_slow():
    async def main():
        async with FaultyHttp() as server, wire(server) as http, wire(server) as other:
            server.fault("hang_initialize", on="server/discover")
            await http.send(request("server/discover"))
            await until(lambda: server.fired)
            assert (await other.ask(initialize())).status == 200
            server.fault("hang_initialize", times=1)
            await other.send(initialize())
            await until(lambda: server.fired == 2)
            async with wire(server) as third:
                server.fault("slow_start", delay=0)
                assert (await third.ask(initialize())).status == 200
                server.fault("hang_list")
                await third.send(request("prompts/list"))
                await until(lambda: server.fired == 4)

    asyncio.run(main())


def test_a_listing_can_lose_its_later_pages_or_have_no_end():
    async def main():
        async with FaultyHttp() as server, wire(server) as http:
            server.fault("page_loss")
            first = (await http.ask(request("tools/list"))).messages[0]["result"]
            lost = (await http.ask(request("tools/list", {"cursor": first["nextCursor"]}))).messages[0]
            assert lost["error"]["code"] == -32603
            server.fault("endless_pages")
            cursor = "0"
            for _ in range(5):
                page = (await http.ask(request("tools/list", {"cursor": cursor}))).messages[0]["result"]
                assert page["nextCursor"] != cursor
                assert len(page["tools"]) == 5
                cursor = page["nextCursor"]

    asyncio.run(main())


def test_a_flood_of_changes_goes_to_the_streams_or_else_to_the_call():
    async def main():
        async with FaultyHttp() as server, wire(server, modern=False) as http, wire(server) as stream:
            server.fault("list_changed_flood", count=3)
            answer = await http.ask(write("x", modern=False))
            assert [message.get("method") for message in answer.messages] == [
                "notifications/tools/list_changed"
            ] * 3 + [None]
            stream.session = http.session
            await stream.send(None, verb="GET")
            await stream.head()
            await until(lambda: server.server.core.audience)
            assert len((await http.ask(write("x", modern=False))).messages) == 1
            assert (await stream.event())["method"] == "notifications/tools/list_changed"
            # A modern client that does not listen hears nothing of it.
            assert len((await http.ask(write("x"))).messages) == 1

    asyncio.run(main())


def test_notifications_and_the_end_of_a_session_can_hang():
    async def main():
        async with FaultyHttp() as server, wire(server, modern=False) as http, wire(server) as other:
            other.session = http.session
            server.fault("notify_hang")
            server.fault("delete_hang", keep=True)
            await http.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
            await until(lambda: server.fired == 1)
            assert (await other.ask(request("ping", modern=False))).status == 200
            await other.send(None, verb="DELETE")
            await until(lambda: server.fired == 2)
            assert server.sessions == 1

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


@pytest.mark.parametrize("rpc", [True, False])
def test_lost_sessions_get_404_until_a_new_one_begins(rpc):
    async def main():
        async with FaultyHttp() as server, wire(server, modern=False) as http:
            server.fault("session_lost", times=1, rpc=rpc)
            answer = await http.ask(write("x", modern=False))
            assert (answer.status, bool(answer.body), server.sessions) == (404, rpc, 0)
            await http.ask(initialize())
            assert (await http.ask(write("x", modern=False))).text == "x"
            server.forget_sessions()
            assert (await http.ask(write("x", modern=False))).status == 404
            server.fault("session_lost", on="initialize", rpc=rpc)
            assert (await http.ask(initialize())).status == 200

    asyncio.run(main())


def test_a_token_is_expired_until_another_one_comes():
    async def main():
        async with FaultyHttp() as server, wire(server) as http:
            server.fault("token_expiry")
            refused = await http.ask(write("x"), authorization="Bearer old")
            assert (refused.status, refused.headers["www-authenticate"]) == (401, 'Bearer error="invalid_token"')
            assert (await http.ask(write("x"), authorization="Bearer new")).text == "x"
            assert (await http.ask(write("x"), authorization="Bearer old")).status == 401

    asyncio.run(main())


def test_the_port_is_closed_while_the_server_restarts():
    async def main():
        async with FaultyHttp() as server, wire(server) as http:
            url = server.url
            server.fault("restart", times=1, down=0.05)
            assert (await http.ask(write("x"))).broken == "end"
            with pytest.raises(ConnectionRefusedError):
                async with wire(server):
                    pass
            await until(lambda: server.listening)
            async with wire(server) as again:
                assert (await again.ask(write("x"))).text == "x"
            assert server.url == url

    asyncio.run(main())


def test_flapping_changes_with_each_period_of_calls():
    async def main():
        async with FaultyHttp() as server, wire(server) as http:
            server.fault("flapping", fault="status_503", calls=2)
            assert [(await http.ask(write("x"))).status for _ in range(8)] == [503, 503, 200, 200] * 2
            with pytest.raises(ValueError, match="not possible over http"):
                server.fault("flapping", fault="banner")
            with pytest.raises(ValueError, match="cannot flap"):
                server.fault("flapping", fault="flapping")

    asyncio.run(main())


def test_healing_ends_a_fault_but_not_what_hangs():
    async def main():
        async with FaultyHttp() as server, wire(server) as http, wire(server) as other:
            server.fault("hang_call", tool="write")
            waiting = asyncio.get_running_loop().create_task(http.ask(write("x")))
            assert (await other.ask(call("echo", {"text": "x"}))).text == "x"
            await until(lambda: server.fired)
            server.heal()
            assert (await other.ask(write("y"))).text == "y"
            assert not waiting.done()
            server.drop_connections(reset=False)
            assert (await waiting).broken == "end"

    asyncio.run(main())


def test_the_control_page_switches_faults_and_tells_the_counters():
    async def main():
        async with FaultyHttp() as server, wire(server) as http:

            async def control(asked):
                answer = await http.ask(json.dumps(asked).encode(), path="/control")
                return answer.status, json.loads(answer.body)

            status, told = await control({"fault": "status_503", "times": 1, "arguments": {"retry_after": 3}})
            assert (status, told["faults"]) == (200, ["status_503"])
            assert (await http.ask(write("x"))).headers["retry-after"] == "3"
            assert (await http.ask(write("x"))).text == "x"
            await control({"fault": "hang_list", "keep": True, "extra": 3, "page": 20})
            assert server.extra == 3
            told = json.loads((await http.ask(None, verb="GET", path="/control")).body)
            assert told == {
                "executions": {"write": 1},
                "requests": {"tools/call": 2},
                "faults": ["status_503", "hang_list"],
                "fired": 1,
                "cancelled": 0,
                "sessions": 0,
                "connections": 1,
            }
            assert (await control({"fault": None}))[1]["faults"] == []
            assert len((await http.ask(request("tools/list"))).messages[0]["result"]["tools"]) == 14
            assert (await control({"announce": "notifications/tools/list_changed"}))[0] == 200
            for wrong in (
                {"fault": "nothing"},
                {"fault": "banner"},
                {"fault": "reset", "arguments": {"speed": 1}},
                {"fault": "reset", "often": 1},
                {"fault": "reset", "times": -1},
                {"page": 0},
                {"colour": 1},
                [],
            ):
                status, told = await control(wrong)
                assert status == 400
                assert told["error"]

    asyncio.run(main())


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
def test_the_sdk_client_sees_the_fault(mode):
    async def main():
        async with FaultyHttp() as server, Client(streamable_http_client(server.url), mode=mode) as client:
            await client.call_tool("write", {"text": "first"})
            server.fault("jsonrpc_error", on="resources/read", code=-32011)
            with pytest.raises(MCPError) as raised:
                await client.read_resource("test://alpha")
            assert raised.value.error.code == -32011
            server.fault("is_error_storm")
            assert (await client.call_tool("write", {"text": "second"})).is_error

    asyncio.run(main())


def test_a_call_that_takes_its_time_can_be_struck_after_it():
    async def main():
        async with FaultyHttp() as server, wire(server) as http:
            server.fault("late_answer", delay=0)
            assert (await http.ask(call("sleep", {"seconds": 0}))).text == "slept"

    asyncio.run(main())


def test_a_client_that_left_before_it_was_let_in_is_nobodys_failure() -> None:
    async def main() -> None:
        async with FaultyHttp() as server:
            web = server.server
            web._accept(web._listener)  # nobody waits there any more

            assert web._greeted == set()

    asyncio.run(main())


def test_a_client_that_comes_in_while_the_port_closes_finds_its_connection_closed() -> None:
    async def main() -> bytes:
        async with FaultyHttp() as server:
            ours, theirs = socket.socketpair()
            with ours:
                ours.setblocking(False)
                theirs.setblocking(False)
                with socket.socket() as closed_by_now:
                    await server.server._greet(theirs, closed_by_now)
                return await asyncio.get_running_loop().sock_recv(ours, 1)

    assert asyncio.run(main()) == b""
