"""Without a fault a faulty server is strict: what it refuses, what ends a connection, and what it keeps."""

from __future__ import annotations

import asyncio

import pytest

from recloser.testing.faulty import FaultyHttp, FaultyStdio
from recloser.testing.leaks import no_leaks
from support.faulty_clients import call, initialize, request, until, wire


@pytest.mark.parametrize("make", [FaultyHttp, FaultyStdio])
@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({"extra": -1}, "extra must be a whole number of at least 0, got -1"),
        ({"extra": True}, "extra must be a whole number of at least 0, got True"),
        ({"page": 0}, "page must be a whole number of at least 1, got 0"),
        ({"page": 1.5}, "page must be a whole number of at least 1, got 1.5"),
    ],
)
def test_numbers_of_tools_and_of_a_page_are_checked(make, counts, said):
    with pytest.raises(ValueError, match=said):
        make(**counts)


def test_a_number_of_tools_that_is_set_is_checked():
    async def main():
        async with FaultyHttp() as server:
            with FaultyStdio() as faulty:
                for each in (server, faulty):
                    with pytest.raises(ValueError, match="extra must be a whole number of at least 0"):
                        each.extra = -1
                    assert each.extra == 0

    asyncio.run(main())


def test_a_session_ends_by_delete_and_is_unknown_from_then_on():
    async def main():
        async with FaultyHttp() as server, wire(server, modern=False) as http:
            assert server.sessions == 1
            assert (await http.ask({"jsonrpc": "2.0", "method": "notifications/initialized"})).status == 202
            assert (await http.ask(request("ping", modern=False))).messages[0]["result"] == {}
            assert (await http.ask({"jsonrpc": "2.0", "id": "never asked", "result": {}})).status == 202
            assert (await http.ask(call("progress", {"steps": 1}, modern=False))).text == "1 steps"
            async with wire(server) as stream:
                stream.session = http.session
                await stream.send(None, verb="GET")
                await stream.head()
                assert (await http.ask(None, verb="DELETE")).status == 200
                # The stream ends in good order, by its last and empty chunk.
                assert await stream.reader.readexactly(5) == b"0\r\n\r\n"
            refused = await http.ask(request("ping", modern=False))
            assert (refused.status, refused.messages[0]["error"]["message"]) == (404, "Session not found")
            assert server.sessions == 0

    asyncio.run(main())


def test_what_is_no_good_request_is_refused():
    async def main():
        async with FaultyHttp() as server, wire(server) as http:
            assert (await http.ask(b"{nothing")).messages[0]["error"]["code"] == -32700
            assert (await http.ask(b"[]")).messages[0]["error"]["code"] == -32600
            assert (await http.ask(b'{"params":7}')).messages[0]["error"]["code"] == -32600
            assert (await http.ask(None, verb="PUT")).status == 405
            assert (await http.ask(None, verb="GET", mcp_protocol_version="2026-07-28")).status == 405
            assert (
                (await http.ask(request("ping", modern=False))).messages[0]["error"]["message"].endswith("session ID")
            )
            assert (await http.ask(request("ping"))).status == 404
            assert (await http.ask({"jsonrpc": "2.0", "method": "x"}, mcp_protocol_version="2026-07-28")).status == 202
            answer = {"jsonrpc": "2.0", "id": 1, "result": {}}
            assert (await http.ask(answer, mcp_protocol_version="2026-07-28")).status == 400

    asyncio.run(main())


def test_a_modern_request_must_agree_with_its_headers_and_envelope():
    async def main():
        async with FaultyHttp() as server, wire(server) as http:
            good = call("echo", {"text": "x"})
            assert (await http.ask(good, mcp_name="=?base64?ZWNobw==?=")).status == 200
            refused = [
                await http.ask(good, mcp_method="tools/list"),
                await http.ask(good, mcp_name="write"),
                await http.ask(good, mcp_name=""),
            ]
            assert [answer.messages[0]["error"]["code"] for answer in refused] == [-32020] * 3
            bare = {**good, "params": {"name": "echo"}}
            bad = await http.ask(bare, mcp_protocol_version="2026-07-28")
            assert bad.messages[0]["error"]["code"] == -32602
            future = call("echo", {"text": "x"}, _meta={"io.modelcontextprotocol/protocolVersion": "2030-01-01"})
            bad = await http.ask(future, mcp_protocol_version="2030-01-01")
            assert bad.messages[0]["error"]["data"] == {"supported": ["2026-07-28"], "requested": "2030-01-01"}
            assert {bad.status, *(answer.status for answer in refused)} == {400}

    asyncio.run(main())


