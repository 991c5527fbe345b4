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
import typer
from rich.console import Console

from recloser import Server
from recloser.cli import main, top_columns, top_source
from recloser.cli.top_columns import short
from recloser.cli.top_reading import Reading
from recloser.cli.top_source import Unread, of_configuration, url_of
from recloser.cli.top_view import AROUND, FROM_WIDE, cells, screen
from recloser.events import CircuitChanged, ConnectionChanged
from recloser.telemetry.stats import Stats
from recloser.testing.clock import run_virtual
from support.commands import CRASHING, MISSING, RECLOSER, on_a_terminal, recloser, server, write
from support.status import attempt, call, circuit, endpoint, health, payload, request

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


# --- a page that does not answer as it should


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


# --- the picture

NAMES = ("search", "files", "jira-cloud", "warehouse-analytics-of-the-whole-company", "notes", "off")


def story() -> dict[str, Any]:
    """A document in which there is one of everything."""

    async def tell() -> dict[str, Any]:
        loop, heard = asyncio.get_running_loop(), Stats()
        for name in NAMES:
            heard(ConnectionChanged(server=name, endpoint=f"{name}/0", state="ready", generation=1))
        await asyncio.sleep(30)
        for _ in range(50):
            for name in NAMES[:-1]:
                heard(attempt(name))
                heard(call(name, duration=0.123))
        for _ in range(6):
            heard(attempt("files", code="connection_lost"))
            heard(call("files", code="connection_lost", type="transient"))
        heard(CircuitChanged(server="files", endpoint="files/0", previous="closed", state="open", reason="failures"))
        heard(
            ConnectionChanged(
                server="files", endpoint="files/0", state="connecting", generation=2, code="connection_lost"
            )
        )
        heard(call("files", code="circuit_open", type="transient", attempts=0))
        heard(attempt("jira-cloud", code="forbidden", name="create_issue"))
        heard(call("jira-cloud", code="forbidden", type="auth"))
        heard(call("jira-cloud", code="server_fault", type="critical"))
        heard(call(None, code="unknown_tool", type="critical", attempts=0))
        heard(attempt("search", kind="retry"))
        for name in NAMES[:-2]:
            heard(request(name))
        heard(request("notes", code="cancelled", duration=5.0))
        await asyncio.sleep(3)
        now = loop.time()
        lost = payload("connection_lost", "the connection to server 'files' was lost; try again later.")
        opened = circuit("open", since=now - 3, retry_after=1.7)
        seen = {name: health(name) for name in NAMES}
        seen["files"] = health(
            "files",
            [endpoint("files/0", state="connecting", circuit=opened, last_failure=lost, last_failure_ago=3.0)],
            state="connecting",
            retry_tokens=122,
        )
        seen["search"] = health(
            "search",
            [
                endpoint("search/0", in_flight=3),
                endpoint("search/1", in_flight=25, waiting=4, circuit=circuit("half_open", since=now - 0.4)),
            ],
        )
        seen["jira-cloud"] = health("jira-cloud", retry_tokens=20)
        seen["notes"] = health("notes", [endpoint(circuit=circuit("isolated", since=now - 500))])
        seen["off"] = health("off", (), state="disabled", kind="stdio", protocol_version=None)
        options = {name: Server(name, "https://search.example/mcp") for name in NAMES[:-1]}
        return heard.snapshot(seen, options)

    return run_virtual(tell())


DOCUMENT = story()


