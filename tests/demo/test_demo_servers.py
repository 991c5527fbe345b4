"""The demo servers as servers: what they offer, over which transport and in which era."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import mcp_types as types
import pytest
from mcp import MCPError, StdioServerParameters
from mcp.client import Client
from mcp.client.sse import sse_client
from mcp.client.stdio import stdio_client
from mcp.shared.message import SessionMessage
from mcp_types.version import LATEST_HANDSHAKE_VERSION, LATEST_MODERN_VERSION

from recloser.demo.servers import math_server, notes_server, search_server, weather_server
from recloser.demo.servers.era import without_mark
from recloser.demo.servers.serving import parse

pytestmark = pytest.mark.thorough

SERVERS = {"math": math_server, "weather": weather_server, "search": search_server, "notes": notes_server}


def run(main: Callable[[], Awaitable[None]]) -> None:
    """Run one test's coroutine."""
    asyncio.run(asyncio.wait_for(main(), 60))


def text(result: types.CallToolResult) -> str:
    return "".join(block.text for block in result.content if isinstance(block, types.TextContent))


@pytest.mark.parametrize("name", SERVERS)
def test_every_tool_says_what_it_takes_returns_and_does(name: str) -> None:
    async def main() -> None:
        async with Client(SERVERS[name].server) as client:
            for tool in (await client.list_tools()).tools:
                assert tool.description
                assert tool.output_schema
                assert tool.annotations is not None
                assert tool.annotations.open_world_hint is False

    run(main)


def test_math_answers_the_question_how_many_hours_five_days_have() -> None:
    async def main() -> None:
        async with Client(math_server.server) as client:
            assert text(await client.call_tool("multiply", {"a": 5, "b": 24})) == "120"
            assert text(await client.call_tool("add", {"a": 0.5, "b": 2})) == "2.5"

    run(main)


def test_the_slow_sum_reports_its_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(math_server, "PAUSE", 0)
    heard: list[tuple[float, float | None, str | None]] = []

    async def hear(done: float, total: float | None, message: str | None) -> None:
        heard.append((done, total, message))

    async def main() -> None:
        async with Client(math_server.server) as client:
            result = await client.call_tool("sum_of_primes", {"below": 1000}, progress_callback=hear)
            assert text(result) == "76127"

    run(main)
    assert heard == [(step, 8, "adding primes") for step in range(1, 9)]


def test_weather_is_found_in_any_spelling_and_missing_weather_names_what_there_is() -> None:
    async def main() -> None:
        async with Client(weather_server.server) as client:
            found = await client.call_tool("get_weather", {"city": " berlin"})
            assert found.structured_content is not None
            assert found.structured_content["summary"] == "Berlin: 9 C, light rain, wind 18 km/h"
            missing = await client.call_tool("get_weather", {"city": "Atlantis"})
            assert missing.is_error
            assert "Berlin" in text(missing)
            cities = (await client.read_resource("weather://cities")).contents[0]
            assert isinstance(cities, types.TextResourceContents)
            assert "Tokyo" in cities.text.splitlines()

    run(main)


def test_search_returns_the_best_hits_first_and_no_more_than_asked_for() -> None:
    async def main() -> None:
        async with Client(search_server.server) as client:
            result = await client.call_tool("search", {"query": "team news", "limit": 1})
            found = result.structured_content
            assert found is not None
            assert found["total"] > 1
            assert [hit["title"] for hit in found["hits"]] == ["Release 4.2 is out"]

    run(main)


def test_notes_are_listed_read_and_added(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notes_server, "_notes", list(notes_server._notes))

    async def main() -> None:
        async with Client(notes_server.server) as client:
            added = await client.call_tool("add_note", {"title": "Hours", "text": "120"})
            assert added.structured_content == {"id": 3, "title": "Hours", "text": "120"}
            listed = (await client.call_tool("list_notes", {})).structured_content
            assert listed is not None
            assert [note["id"] for note in listed["notes"]] == [1, 2, 3]
            assert (await client.call_tool("read_note", {"note": 3})).structured_content == added.structured_content
            assert (await client.call_tool("read_note", {"note": 9})).is_error
            read = (await client.read_resource("note://3")).contents[0]
            assert isinstance(read, types.TextResourceContents)
            assert read.text == "Hours\n\n120"
            with pytest.raises(MCPError):
                await client.read_resource("note://9")
            prompt = await client.get_prompt("daily_briefing", {"city": "Tokyo"})
            assert isinstance(prompt.messages[0].content, types.TextContent)
            assert "Tokyo" in prompt.messages[0].content.text

    run(main)


