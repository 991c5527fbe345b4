"""The demo as people run it, and what it says when things do not happen as they should."""

from __future__ import annotations

import asyncio
import io
import signal
import subprocess
from pathlib import Path

import mcp_types as types
import pytest
from rich.console import Console

from recloser.call import Call
from recloser.demo import fleet, story
from recloser.demo.briefing import spoken, text_of
from recloser.demo.fleet import DemoFleet
from recloser.demo.show import Show
from recloser.demo.story import Scene, _back, tell
from recloser.errors import error_for
from recloser.fanout import FanOut, Reply
from recloser.router import Router
from support.commands import RECLOSER, left_behind, recloser

pytestmark = [pytest.mark.thorough, pytest.mark.processes]


def quiet() -> tuple[Show, io.StringIO]:
    out = io.StringIO()
    return Show(Console(file=out, width=200, highlight=False)), out


def test_the_demo_shows_what_it_should_from_an_empty_directory_and_leaves_nothing(tmp_path: Path) -> None:
    done = recloser("demo", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert done.stdout.isascii()
    assert "[NOT]" not in done.stdout
    for part in (
        "math__multiply(a=5, b=24) -> 120",
        "Good morning!",
        "attempt 1 failed (connection_lost)",
        "circuit closed -> open",
        '"code": "circuit_open"',
        '"code": "unauthenticated"',
        "I couldn't fetch",
        "circuit half_open -> closed",
        "Everything happened as it should.",
    ):
        assert part in done.stdout
    assert left_behind(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_ends_the_demo_and_all_of_its_servers_even_one_that_hangs(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [RECLOSER, "demo"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "SIGSTOP to search" in line:
            break
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "")
    assert left_behind(tmp_path) == []


def test_servers_end_by_themselves_when_the_demo_is_killed(tmp_path: Path) -> None:
    process = subprocess.Popen([RECLOSER, "demo"], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("1. "):
            break
    process.kill()
    process.communicate(timeout=60)
    while left_behind(tmp_path):
        pass  # the test's time limit bounds this


def test_a_demo_that_did_not_show_what_it_should_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    async def lie(scene: Scene) -> None:
        scene.show.expect("the moon is made of cheese", holds=False)

    monkeypatch.setattr(story, "ACTS", (lie,))
    show, out = quiet()
    assert asyncio.run(tell(show)) == 1
    assert "[NOT] the moon is made of cheese" in out.getvalue()
    assert "1 things did not happen" in out.getvalue()


def test_a_demo_that_takes_too_long_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(story, "LIMIT", 0.05)
    show, out = quiet()
    assert asyncio.run(tell(show)) == 1
    assert "[NOT] the demo ends within 0.05 seconds" in out.getvalue()


def test_a_server_that_does_not_start_is_told_with_how_to_see_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "HTTP", {"weather": ("no_such_server", "http", "both")})
    show, out = quiet()
    assert asyncio.run(tell(show)) == 1
    assert "weather server did not start" in out.getvalue()
    assert "-m recloser.demo.servers.no_such_server" in out.getvalue()


def test_a_server_that_does_not_come_back_ends_the_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(story, "RECOVERY", 0.0)
    show, _ = quiet()

    async def main() -> None:
        async with DemoFleet() as servers, Router(*servers.servers[1:2]) as router:
            await router.ready("weather")
            servers.revoke_token()
            scene = Scene(router=router, fleet=servers, show=show)
            assert not await _back(scene, "weather__get_weather", {"city": "London"})

    asyncio.run(main())


def test_what_is_missing_for_any_other_reason_is_named_by_its_code() -> None:
    error = error_for("server_fault", "search failed inside", server="search").payload
    spread = FanOut(
        replies=(Reply(index=0, call=Call.tool("search__search"), error=error, elapsed=1),), quorum=0, elapsed=1
    )
    assert spoken(spread) == "I couldn't fetch the team's news (search: server_fault), but here is the rest: "


def test_long_answers_are_cut_to_a_line() -> None:
    result = types.CallToolResult(content=[types.TextContent(text="a\nb " * 60)])
    assert text_of(result).startswith("a b a b")
    assert len(text_of(result)) == 100
