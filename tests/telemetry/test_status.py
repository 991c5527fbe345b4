"""The status page of an embedded router: read-only, on this machine only, and held up by nobody."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from mcp.server import MCPServer

from recloser import Router, Server
from recloser.health import ServerHealth
from recloser.telemetry import status
from recloser.telemetry.stats import Stats
from recloser.telemetry.status import serve_status, status_of
from recloser.testing.leaks import no_leaks
from support.status import call, health


class Watched:
    """Stands in for a router; says how often it was asked, and can fail."""

    def __init__(self, count: int = 1) -> None:
        self.names = [f"search{number}" for number in range(count)]
        self.asked = 0
        self.failure: Exception | None = None

    @property
    def servers(self) -> Mapping[str, Server]:
        return {name: Server(name, "https://search.example/mcp") for name in self.names}

    def health(self) -> dict[str, ServerHealth]:
        self.asked += 1
        if self.failure is not None:
            raise self.failure
        return {name: health(name) for name in self.names}


class Client:
    """One connection to a page, and what comes back over it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, text: str) -> None:
        self.writer.write(text.encode("latin-1"))

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """The status, the fields of the head, and the body, up to the end of the connection."""
        head, _, body = (await self.reader.read()).partition(b"\r\n\r\n")
        line, *fields = head.decode().split("\r\n")
        return int(line.split()[1]), dict(field.lower().split(": ", 1) for field in fields), body


@asynccontextmanager
async def client(url: str) -> AsyncIterator[Client]:
    host, _, port = url.removeprefix("http://").partition("/")[0].rpartition(":")
    reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    try:
        yield Client(reader, writer)
    finally:
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)


async def ask(url: str, text: str) -> tuple[int, dict[str, str], bytes]:
    """Send one request and return its answer."""
    async with client(url) as one:
        one.send(text)
        return await one.answer()


def get(path: str = "/status", host: str = "127.0.0.1", method: str = "GET") -> str:
    return f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\n\r\n"


def served(main: Any, *, router: Any = None, **options: Any) -> Any:
    """Run `main(url)` while a page is served; nothing is left of it afterwards."""

    async def run() -> Any:
        async with no_leaks(), serve_status(router or Watched(), Stats(), **options) as url:
            return await main(url)

    return asyncio.run(run())


def test_the_page_tells_the_document() -> None:
    async def main(url: str) -> None:
        code, fields, body = await ask(url, get())
        assert code == 200
        assert fields["content-type"] == "application/json"
        assert fields["cache-control"] == "no-store"
        assert int(fields["content-length"]) == len(body)
        document = json.loads(body)
        assert document["schema"] == "recloser.top/1"
        assert [server["name"] for server in document["servers"]] == ["search0"]
        assert document["servers"][0]["retry_budget"]["size"] == 500

    served(main)


def test_a_real_router_is_seen() -> None:
    peer = MCPServer("peer")

    @peer.tool()
    def echo(text: str) -> str:
        return text

    async def run() -> dict[str, Any]:
        stats = Stats()
        async with (
            no_leaks(),
            Router(Server("peer", peer), listeners=[stats]) as router,
            serve_status(router, stats) as url,
        ):
            await router.call_tool("peer__echo", {"text": "x"})
            await router.call_tool("peer__nothing_of_the_kind", {})
            _, _, body = await ask(url, get())
            document: dict[str, Any] = json.loads(body)
            assert document["uptime"] <= status_of(router, stats)["uptime"]
            return document

    document = asyncio.run(run())
    (server,) = document["servers"]
    assert (server["name"], server["kind"], server["state"]) == ("peer", "in_process", "ready")
    assert (server["traffic"]["calls"], server["traffic"]["attempts"]) == (1, 1)
    assert server["traffic"]["success"] == 1
    assert server["endpoints"][0]["circuit"] == "closed"
    assert "nothing_of_the_kind" not in json.dumps(document)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (get("/status?x=1"), 200),
        (get(host="localhost:8080"), 200),
        (get(host="[::1]:8080"), 200),
        ("GET /status HTTP/1.0\r\nhost:\t127.0.0.1 \r\n\r\n", 200),
        (get("/"), 404),
        (get("/status/"), 404),
        (get("//127.0.0.1/status"), 404),
        (get("/%73tatus"), 404),
        (get(method="POST"), 405),
        (get(method="DELETE"), 405),
        (get(method="M-SEARCH"), 405),
        (get(host="evil.example"), 421),
        (get(host="127.0.0.1.evil.example"), 421),
        (get(host="[::1"), 421),
        (get(host=""), 421),
        ("GET /status HTTP/1.1\r\n\r\n", 400),
        ("GET /status HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\n\r\n", 400),
        ("GET /status HTTP/1.1\r\nHost: 127.0.0.1\r\n folded\r\n\r\n", 400),
        ("GET /status HTTP/1.1\r\nHost: 127.0.0.1\r\nX: \x01\r\n\r\n", 400),
        ("GET /status HTTP/1.1\r\nHost: 127.0.0.1\r\nno colon\r\n\r\n", 400),
        ("GET /sta tus HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 400),
        ("GET /status HTTP/2.0\r\nHost: 127.0.0.1\r\n\r\n", 400),
        ("GET /status\r\n\r\n", 400),
        ("\r\n\r\n", 400),
        ("\x16\x03\x01\x02\x00\r\n\r\n", 400),
        (f"GET /{'x' * 20_000} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 431),
        (f"GET /status HTTP/1.1\r\nHost: 127.0.0.1\r\nX: {'x' * 200_000}", 431),
    ],
    ids=range(27),
)
def test_whatever_is_asked_has_an_answer(text: str, code: int) -> None:
    async def main(url: str) -> None:
        got, fields, body = await ask(url, text)
        assert got == code
        assert int(fields["content-length"]) == len(body)
        assert code == 200 or list(json.loads(body)) == ["error"]
        assert ("allow" in fields) == (code == 405)
        assert (await ask(url, get()))[0] == 200

    served(main)


