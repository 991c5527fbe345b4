"""A proxy before a server changes nothing of what it is sent; and a server that is not there is told as that."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from chaos.chaos_kit import written
from recloser import Server
from recloser.cli import main
from recloser.cli.chaos import running
from recloser.config import load
from recloser.errors import error_for
from recloser.testing.scenario import Scenario, run_scenario
from recloser.testing.scenario.fronts import Fronts
from recloser.testing.scenario.load import NothingToCallError, specs_for
from recloser.testing.scenario.records import Load, Strike
from support.commands import write

TOXIC = Strike(kind="toxic", name="latency", servers=("own",), at=1.0, until=2.0)
READ_ONLY = Load(name="l", tools={"read-only": 1.0})

SCENARIO = """
title = "X"
proves = "Y."
fleet = "config"
duration = 0.5
rules = [1]
[[load]]
rate = 10
tools = "read-only"
[[timeline]]
at = 0.1
until = 0.2
server = "own"
toxic = "latency"
arguments = { latency = 0.01 }
"""

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def heads() -> AsyncIterator[tuple[int, list[dict[str, str]]]]:
    """A server that refuses all requests and keeps their headers; yields its port, and these."""
    seen: list[dict[str, str]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()[1:]
        seen.append({name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head if line)})
        writer.write(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], seen


async def put(server: Server) -> Server:
    fronts = Fronts([TOXIC], seed=1)
    try:
        return await fronts.put(server)
    finally:
        await fronts.close()


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://localhost:8123/mcp", "localhost:8123"),
        ("http://LOCALHOST:80/mcp", "localhost"),
        ("http://127.0.0.1/mcp", "127.0.0.1"),
        ("http://[::1]:8123/mcp", "[::1]:8123"),
        ("http://[::1]/mcp", "[::1]"),
        ("http://Bücher.example:8123/mcp", "xn--bcher-kva.example:8123"),
    ],
)
def test_a_server_behind_a_proxy_is_called_by_the_name_that_its_url_says(url: str, host: str) -> None:
    server = asyncio.run(put(Server("own", url, allow_plaintext=True, headers={"X-Mine": "1"})))
    assert server.headers == {"Host": host, "X-Mine": "1"}
    assert server.url is not None
    assert server.url.startswith("http://127.0.0.1:")
    assert server.url.endswith("/mcp")


def test_a_name_that_the_configuration_gives_is_kept_and_so_is_user_info() -> None:
    server = asyncio.run(put(Server("own", "http://me:pass@localhost:8123/mcp?q=1", headers={"host": "mine.example"})))
    assert server.headers == {"host": "mine.example"}
    assert server.url is not None
    assert server.url.startswith("http://me:pass@127.0.0.1:")
    assert server.url.endswith("/mcp?q=1")


def told(tmp_path: Path) -> Scenario:
    return written(tmp_path, SCENARIO)


def test_every_request_through_a_proxy_has_the_headers_that_it_would_have_without(tmp_path: Path) -> None:
    async def main_() -> tuple[int, list[dict[str, str]]]:
        async with heads() as (port, seen):
            url = f"http://me:pass@localhost:{port}/mcp"
            settings = load({"mcpServers": {"own": {"url": url}}, "recloser": {"servers": {"own": {"chaos": True}}}})
            with pytest.raises(NothingToCallError, match="own is not available"):
                await run_scenario(told(tmp_path), seed=1, settings=settings)
            return port, seen

    port, seen = asyncio.run(main_())
    assert {each["host"] for each in seen} == {f"localhost:{port}"}
    assert {each["authorization"] for each in seen} == {"Basic bWU6cGFzcw=="}


def test_a_load_without_anything_to_call_names_the_servers_that_are_not_available_and_why() -> None:
    down = error_for("unreachable", "Server 'own' cannot be reached.", server="own").payload
    with pytest.raises(NothingToCallError) as alone:
        specs_for(READ_ONLY, ["own"], frozenset(), {}, {"own": down, "not called": down})
    assert str(alone.value) == "load 'l' has nothing to call: own is not available: Server 'own' cannot be reached"
    with pytest.raises(NothingToCallError) as beside:
        specs_for(READ_ONLY, ["own", "b"], frozenset(), {}, {"own": down})
    assert "own is not available: Server 'own' cannot be reached; none of b offers a tool" in str(beside.value)
    assert beside.value.unavailable == {"own": down}
    with pytest.raises(NothingToCallError) as neither:
        specs_for(READ_ONLY, ["b"], frozenset(), {}, {"own": down})
    assert neither.value.unavailable == {}


@pytest.mark.processes
def test_the_exit_code_of_a_server_that_is_not_there_is_that_of_its_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scenario = tmp_path / "own.toml"
    scenario.write_text(SCENARIO, encoding="utf-8")
    own = {"url": "http://127.0.0.1:9/mcp"}
    config = write(tmp_path, {"own": own}, servers={"own": {"chaos": True}})
    assert main(["chaos", "run", str(scenario), "--config", config]) == 75
    err = " ".join(capsys.readouterr().err.split())
    assert "Error: load 'load 1' has nothing to call: own is not available: server 'own' cannot be reached" in err


def test_a_scenario_that_no_server_has_tools_for_is_a_mistake_of_its_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def fails(*_arguments: object, **_options: object) -> None:
        raise NothingToCallError("nothing to call", {})

    monkeypatch.setattr(running, "run_scenario", fails)
    assert main(["chaos", "run", "slow_one"]) == 78
    assert "slow_one.toml: nothing to call" in capsys.readouterr().err
