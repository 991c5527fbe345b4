"""Faults over HTTP around the calls: handshakes, listings, sessions, the port; and their end when it should be."""

from __future__ import annotations

import asyncio
import json
import socket

import pytest
from mcp import MCPError
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client

from recloser.testing.clock import run_virtual
from recloser.testing.faulty import FaultyHttp, web_faults
from support.faulty_clients import call, initialize, request, until, wire, write

pytestmark = pytest.mark.thorough


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


def test_a_server_that_is_slow_to_start_serves_everybody_once_its_delay_is_over():
    async def main():
        now = asyncio.get_running_loop().time
        async with FaultyHttp() as server:
            server.fault("slow_start", delay=3600)
            for _ in range(2):
                began = now()
                async with wire(server) as http, wire(server) as other:
                    answers = await asyncio.gather(http.ask(request("server/discover")), other.ask(initialize()))
                    answers.append(await http.ask(request("server/discover")))
                assert [answer.status for answer in answers] == [200, 200, 200]
                assert 3600 <= now() - began < 7200
                await server.stop()
                await server.start()

    run_virtual(main, grace=0.5)


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
                {"fault": "status", "arguments": [1]},
                {"fault": "status", "arguments": "ab"},
                {"fault": "status", "serial": "x"},
                {"fault": ["status"]},
                [],
            ):
                status, told = await control(wrong)
                assert status == 400
                assert told["error"]

    asyncio.run(main())


def test_the_control_page_refuses_what_is_nested_too_deeply():
    async def main():
        async with FaultyHttp() as server, wire(server) as http:
            assert (await http.ask(b"[" * 100_000, path="/control")).status == 400

    asyncio.run(main())


def test_garbage_may_hold_half_a_character():
    async def main():
        async with FaultyHttp() as server, wire(server) as http:
            await http.ask({"fault": "garbage", "arguments": {"text": "a\ud800"}}, path="/control")
            assert (await http.ask(write("x"))).body == b"a\xed\xa0\x80"

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


BIG = 20_000_000
"""More than a system takes of a client that does not read."""


def all_written(server):
    """Whether nothing that was sent would be lost if the process ended now."""
    return not any(each.transport.get_write_buffer_size() for each in server.server.connections)


@pytest.mark.parametrize(("fault", "more"), [("exit_after", {"calls": 1}), ("exit_idle", {"delay": 0})])
@pytest.mark.parametrize("answers", ["json", "sse"])
def test_a_server_that_exits_after_an_answer_has_given_all_of_it(fault, more, answers):
    async def main():
        left = []
        async with FaultyHttp(answers=answers) as server, wire(server) as http:
            server.server.leave = lambda _code: left.append(all_written(server))
            server.fault(fault, **more)
            await http.send(call("big", {"bytes": BIG}))
            await until(lambda: server.fired)
            assert len((await http.receive()).text) == BIG
            await until(lambda: left)
            assert left == [True]

    asyncio.run(main())


def test_a_server_waits_for_readers_of_earlier_answers_too_but_not_for_ever(monkeypatch):
    async def main():
        left = []
        async with FaultyHttp() as server, wire(server) as http, wire(server) as other:
            server.server.leave = lambda _code: left.append(all_written(server))
            server.fault("exit_after", calls=2)
            await other.send(call("big", {"bytes": BIG}))
            await until(lambda: server.executions("big") == 1)
            assert (await http.ask(write("a"))).text == "a"
            assert left == []
            assert len((await other.receive()).text) == BIG
            await until(lambda: left)
            await other.send(call("big", {"bytes": BIG}))
            await until(lambda: server.executions("big") == 2)
            monkeypatch.setattr(web_faults, "READERS", 0.01)
            await http.ask(write("b"))
            await until(lambda: left == [True, False])

    asyncio.run(main())