def test_a_head_has_no_body_but_its_length() -> None:
    async def main(url: str) -> None:
        code, fields, body = await ask(url, get(method="HEAD"))
        assert (code, body) == (200, b"")
        assert int(fields["content-length"]) > 100

    served(main)


def test_a_body_that_nobody_asked_for_does_not_undo_the_answer() -> None:
    async def main(url: str) -> None:
        text = f"POST /status HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 300000\r\n\r\n{'x' * 300_000}"
        assert (await ask(url, text))[0] == 405

    served(main)


def test_an_answer_is_good_for_a_moment_so_that_many_readers_cost_no_more_than_one() -> None:
    router = Watched()

    async def main(url: str) -> None:
        await asyncio.gather(*(ask(url, get()) for _ in range(20)))
        assert router.asked <= 2

    served(main, router=router)


def test_an_answer_is_made_anew_when_it_is_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "FRESH", 0.0)
    router = Watched()

    async def main(url: str) -> None:
        await ask(url, get())
        await ask(url, get())
        assert router.asked == 2

    served(main, router=router)


def test_a_router_that_is_not_open_is_told_as_such() -> None:
    async def main(url: str) -> None:
        code, _, body = await ask(url, get())
        assert (code, json.loads(body)) == (503, {"error": "the router is not open"})

    served(main, router=Router(Server("search", "https://search.example/mcp")))


def test_a_status_that_cannot_be_made_says_nothing_of_why_but_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    router = Watched()
    router.failure = ValueError("hunter2")

    async def main(url: str) -> None:
        code, _, body = await ask(url, get())
        assert code == 500
        assert b"hunter2" not in body

    with caplog.at_level(logging.ERROR, "recloser"):
        served(main, router=router)
    assert [record.message for record in caplog.records] == ["the status could not be made"]


# --- slow and rude clients


def test_clients_that_send_nothing_hold_nobody_up() -> None:
    async def main(url: str) -> None:
        async with client(url), client(url) as slow:
            slow.send("GET /status HT")
            assert (await ask(url, get()))[0] == 200

    served(main)


def test_a_request_that_does_not_come_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "PATIENCE", 0.05)

    async def main(url: str) -> None:
        async with client(url) as slow:
            slow.send("GET /status HTTP/1.1\r\n")
            assert (await slow.answer())[0] == 408

    served(main)


def test_a_client_that_leaves_without_a_word_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    async def main(url: str) -> None:
        async with client(url):
            pass
        async with client(url) as half:
            half.send("GET /sta")
            half.writer.transport.abort()
        assert (await ask(url, get()))[0] == 200

    with caplog.at_level(logging.WARNING):
        served(main)
    assert caplog.records == []