def picture(document: Any = DOCUMENT, *, width: int = 80, height: int | None = None, **options: Any) -> str:
    """What is seen, in plain text."""
    console = Console(width=width, record=True, file=io.StringIO(), force_terminal=True, color_system="256")
    console.print(screen(document, source="here", width=width, height=height, **{"alone": False} | options))
    return console.export_text()


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("width", [80, 100, FROM_WIDE, 200])
def test_it_fits_the_terminal_and_cuts_no_number(width: int, alone: bool) -> None:
    seen = picture(width=width, alone=alone)
    assert max(map(len, seen.splitlines())) <= width
    rows = {line.split()[0]: line for line in seen.split("Last failures")[0].splitlines() if line.strip()}
    assert rows["search"].split()[:2] == ["search", "ready"]
    assert rows["search"].split()[2].startswith("half-open")
    assert rows["search/0"].split()[1:3] == ["ready", "closed"]
    assert rows["notes"].split()[2].startswith("isolated")
    if not alone:
        assert "28+4" in rows["search"]
        assert "123 ms" in rows["search"] or "122 ms" in rows["search"]
        assert "6 transient" in seen or "connection_lost" in seen


def test_a_wide_terminal_is_told_more() -> None:
    seen = picture(width=220)
    assert "open for 3.0 s, try in 1.7 s" in seen
    assert "transient: 6 connection_lost, 1 circuit_open" in " ".join(seen.split())
    assert "auth: 1 forbidden; critical: 1 server_fault" in " ".join(seen.split())
    assert "24 %" in seen
    assert "warehouse-analytics-of-the-whole-company" in seen


def test_what_went_wrong_and_what_has_changed_stands_under_the_table() -> None:
    seen = picture(width=120)
    failures, changes = seen.split("Last failures")[1].split("Changes")
    assert [line.split()[:4] for line in failures.splitlines() if line.strip()] == [
        ["files", "3.0", "s", "ago"],
        ["jira-cloud", "3.0", "s", "ago"],
    ]
    assert "connection_lost in web: the connection to server 'files' was lost; try again later." in failures
    assert "forbidden in create_issue" in failures
    assert "connecting again (connection_lost)" in changes
    assert "circuit open (failures)" in changes
    assert "connected" in changes


def test_the_whole_is_summed_up_in_words() -> None:
    seen = " ".join(picture(width=200).split())
    assert "Last 33 s: 7.8 calls/s, 3.5 % failed, 28 in flight" in seen
    assert "1 retries, 1 rejected, 1 to no known server" in seen
    quiet = run_virtual(_quiet())
    assert "0.0 calls/s, none failed" in picture(quiet, width=200)
    assert "Last failures" not in picture(quiet)


async def _quiet() -> dict[str, Any]:
    return Stats().snapshot({"search": health("search")})


def test_a_router_that_nobody_uses_is_told_by_how_its_servers_answer() -> None:
    seen = picture(alone=True)
    assert "calls/s" not in seen
    assert "in 2.0 ms" in seen
    assert "none in" in seen
    (off,) = (line for line in seen.split("Last failures")[0].splitlines() if line.startswith("off"))
    assert off.split() == ["off", "disabled", "-", "stdio", "-", "3", "-"]


def test_where_not_all_fit_those_with_trouble_are_shown_in_their_order() -> None:
    servers = [dict(DOCUMENT["servers"][4], name=f"fine{number}", endpoints=[]) for number in range(30)]
    document = DOCUMENT | {"servers": [*servers, *DOCUMENT["servers"]]}
    seen = picture(document, height=AROUND + 4)
    shown = [line.split()[0] for line in seen.split("and 32 more")[0].splitlines()[6:] if line[:1].strip()]
    assert shown == ["search", "files", "jira-cloud", "notes"]
    assert "and 32 more" in seen
    assert "more, of which" not in picture(document, height=None)
    assert "and 35 more" in picture(document, height=3)


def test_a_notice_and_how_to_end_it_are_shown_on_a_live_view_only() -> None:
    assert "Ctrl-C ends" in picture(height=40)
    assert "Ctrl-C ends" not in picture()
    assert "it is 12 s old" in picture(notice="it is 12 s old")


