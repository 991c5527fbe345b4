"""The command as it is installed: usage, terminals, pipes, signals."""

from __future__ import annotations

import contextlib
import io
import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import typer

from recloser.cli import main
from recloser.cli.app import app
from support.commands import CRASHING, RECLOSER, left_behind, on_a_terminal, recloser, server, write

pytestmark = [pytest.mark.thorough, pytest.mark.processes]

HANGING = {"command": sys.executable, "args": ["-c", "import time; time.sleep(600)"]}


def test_the_installed_command_tells_its_version() -> None:
    done = recloser("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"recloser {version('recloser')}\n", "")


def test_without_a_command_it_tells_which_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    out = capsys.readouterr().out
    for command in ("demo", "tools", "call", "check"):
        assert command in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["tols"], "No such command 'tols'"),
        (["tools", "--jsn"], "No such option"),
        (["tools", "a.json", "b.json"], "unexpected extra argument"),
        (["call"], "Missing argument"),
        (["call", "add", "--timeout", "soon"], "--timeout"),
    ],
)
def test_a_command_line_that_makes_no_sense_is_a_usage_error(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 64
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert "Usage: recloser" in err


def test_call_tells_how_it_is_used(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["call", "--help"]) == 0
    assert "recloser call [OPTIONS] [CONFIG] TOOL [JSON | key=value ...]" in capsys.readouterr().out


def test_on_a_terminal_tools_are_a_table_and_connecting_is_shown(tmp_path: Path) -> None:
    config = write(tmp_path, {"math": server("math"), "notes": server("notes")})
    code, seen = on_a_terminal("tools", config)
    assert code == 0
    assert "What it does" in seen
    assert "read-only" in seen
    assert "Connecting" in seen
    assert "\x1b[" in seen


def test_on_a_terminal_check_is_a_table(tmp_path: Path) -> None:
    config = write(tmp_path, {"math": server("math"), "crash": CRASHING, "My files": server("notes")})
    code, seen = on_a_terminal("check", config)
    assert code == 75
    assert "Ready after" in seen
    assert "the database is locked" in seen
    assert "Warning: " in seen


def test_a_reader_that_leaves_early_is_no_failure(tmp_path: Path) -> None:
    config = write(tmp_path, {"math": server("math")})
    process = subprocess.Popen(
        [RECLOSER, "tools", config, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    assert process.wait(60) == 0
    process.stderr.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_failure_of_our_own_is_a_sentence_too() -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run(
            [RECLOSER, "--version"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    assert done.returncode == 70
    assert done.stderr.startswith("Error: recloser itself failed: OSError")
    assert "Traceback" not in done.stderr


def test_a_command_that_is_given_up_is_interrupted() -> None:
    @app.command("give-up")
    def give_up() -> None:
        raise typer.Abort

    try:
        assert main(["give-up"]) == 130
    finally:
        app.registered_commands.pop()


def test_output_may_go_anywhere() -> None:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert main(["--version"]) == 0
    assert out.getvalue().startswith("recloser ")


def test_verbose_shows_on_stderr_what_is_logged(tmp_path: Path) -> None:
    done = recloser("--verbose", "tools", write(tmp_path, {"math": server("math")}))
    assert done.returncode == 0
    assert "math__add" in done.stdout


def test_what_a_terminal_cannot_show_does_not_fail_the_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    config = write(tmp_path, {"notes": server("notes")})
    done = recloser("call", config, "notes__add_note", "title=Größe", "text=x")
    assert done.returncode == 0
    assert "Gr\\xf6\\xdfe" in done.stdout


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_command_and_everything_that_it_started(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    write(tmp_path, {"slow": HANGING})
    process = subprocess.Popen(
        [RECLOSER, "tools"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    while not any("time.sleep" in line for line in left_behind(tmp_path)):
        assert process.poll() is None
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (code, "", "")
    assert left_behind(tmp_path) == []