def test_a_client_that_takes_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "PATIENCE", 0.1)
    router = Watched(count=8000)

    async def main(url: str) -> None:
        host, port = url.removeprefix("http://").removesuffix("/status").split(":")
        loop = asyncio.get_running_loop()
        with socket.socket() as greedy:
            greedy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            greedy.setblocking(False)
            await loop.sock_connect(greedy, (host, int(port)))
            await loop.sock_sendall(greedy, get().encode())
            read = 0
            while not read:
                await asyncio.sleep(0.5)
                read = len(await loop.sock_recv(greedy, 1000))
            # The rest never came: the connection is gone.
            try:
                while part := await loop.sock_recv(greedy, 1 << 20):
                    read += len(part)
            except ConnectionResetError:
                pass
            assert read < 8_000_000
        assert (await ask(url, get("/")))[0] == 404

    served(main, router=router)


def test_too_many_clients_are_told_so_at_once_and_the_others_are_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "CLIENTS", 2)

    async def main(url: str) -> None:
        async with client(url) as first, client(url):
            async with client(url) as third:
                assert (await third.answer())[0] == 503
            first.send(get())
            assert (await first.answer())[0] == 200
        assert (await ask(url, get()))[0] == 200

    served(main)


def test_the_end_does_not_wait_for_anybody() -> None:
    async def main(url: str) -> None:
        host, port = url.removeprefix("http://").removesuffix("/status").split(":")
        for text in ("", "GET /status HT", get()):
            _, writer = await asyncio.open_connection(host, int(port))
            writer.write(text.encode())
            waiting.append(writer)
        await asyncio.sleep(0)

    waiting: list[asyncio.StreamWriter] = []

    async def run() -> None:
        loop = asyncio.get_running_loop()
        async with no_leaks():
            async with serve_status(Watched(), Stats()) as url:
                await main(url)
                begun = loop.time()
            assert loop.time() - begun < status.PATIENCE
            for writer in waiting:
                writer.close()
                await asyncio.gather(writer.wait_closed(), return_exceptions=True)
            host, port = url.removeprefix("http://").removesuffix("/status").split(":")
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection(host, int(port))

    asyncio.run(run())


def test_a_connection_that_comes_while_the_page_closes_is_dropped() -> None:
    async def run() -> None:
        page = status._Page(dict, "/status")
        await page.close()
        async with no_leaks():
            server = await asyncio.start_server(page.connected, "127.0.0.1", 0)
            host, port = server.sockets[0].getsockname()
            reader, writer = await asyncio.open_connection(host, port)
            assert await reader.read() == b""
            writer.close()
            server.close()

    asyncio.run(run())


# --- where it listens


@pytest.mark.parametrize(
    ("host", "begins"),
    [
        ("127.0.0.1", "http://127.0.0.1:"),
        ("127.0.0.2", "http://127.0.0.2:"),
        ("localhost", "http://127.0.0.1:"),
        ("::1", "http://[::1]:"),
    ],
)
def test_it_listens_on_loopback(host: str, begins: str) -> None:
    async def main(url: str) -> None:
        assert url.startswith(begins)
        assert url.endswith("/watch")
        assert (await ask(url, get("/watch")))[0] == 200

    served(main, host=host, path="/watch")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.0.2.7", "example.com", "127.0.0.1.example.com"])
def test_it_listens_nowhere_else(host: str) -> None:
    async def main(url: str) -> None:
        raise AssertionError(url)

    with pytest.raises(ValueError, match="loopback only"):
        served(main, host=host)


@pytest.mark.parametrize("path", ["status", "", "/a b", "/a?b", "/a#b", "/größe", "/a\r\nX: y"])
def test_a_path_that_could_not_be_asked_for_is_refused(path: str) -> None:
    async def main(url: str) -> None:
        raise AssertionError(url)

    with pytest.raises(ValueError, match="path must begin with"):
        served(main, path=path)


def test_a_port_that_is_taken_is_told() -> None:
    async def main(url: str) -> None:
        port = int(url.removesuffix("/status").rpartition(":")[2])
        with pytest.raises(OSError, match="in use"):
            async with serve_status(Watched(), Stats(), port=port):
                raise AssertionError

    served(main)


def test_the_body_s_own_failure_ends_the_page_and_goes_on() -> None:
    async def main(url: str) -> None:
        raise LookupError(url)

    with pytest.raises(LookupError):
        served(main)


def test_events_are_on_the_page() -> None:
    async def run() -> Any:
        stats = Stats()
        async with serve_status(Watched(), stats) as url:
            stats(call("search0", code="timeout", type="transient"))
            return json.loads((await ask(url, get()))[2])

    assert asyncio.run(run())["traffic"]["errors"] == {"transient": {"timeout": 1}}
