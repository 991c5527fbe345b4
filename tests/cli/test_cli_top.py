"""`recloser top`: what a person sees of a router in another program, or of a configuration, and how it ends."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from top_kit import DOCUMENT

from recloser.cli import main, top_source
from recloser.cli.top_source import of_configuration
from recloser.cli.top_view import cells
from support.commands import CRASHING, MISSING, RECLOSER, on_a_terminal, recloser, server, write

pytestmark = pytest.mark.thorough

EMBEDDED = """
import asyncio, sys
from recloser import Router, Server
from recloser.telemetry.stats import Stats
from recloser.telemetry.status import serve_status

def demo(name):
    return {"command": sys.executable, "args": ["-P", "-m", f"recloser.demo.servers.{name}_server"]}

async def main():
    stats = Stats()
    crashing = {"command": sys.executable, "args": ["-c", "import sys; sys.exit(3)"]}
    servers = Server("math", **demo("math")), Server("crash", **crashing)
    async with Router(*servers, listeners=[stats]) as router, serve_status(router, stats) as url:
        for _ in range(3):
            await router.call_tool("math__add", {"a": 1, "b": 2})
        await router.call_tool("crash__anything", {})
        print(url, flush=True)
        await asyncio.to_thread(sys.stdin.read)

asyncio.run(main())
"""


@contextmanager
def embedded() -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A program of its own with a router in it; yields the address of its status."""
    process = subprocess.Popen(
        [sys.executable, "-c", EMBEDDED], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip(), process
    finally:
        if not process.stdin.closed:
            process.stdin.close()
        process.stdout.close()
        process.wait(60)


class Watch:
    """`recloser top` on a terminal, and all that was seen on it so far."""

    def __init__(self, *words: str, cwd: Path | None = None) -> None:
        import pty

        self.terminal, theirs = pty.openpty()
        environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"}
        environment.pop("NO_COLOR", None)
        self.process = subprocess.Popen(
            [RECLOSER, "top", *words], cwd=cwd, stdin=theirs, stdout=theirs, stderr=theirs, env=environment
        )
        os.close(theirs)
        self.seen = ""

    def until(self, text: str) -> None:
        """Read until it is there."""
        while text not in self.seen:
            self.seen += os.read(self.terminal, 65536).decode()

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        """End it as a person does, and return its exit code."""
        self.process.send_signal(number)
        with io.BytesIO() as rest:
            while True:
                try:
                    chunk = os.read(self.terminal, 65536)
                except OSError:
                    break
                if not chunk:
                    break
                rest.write(chunk)
            self.seen += rest.getvalue().decode()
        os.close(self.terminal)
        return self.process.wait(60)


# --- a router in another program


@pytest.mark.processes
def test_the_router_of_another_program_is_shown_as_one_document_or_as_lines_or_as_a_table() -> None:
    with embedded() as (url, _):
        done = recloser("top", url, "--once", "--json")
        assert (done.returncode, done.stderr) == (0, "")
        document = json.loads(done.stdout)
        assert document["schema"] == "recloser.top/1"
        math, crash = document["servers"]
        assert (math["name"], math["state"], math["traffic"]["success"]) == ("math", "ready", 3)
        assert crash["traffic"]["errors"] == {"transient": {"unreachable": 1}} or crash["traffic"]["rejected"] == 1

        # Without a terminal there is no live view, and the path is known.
        done = recloser("top", url.removesuffix("/status"))
        assert (done.returncode, done.stderr) == (0, "")
        lines = [line.split("\t") for line in done.stdout.splitlines()]
        assert [line[:2] for line in lines] == [["math", "ready"], ["crash", "failed"]]

        code, seen = on_a_terminal("top", url, "--once")
        assert code == 0
        for word in ("Server", "Circuit", "math", "ready", "closed", "crash", "failed", "Last failures", "Changes"):
            assert word in seen
        assert "\x1b[?1049h" not in seen


@pytest.mark.processes
def test_a_person_watches_until_ctrl_c_and_a_page_that_is_gone_for_a_while_is_told() -> None:
    with embedded() as (url, process):
        watch = Watch(url, "--interval", "0.1")
        watch.until("math")
        watch.until("Ctrl-C ends")
        assert process.stdin is not None
        process.stdin.close()
        watch.until("nothing answers there")
        watch.until(" s old.")
    assert watch.end() == 0
    assert watch.seen.count("\x1b[?1049h") == 1
    assert "\x1b[?1049l" in watch.seen  # the terminal is as it was
    assert "Traceback" not in watch.seen


@pytest.mark.processes
def test_sigterm_ends_it_as_it_ends_every_command() -> None:
    with embedded() as (url, _):
        watch = Watch(url)
        watch.until("math")
        assert watch.end(signal.SIGTERM) == 143


@pytest.mark.processes
def test_a_dumb_terminal_gets_one_table(monkeypatch: pytest.MonkeyPatch) -> None:
    with embedded() as (url, _):
        monkeypatch.setenv("TERM", "dumb")
        monkeypatch.setattr(sys, "stdout", Terminal())
        assert main(["top", url]) == 0
        assert "math" in sys.stdout.getvalue()  # type: ignore[attr-defined]  # it is ours


def test_ctrl_c_is_how_a_person_ends_it_and_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stdout", Terminal())
    looks = 0

    @asynccontextmanager
    async def of_page(url: str) -> AsyncIterator[Any]:
        async def read() -> dict[str, Any]:
            nonlocal looks
            looks += 1
            if looks == 3:
                signal.raise_signal(signal.SIGINT)
            return DOCUMENT

        yield read

    monkeypatch.setattr("recloser.cli.top.of_page", of_page)
    assert main(["top", "http://127.0.0.1:9", "--interval", "0.1"]) == 0
    assert looks == 3


def test_it_ends_when_its_terminal_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0

    class Leaving(Terminal):
        def isatty(self) -> bool:
            return looks < 3

    @asynccontextmanager
    async def of_page(url: str) -> AsyncIterator[Any]:
        async def read() -> dict[str, Any]:
            nonlocal looks
            looks += 1
            return DOCUMENT

        yield read

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stdout", Leaving())
    monkeypatch.setattr("recloser.cli.top.of_page", of_page)
    assert main(["top", "http://127.0.0.1:9", "--interval", "0.1"]) == 0
    assert looks == 3


class Terminal(io.StringIO):
    """An output that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


# --- a configuration


@pytest.mark.processes
def test_the_servers_of_a_configuration_are_looked_at_and_asked_for_a_sign_of_life_but_no_tool_is_called(
    tmp_path: Path,
) -> None:
    servers = {"math": server("math"), "notes": server("notes", "--era", "legacy"), "gone": MISSING}
    config = write(tmp_path, servers | {"off": server("math") | {"disabled": True}})
    done = recloser("top", config, "--json")
    assert done.returncode == 0
    math, notes, gone, off = json.loads(done.stdout)["servers"]
    assert [one["state"] for one in (math, notes, gone, off)] == ["ready", "ready", "failed", "disabled"]
    assert (math["last_request"]["method"], math["last_request"]["code"]) == ("server/discover", None)
    assert (notes["last_request"]["method"], notes["last_request"]["code"]) == ("ping", None)
    assert gone["last_failure"]["code"] == "cannot_start"
    assert [one["traffic"]["calls"] + one["traffic"]["attempts"] for one in (math, notes, gone, off)] == [0] * 4


@pytest.mark.processes
def test_a_configuration_is_found_and_watched_while_its_servers_come_up(tmp_path: Path) -> None:
    write(tmp_path, {"math": server("math"), "crash": CRASHING})
    watch = Watch("--interval", "0.1", cwd=tmp_path)
    watch.until("math")
    watch.until("ready")
    watch.until("could not connect")
    watch.until("in ")
    assert watch.end() == 0
    assert "mcp.json" in watch.seen
    assert "calls/s" not in watch.seen


def test_mistakes_in_a_configuration_are_told_as_everywhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write(tmp_path, {"math": {"argz": []}})
    assert main(["top", config, "--once"]) == 78
    assert "argz" in capsys.readouterr().err
    assert main(["top", str(tmp_path / "nothing.json")]) == 78


@pytest.mark.processes
def test_a_server_that_hangs_is_seen_by_the_sign_of_life_that_it_does_not_give(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(top_source, "PATIENCE", 0.2)
    monkeypatch.setattr(top_source, "PROBE_EVERY", 0.01)

    async def look() -> dict[str, Any]:
        config = Path(write(tmp_path, {"math": server("math")}))
        async with of_configuration(config, settled=False) as read:
            while (await read())["servers"][0]["traffic"]["requests"] < 5:
                await asyncio.sleep(0.01)
            pid = (await read())["servers"][0]["endpoints"][0]["pid"]
            os.kill(pid, signal.SIGSTOP)
            try:
                while (found := await read())["servers"][0]["last_request"]["code"] is None:
                    await asyncio.sleep(0.01)
            finally:
                os.kill(pid, signal.SIGCONT)
            return found

    row = cells(asyncio.run(look()), alone=True)[0]
    assert row[:3] == ["math", "ready", "closed"]
    assert row[-2].startswith("none in 2")
