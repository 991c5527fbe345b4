"""The status page of an embedded router: read-only, and on this machine only."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest
from mcp.server import MCPServer
from status_kit import Watched, ask, get, served

from recloser import Router, Server
from recloser.telemetry import status
from recloser.telemetry.stats import Stats
from recloser.telemetry.status import serve_status, status_of
from recloser.testing.leaks import no_leaks
from support.status import call


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
