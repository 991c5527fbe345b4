"""`recloser top` before a page that does not answer as it should, and the exit codes that say so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import typer

from recloser.cli import main, top_source
from recloser.cli.top_source import Unread, url_of
from support.commands import on_a_terminal

pytestmark = pytest.mark.thorough


@asynccontextmanager
async def answering(answer: bytes | None) -> AsyncIterator[str]:
    """A page that answers the same to everything, or, for None, nothing at all."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if answer is not None:
            writer.write(answer)
            writer.close()
        else:
            await reader.read()
            writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://user:hunter2@127.0.0.1:{listener.sockets[0].getsockname()[1]}/status?token=hunter2"
    finally:
        listener.close()


def as_page(body: bytes, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        (as_page(b"", "401 Unauthorized"), 77, "it wants credentials"),
        (as_page(b"", "403 Forbidden"), 77, "it does not allow this"),
        (as_page(b"", "404 Not Found"), 70, "there is no such page; the usual one is /status"),
        (as_page(b"", "429 Too Many Requests"), 75, "too many are asking"),
        (as_page(b"", "503 Service Unavailable"), 75, "it cannot tell for the moment"),
        (as_page(b"", "302 Found"), 70, "there is no such page"),
        (as_page(b"<html>"), 70, "is no status of recloser (recloser.top/1)"),
        (as_page(b"[" * 100_000), 70, "is no status of recloser"),
        (as_page(b'{"schema": "recloser.top/2"}'), 70, "is no status of recloser"),
        (as_page(b"[]"), 70, "is no status of recloser"),
        (as_page(b" " * 2000), 70, "is no status of recloser"),
        (b"", 75, "the connection was lost"),
        (b"what?\r\n\r\n", 75, "the connection was lost"),
        (None, 75, "there was no answer within"),
    ],
    ids=range(14),
)
def test_a_page_that_tells_no_status_is_told_with_why_and_an_exit_code_that_says_so(
    answer: bytes | None,
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(top_source, "LARGEST", 1000)
    if answer is None:
        monkeypatch.setattr(top_source, "PATIENCE", 0.2)

    async def look() -> int:
        async with answering(answer) as url:
            return await asyncio.to_thread(main, ["top", url, "--once"])

    assert asyncio.run(look()) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert said in " ".join(err.split())
    assert "hunter2" not in err


@pytest.mark.parametrize("words", [["--once"], ["--json"], []])
def test_where_nothing_answers_the_command_says_so_and_that_it_may_pass(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["top", "http://127.0.0.1:9", *words]) == 75
    out, err = capsys.readouterr()
    assert out == ""
    assert "No status from http://127.0.0.1:9/status: nothing answers there" in " ".join(err.split())


@pytest.mark.processes
def test_there_is_no_live_view_of_what_has_never_answered() -> None:
    code, seen = on_a_terminal("top", "http://127.0.0.1:9")
    assert code == 75
    assert "nothing answers there" in " ".join(seen.split())
    assert "\x1b[?1049h" not in seen


@pytest.mark.parametrize(
    ("word", "address"),
    [
        ("http://127.0.0.1:80", "http://127.0.0.1:80/status"),
        ("http://localhost:80/", "http://localhost:80/status"),
        ("HTTP://[::1]:80/other?x=1", "HTTP://[::1]:80/other?x=1"),
        ("https://far.example", "https://far.example/status"),
        ("mcp.json", None),
        ("a/b.toml", None),
    ],
)
def test_an_address_is_told_from_a_file(word: str, address: str | None) -> None:
    assert url_of(word, allow_plaintext=False) == address


def test_plain_text_beyond_this_machine_is_refused_unless_it_is_allowed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["top", "http://far.example/status"]) == 64
    assert "--allow-plaintext" in " ".join(capsys.readouterr().err.split())
    assert url_of("http://far.example", allow_plaintext=True) == "http://far.example/status"
    for word in ("ftp://far.example", "http://", "https:///status"):
        with pytest.raises(typer.BadParameter, match="no address"):
            url_of(word, allow_plaintext=True)


@pytest.mark.parametrize("interval", ["0", "-1", "1e9", "soon"])
def test_an_interval_that_makes_no_sense_is_a_usage_error(interval: str) -> None:
    assert main(["top", "mcp.json", "--interval", interval]) == 64


def test_what_there_is_no_document_for_has_an_exit_code() -> None:
    assert Unread("no", 75).code == 75