def test_a_server_of_one_era_refuses_the_other():
    async def main():
        async with FaultyHttp(era="legacy") as server, wire(server) as http:
            assert (await http.ask(request("server/discover"))).status == 400
        async with FaultyHttp(era="modern") as server, wire(server) as http:
            assert (await http.ask(initialize())).messages[0]["error"]["code"] == -32022
            found = (await http.ask(request("server/discover"))).messages[0]["result"]
            assert found["supportedVersions"] == ["2026-07-28"]

    asyncio.run(main())


def test_requests_may_come_in_pieces_and_several_at_once():
    async def main():
        async with FaultyHttp() as server, wire(server) as http:
            for _ in range(3):
                await http.send(call("sleep", {"seconds": 0}))
            assert [(await http.receive()).text for _ in range(3)] == ["slept"] * 3
            body = b'{"jsonrpc":"2.0","method":"x"}'
            head = f"POST /mcp HTTP/1.1\r\nmcp-protocol-version: 2026-07-28\r\ncontent-length: {len(body)}\r\n\r\n"
            for byte in head.encode() + body:
                server_side = next(iter(server.server.connections))
                server_side.data_received(bytes([byte]))
            assert (await http.receive()).status == 202

    asyncio.run(main())


@pytest.mark.parametrize("head", [b"GET\r\n\r\n", b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"])
def test_what_is_not_understood_ends_the_connection(head):
    async def main():
        async with FaultyHttp() as server, wire(server) as http:
            http.writer.write(head)
            assert (await http.receive()).status == 400
            assert await http.reader.read() == b""

    asyncio.run(main())


def test_a_head_without_end_ends_the_connection():
    async def main():
        async with FaultyHttp() as server, wire(server) as http:
            http.writer.write(b"x" * 70_000)
            await until(lambda: not server.connections)

    asyncio.run(main())


def test_a_server_keeps_its_port_and_nothing_else_when_it_is_stopped_and_started():
    async def main():
        async with no_leaks():
            server = FaultyHttp()
            with pytest.raises(RuntimeError, match="has not been started"):
                _ = server.url
            async with server:
                url = server.url
                async with wire(server, modern=False) as http:
                    waiting = asyncio.get_running_loop().create_task(
                        http.ask(call("sleep", {"seconds": 60}, modern=False))
                    )
                    await until(lambda: server.executions("sleep"))
                    await server.stop()
                    assert not server.listening
                    assert (await waiting).broken is not None
                await server.start()
                await server.start()
                assert (server.url, server.sessions, server.listening) == (url, 0, True)
                async with wire(server) as http:
                    assert (await http.ask(call("echo", {"text": "x"}))).text == "x"
                    server.drop_connections()
                    assert (await http.receive()).broken == "reset"

    asyncio.run(main())


def test_executions_can_be_counted_in_a_file(tmp_path):
    async def main():
        path = tmp_path / "counts"
        server = FaultyHttp(count_file=str(path))
        async with server, wire(server) as http:
            await http.ask(call("write", {"text": "ein Satz\nmit ß"}))
            assert server.executed("write") == ["ein Satz\nmit ß"]
            assert path.read_text().startswith("write ein Satz\\nmit \\xdf ")
        assert server.executions() == 1
        async with FaultyHttp(count_file=str(path)) as again:
            assert again.executions("write") == 1

    asyncio.run(main())


def test_a_request_is_answered_once_and_nothing_is_written_to_who_is_gone():
    async def main():
        async with FaultyHttp() as server:
            kept = []
            server.server.control = kept.append
            async with wire(server) as http:
                await http.send(None, verb="GET", path="/control")
                await until(lambda: kept)
                kept[0].end()
                kept[0].end({"jsonrpc": "2.0"})
                kept[0].end({"jsonrpc": "2.0"})
                kept[0].event({})
                kept[0].respond(200)
                assert (await http.receive()).messages == [{"jsonrpc": "2.0"}]
                assert (await http.ask(call("echo", {"text": "x"}))).text == "x"
            await until(lambda: not server.connections)
            kept[0].connection.write(b"x")
            kept[0].connection.drop(reset=True)

    asyncio.run(main())