# --- over the wire


def command(name: str, *options: str) -> list[str]:
    return ["-P", "-m", f"recloser.demo.servers.{name}_server", *options]


@asynccontextmanager
async def listening(name: str, *options: str) -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
    """A server of ours over HTTP or SSE: its URL and its process."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command(name, *options), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        yield (await process.stdout.readline()).decode().strip(), process
    finally:
        if process.returncode is None:
            process.stdin.close()
            await process.wait()


def over_stdio(name: str, *options: str) -> Any:
    parameters = StdioServerParameters(command=sys.executable, args=command(name, *options), env=dict(os.environ))
    return stdio_client(parameters)


@pytest.mark.processes
@pytest.mark.parametrize(
    ("era", "version"),
    [("both", LATEST_MODERN_VERSION), ("modern", LATEST_MODERN_VERSION), ("legacy", LATEST_HANDSHAKE_VERSION)],
)
@pytest.mark.parametrize("transport", ["stdio", "http", "sse"])
def test_a_server_can_be_held_to_an_era_over_every_transport(transport: str, era: str, version: str) -> None:
    async def use(target: Any) -> None:
        async with Client(target) as client:
            assert client.protocol_version == version
            assert text(await client.call_tool("multiply", {"a": 5, "b": 24})) == "120"

    async def main() -> None:
        if transport == "stdio":
            await use(over_stdio("math", "--era", era))
            return
        options = ("--transport", transport, "--era", era, "--until-stdin-closes")
        async with listening("math", *options) as (url, _):
            await use(sse_client(url) if transport == "sse" else url)

    run(main)


@pytest.mark.processes
def test_a_modern_server_refuses_the_handshake() -> None:
    async def main() -> None:
        with pytest.raises(BaseExceptionGroup) as caught:
            async with Client(over_stdio("notes", "--era", "modern"), mode="legacy"):
                pass
        assert caught.group_contains(MCPError, match="no handshake")

    run(main)


@pytest.mark.processes
def test_whoever_does_not_bring_the_token_in_the_file_gets_a_401(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first\n", encoding="utf-8")

    async def main() -> None:
        options = ("--transport", "http", "--token-file", str(token), "--until-stdin-closes")
        async with listening("weather", *options) as (url, _), httpx2.AsyncClient() as client:
            headers = {"Authorization": "Bearer first"}
            assert (await client.post(url, json={}, headers=headers)).status_code != 401
            refused = await client.post(url, json={})
            assert refused.status_code == 401
            assert refused.headers["www-authenticate"].startswith("Bearer")
            token.write_text("second", encoding="utf-8")
            assert (await client.post(url, json={}, headers=headers)).status_code == 401

    run(main)


@pytest.mark.processes
def test_a_server_ends_with_its_stdin_even_while_a_client_is_connected() -> None:
    async def main() -> None:
        options = ("--transport", "sse", "--until-stdin-closes")
        async with (
            listening("search", *options) as (url, process),
            httpx2.AsyncClient() as client,
            client.stream("GET", url) as stream,
        ):
            assert stream.status_code == 200
            assert process.stdin is not None
            process.stdin.write(b"anything that is written is passed over")
            process.stdin.close()
            assert await process.wait() == 0

    run(main)


@pytest.mark.processes
@pytest.mark.parametrize(("transport", "code"), [("stdio", -signal.SIGINT), ("http", 130)])
def test_ctrl_c_ends_a_server_at_once(transport: str, code: int) -> None:
    async def main() -> None:
        if transport == "http":
            async with listening("math", "--transport", "http") as (_, process):
                process.send_signal(signal.SIGINT)
                assert await process.wait() == code
            return
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *command("math"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b'{"jsonrpc":"2.0","id":1,"method":"ping"}\n')
        await process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert await process.wait() == code

    run(main)


def test_a_command_line_that_makes_no_sense_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse("Math Server", ["--transport", "pigeon"])
    assert "pigeon" in capsys.readouterr().err


@pytest.mark.parametrize(
    "item",
    [
        ValueError("a line that was no message"),
        SessionMessage(types.JSONRPCNotification(jsonrpc="2.0", method="notifications/initialized")),
        SessionMessage(types.JSONRPCRequest(jsonrpc="2.0", id=1, method="ping")),
        SessionMessage(
            types.JSONRPCRequest(jsonrpc="2.0", id=1, method="ping", params={"_meta": {"progressToken": 1}})
        ),
    ],
)
def test_messages_without_the_mark_of_an_era_pass_unchanged(item: Any) -> None:
    assert without_mark(item) is item
