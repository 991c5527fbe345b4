"""The status page before slow and rude clients, which hold nobody up."""

from __future__ import annotations

import asyncio
import logging
import socket

import pytest
from status_kit import Watched, ask, client, get, served

from recloser.telemetry import status
from recloser.telemetry.stats import Stats
from recloser.telemetry.status import serve_status
from recloser.testing.leaks import no_leaks


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