def test_the_lines_for_programs_hold_all_in_words() -> None:
    found = {row[0]: row for row in cells(DOCUMENT, alone=False)}
    assert list(found) == list(NAMES)
    assert len({len(row) for row in found.values()}) == 1
    assert found["files"][-3:] == ["24 %", "3.0 s ago", "connection_lost 3.0 s ago"]
    assert found["off"][-3:] == ["500", "never", "-"]  # the size of its budget is not known
    assert cells(DOCUMENT, alone=True)[4][-2:] == ["none in 5.0 s, answered 3.0 s ago", "-"]


@pytest.mark.parametrize("ground", [(0, 0, 0), (255, 255, 255)])
@pytest.mark.parametrize("colour", ["GOOD", "UNSURE", "BAD", "HELD", "FAINT"])
def test_every_colour_can_be_read_on_a_dark_ground_and_on_a_light_one(
    colour: str, ground: tuple[int, int, int]
) -> None:
    from rich.color import Color

    name = getattr(top_columns, colour).removeprefix("bold ")
    bright = sorted([_brightness(Color.parse(name).get_truecolor()), _brightness(ground)])
    assert (bright[1] + 0.05) / (bright[0] + 0.05) >= 3.0  # what WCAG asks of large text and of signs


def _brightness(colour: Any) -> float:
    parts = [part / 255 for part in colour]
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_nothing_is_said_by_colour_alone() -> None:
    plain = Console(width=FROM_WIDE, file=io.StringIO(), no_color=True, force_terminal=False, legacy_windows=False)
    plain.print(screen(DOCUMENT, source="here", width=FROM_WIDE, alone=False))
    text = plain.file.getvalue()  # type: ignore[attr-defined]  # it is a StringIO
    for word in ("ready", "connecting", "disabled", "closed", "open", "half-open", "isolated", "24 %", "failed"):
        assert word in text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0.0, "0.0 ms"),
        (0.00123, "1.2 ms"),
        (0.00996, "10 ms"),
        (0.4, "400 ms"),
        (0.9996, "1.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (99.4, "99 s"),
        (100.0, "2 min"),
        (5400.0, "90 min"),
        (7200.0, "2 h"),
        (200_000.0, "2 d"),
        (1e9, "11574 d"),
    ],
)
def test_a_duration_is_short_and_has_a_unit(seconds: float | None, text: str) -> None:
    assert short(seconds) == text
    assert len(text) <= 7


# --- a document that another program wrote


def paths(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield at
    if isinstance(value, dict):
        for key, item in value.items():
            yield from paths(item, (*at, key))
    elif isinstance(value, list) and value:
        yield from paths(value[0], (*at, 0))


def changed(value: Any, at: tuple[Any, ...], junk: Any) -> Any:
    if not at:
        return junk
    copy = value.copy()
    copy[at[0]] = changed(value[at[0]], at[1:], junk)
    return copy


@pytest.mark.parametrize(
    "junk", [None, True, -7, 1e308, float("inf"), float("nan"), "x\x1b[2J\u202e", [], [3], {}, {"x": []}], ids=repr
)
def test_whatever_stands_in_a_document_is_shown_as_far_as_it_makes_sense(junk: Any) -> None:
    small = DOCUMENT | {"servers": DOCUMENT["servers"][1:2], "changes": DOCUMENT["changes"][:1]}
    for at in paths(small):
        document = changed(small, at, junk)
        for alone in (False, True):
            text = str(cells(document, alone=alone))
            assert "\x1b" not in text
        if at and at[-1] in ("name", "state", "ago", "p50", "errors", "servers", "changes", "endpoints", "circuit"):
            assert "\u202e" not in picture(document)


def test_a_reading_of_nothing_is_nothing() -> None:
    nothing = Reading("text")
    assert not nothing
    assert (nothing.text("a"), nothing.number("a"), nothing.count("a"), nothing.counts("a")) == ("", None, 0, {})
    assert nothing.parts("a") == []
    some = Reading({"a": "two\nlines", "b": {"few": 1, "many": 5, "none": "x"}})
    assert some.text("a") == "two lines"
    assert list(some.counts("b").items()) == [("many", 5), ("few", 1), ("none", 0)]
