"""Whoever closes a command's streams or stops reading them: it does its work, and its exit code says what it found."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

from chaos.chaos_kit import SHORT, written
from recloser.cli import main, output
from recloser.cli.streams import lasting
from support.commands import MISSING, RECLOSER, server, write

CLOSED = {"stdin and stderr": "0<&- 2>&-", "stdout": ">&-"}


@contextmanager
def deaf(kind: Callable[[], tuple[Any, Any]]) -> Iterator[int]:
    """The end to write to of something whose reader has left."""
    reader, writer = kind()
    os.close(reader)
    try:
        yield writer
    finally:
        os.close(writer)


def pair() -> tuple[int, int]:
    ours, theirs = socket.socketpair()
    return ours.detach(), theirs.detach()


@contextmanager
def standing_in(monkeypatch: pytest.MonkeyPatch, **streams: Any) -> Iterator[None]:
    with monkeypatch.context() as patched:
        for name, stream in streams.items():
            patched.setattr(sys, name, stream)
        yield


# --- the streams themselves


@pytest.mark.parametrize("kind", [os.pipe, pair, os.openpty])
@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_what_nobody_reads_any_more_is_written_in_vain_and_fails_nothing(
    name: str, kind: Callable[[], tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with deaf(kind) as number, open(number, "w", encoding="utf-8", closefd=False) as stream:
        with standing_in(monkeypatch, **{name: stream}), lasting():
            for _ in range(2):
                print("x" * 100_000, file=getattr(sys, name), flush=True)
            assert getattr(sys, name) is not stream
        stream.flush()  # nothing is left that would fail when the interpreter ends


def test_a_stream_that_is_not_there_is_there_while_a_command_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    with standing_in(monkeypatch, stdin=None, stdout=None, stderr=None):
        with lasting():
            assert sys.stdin.read() == ""
            assert not sys.stdout.isatty()
            assert not sys.stderr.isatty()
            output.data("an answer")
            output.warn("a remark")
        assert (sys.stdin, sys.stdout, sys.stderr) == (None, None, None)


def test_the_streams_are_what_they_were_also_after_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "out").open("w", encoding="utf-8") as stream, standing_in(monkeypatch, stdout=stream):
        sys.stdout.write("before ")
        with pytest.raises(LookupError), lasting():
            sys.stdout.write("within ")
            raise LookupError
        assert sys.stdout is stream
        sys.stdout.write("after")
    assert (tmp_path / "out").read_text(encoding="utf-8") == "before within after"


def test_a_stream_that_a_program_has_put_there_stays_there(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs, without_number = io.StringIO(), io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    with standing_in(monkeypatch, stdout=theirs, stderr=without_number), lasting():
        assert sys.stdout is theirs
        assert sys.stderr is without_number
        print("Größe", file=sys.stderr, flush=True)
    assert without_number.buffer.getvalue() == b"Gr\\xf6\\xdfe\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_an_answer_that_has_no_room_is_a_failure_and_a_remark_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    full = Path("/dev/full")
    with full.open("w", encoding="utf-8") as out, full.open("w", encoding="utf-8") as err:
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", err)
        assert main(["--version"]) == 70
        assert main(["tols"]) == 64
        with lasting():
            ours = sys.stdout
            print("no room for this")
        ours.flush()  # as Python does when it collects a stream, and says what goes wrong
        monkeypatch.undo()


# --- the commands


@pytest.fixture
def config(tmp_path: Path) -> str:
    return write(tmp_path, {"math": server("math"), "gone": MISSING})


def outcomes(*words: str, directory: Path) -> dict[str, tuple[int, str, str]]:
    """Run a command at once in all the ways; return its exit code, its answer and what it said in each."""
    running: dict[str, tuple[subprocess.Popen[bytes], IO[bytes], IO[bytes]]] = {}
    with ExitStack() as stack:

        def started(name: str, command: list[str], **deaf_to: int) -> None:
            out, err = (stack.enter_context((directory / f"{name} {each}").open("w+b")) for each in ("out", "err"))
            streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": out, "stderr": err, **deaf_to}
            running[name] = subprocess.Popen(command, **streams), out, err

        for name, how in CLOSED.items():
            started(f"{name} closed", ["sh", "-c", f'exec "$@" {how}', "sh", RECLOSER, *words])
        nobody = stack.enter_context(deaf(os.pipe))
        started("no reader of stdout", [RECLOSER, *words], stdout=nobody)
        started("no reader of stderr", [RECLOSER, *words], stderr=nobody)
        return {
            name: (process.wait(100), *(told(stream) for stream in (out, err)))
            for name, (process, out, err) in running.items()
        }


def told(stream: IO[bytes]) -> str:
    stream.seek(0)
    return stream.read().decode()


@pytest.mark.parametrize(("words", "code"), [(["--help"], 0), (["tols"], 64), (["check", "none.json"], 78)])
def test_what_is_told_without_any_server_is_told_to_nobody_with_the_same_code(
    words: list[str], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        deaf(os.pipe) as number,
        open(number, "w", encoding="utf-8", closefd=False) as stream,
        standing_in(monkeypatch, stdout=stream, stderr=stream),
    ):
        assert main(words) == code


@pytest.mark.thorough
@pytest.mark.processes
@pytest.mark.parametrize(
    ("words", "code", "answer", "remark"),
    [
        (["tools", "{config}"], 0, "math__add\t", "gone is not available"),
        (["call", "{config}", "math__add", "a=1", "b=2", "--audit", "{audit}"], 0, "3\n", ""),
        (["check", "{config}"], 70, "math\tready", "What to do"),
        (["top", "{config}"], 0, "math\t", ""),
    ],
)
def test_a_command_s_exit_code_says_what_it_found_whoever_has_closed_its_streams_or_left(
    words: list[str], code: int, answer: str, remark: str, config: str, tmp_path: Path
) -> None:
    audit = tmp_path / "audit.jsonl"
    found = outcomes(*(word.format(config=config, audit=audit) for word in words), directory=tmp_path)
    for name, (ended, out, err) in found.items():
        assert ended == code, f"{name}: {err}"
        assert "Traceback" not in err, name
        assert "itself" not in err, name
        assert answer in out or "stdout" in name, name
        assert remark in err or "stderr" in name, name
    if "--audit" in words:
        assert len(audit.read_text(encoding="utf-8").splitlines()) == len(found)


@pytest.mark.thorough
@pytest.mark.processes
def test_the_reports_and_the_verdict_of_a_chaos_run_are_those_of_the_run_whoever_has_left(tmp_path: Path) -> None:
    written(tmp_path, SHORT, "short.toml")
    words = ["chaos", "run", "short.toml", "--seed", "7", "--json"]
    with deaf(os.pipe) as nobody:
        process = subprocess.Popen(
            [RECLOSER, *words, "--report", "out.html", "--report", "out.json"],
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            stdout=nobody,
            stderr=nobody,
        )
        assert process.wait(100) == 0
    assert json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))["verdict"] == "held"
    assert "All 3 rules held" in (tmp_path / "out.html").read_text(encoding="utf-8")


@pytest.mark.thorough
@pytest.mark.processes
def test_a_demo_whose_reader_has_left_shows_nobody_what_it_should_and_ends_well(tmp_path: Path) -> None:
    with deaf(os.pipe) as nobody:
        process = subprocess.Popen(
            [RECLOSER, "demo", "--audit", "audit.jsonl"],
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            stdout=nobody,
            stderr=subprocess.PIPE,
        )
        _, err = process.communicate(timeout=100)
    assert (process.returncode, err) == (0, b"")
    assert len((tmp_path / "audit.jsonl").read_text(encoding="utf-8").splitlines()) > 20
