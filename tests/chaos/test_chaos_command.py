"""`recloser chaos` as it is used: reports, exit codes, refusals, a terminal, Ctrl-C."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from chaos.chaos_kit import SHORT, written
from recloser.cli import main, output
from recloser.testing.scenario import load_scenario
from recloser.testing.scenario.shipped import shipped
from support.commands import RECLOSER, left_behind, on_a_terminal, recloser, write

pytestmark = pytest.mark.thorough

MATH = {"command": sys.executable, "args": ["-P", "-m", "recloser.demo.servers.math_server"]}

NOT_SEEN = """
title = "Nothing happens"
proves = "Nothing."
duration = 0.3
rules = [1, 5]
[servers.a]
transport = "stdio"
[[load]]
tools = { echo = 1 }
"""


@pytest.mark.processes
def test_a_short_run_holds_and_leaves_two_reports(tmp_path: Path) -> None:
    written(tmp_path, SHORT, "short.toml")
    done = recloser(
        *("chaos", "run", "short.toml", "--duration", "0.4", "--seed", "7", "--json"),
        *("--report", "out.html", "--report", "out.json"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["verdict"], told["seed"], told["ended"]) == ("held", 7, 0.4)
    assert told["command"] == "recloser chaos run short.toml --seed 7 --duration 0.4"
    assert json.loads((tmp_path / "out.json").read_text()) == told
    assert "All 3 rules held" in (tmp_path / "out.html").read_text()
    assert "held      rule 10" in done.stderr
    assert "Report: out.html" in done.stderr
    assert left_behind(tmp_path) == []


@pytest.mark.processes
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_report_that_cannot_be_written_in_the_end_is_told_after_the_verdicts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "full.html").symlink_to("/dev/full")
    os.mkfifo(tmp_path / "pipe.json")
    good = [str(tmp_path / "out.json"), str(tmp_path / "pipe.json")]
    words = [word for path in (str(tmp_path / "full.html"), *good) for word in ("--report", path)]
    read: list[str] = []
    reading = threading.Thread(target=lambda: read.append(Path(good[1]).read_text(encoding="utf-8")), daemon=True)
    reading.start()
    written(tmp_path, SHORT, "short.toml")
    code = main(["chaos", "run", str(tmp_path / "short.toml"), *words])
    reading.join(60)
    told = " ".join(capsys.readouterr().err.split())
    assert code == 64, told
    assert f"Error: the report {tmp_path}/full.html could not be written: No space left on device." in told
    assert told.index("held rule 10") < told.index("Error: the report") < told.index("All 3 held.")
    assert all(f"Report: {path}" in told for path in good)
    assert read == [Path(good[0]).read_text(encoding="utf-8")]


def test_a_report_that_is_refused_leaves_the_others_as_they_were(tmp_path: Path) -> None:
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    old.write_text("mine", encoding="utf-8")
    words = [word for path in (old, new, tmp_path) for word in ("--report", str(path))]
    assert main(["chaos", "run", "bad_calls", *words]) == 64
    assert (old.read_text(encoding="utf-8"), new.exists()) == ("mine", False)


@pytest.mark.processes
def test_a_raw_client_breaks_the_same_scenario(tmp_path: Path) -> None:
    written(tmp_path, SHORT, "short.toml")
    done = recloser("chaos", "run", "short.toml", "--target", "raw", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "BROKE     rule 10" in done.stderr
    assert "Broke: 10." in done.stderr
    assert "--target raw" in done.stderr


@pytest.mark.processes
def test_one_s_own_servers_are_struck_only_if_they_are_marked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write(tmp_path, {"math": MATH})
    words = ["chaos", "run", "your_servers", "--config", config, "--duration", "1", "--seed", "1"]
    assert main(words) == 78
    told = capsys.readouterr().err
    assert '"math": {"chaos": true}' in told
    assert "of load on" not in told
    config = write(tmp_path, {"math": MATH}, servers={"math": {"chaos": True}})
    assert main([*words, "--report", str(tmp_path / "out.html")]) in (0, 1)
    assert "your own servers" in (tmp_path / "out.html").read_text()
    assert f"--config {config}" in capsys.readouterr().err


@pytest.mark.processes
def test_a_rule_that_could_not_be_seen_is_not_passed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "quiet.toml"
    path.write_text(NOT_SEEN, encoding="utf-8")
    assert main(["chaos", "run", str(path), "--seed", "1"]) == 1
    assert "Not seen: 5." in capsys.readouterr().err


@pytest.mark.processes
def test_on_a_terminal_one_sees_it_happen(tmp_path: Path) -> None:
    code, seen = on_a_terminal("chaos", "run", "one_dead_of_three", "--duration", "2", "--allow-kill", cwd=tmp_path)
    assert code in (0, 1)
    for part in ("One dead of three", "closing", "of 2 s", "answered at once", "mail", "down", "held", "\x1b["):
        assert part in seen, part


@pytest.mark.processes
def test_ctrl_c_ends_the_load_and_still_tells_what_was_seen(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [RECLOSER, "chaos", "run", "slow_one", "--report", "out.html"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    while "of load on" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, ""), err
    assert "Interrupted." in err
    assert "Interrupted after" in (tmp_path / "out.html").read_text() or "broke" in (tmp_path / "out.html").read_text()
    assert left_behind(tmp_path) == []


@pytest.mark.processes
def test_a_second_ctrl_c_ends_it_all(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from recloser.cli.chaos import running

    async def twice(*_arguments: object, **_options: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(60)

    monkeypatch.setattr(running, "run_scenario", twice)
    assert main(["chaos", "run", "slow_one"]) == 130
    assert "ended at once" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["run", "slow_on"], 78, "did you mean 'slow_one'?"),
        (["run", "none.toml"], 78, "none.toml: cannot be read"),
        (["run", "slow_one", "--config", "x.json"], 78, "--config has no place"),
        (["run", "your_servers"], 78, "name one: --config FILE"),
        (["run", "slow_one", "--report", "out.txt"], 64, "out.txt must end in .html or .json"),
        (["run", "slow_one", "--report", "nowhere/out.html"], 64, "there is no directory"),
        (["run", "slow_one", "--report", "d.html"], 64, "d.html cannot be written: Is a directory"),
        (["run", "slow_one", "--report", "/proc/x.html"], 64, "/proc/x.html cannot be written: No such file"),
        (["run", "slow_one", "--duration", "0"], 64, "--duration"),
        (["run", "slow_one", "--duration", "inf"], 64, "--duration: inf is no number of seconds"),
        (["run", "slow_one", "--duration", "nan"], 64, "--duration"),
        (["new", "nowhere/x"], 64, "cannot be written"),
        (["new", "x", "--config", "none.json"], 78, "cannot be read"),
    ],
)
def test_what_makes_no_sense_is_told_before_anything_starts(
    words: list[str],
    code: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d.html").mkdir()
    assert main(["chaos", *words]) == code
    assert said in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("error", "code"), [(ValueError("no network to cut"), 78), (ChildProcessError("did not start"), 70)]
)
def test_what_turns_out_to_be_impossible_is_a_sentence(
    error: Exception, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from recloser.cli.chaos import running

    async def fails(*_arguments: object, **_options: object) -> None:
        raise error

    monkeypatch.setattr(running, "run_scenario", fails)
    assert main(["chaos", "run", "slow_one"]) == code
    assert str(error) in capsys.readouterr().err


def test_the_list_says_what_there_is_and_what_is_open(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chaos", "list", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in told["scenarios"]] == list(shipped())
    assert {"brownout_of_replicas", "rule 9"} <= set(told["open"])
    assert main(["chaos", "list"]) == 0
    out = capsys.readouterr().out
    assert "one_dead_of_three\t1,2,3,5,6,7,11,recovery\t" in out
    assert "rule 9\topen\t" in out


def test_on_a_terminal_the_list_is_a_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(output, "on_terminal", lambda: True)
    assert main(["chaos", "list"]) == 0
    out = capsys.readouterr().out
    assert "What it proves" in out
    assert "Open, and not passed" in out


def test_new_writes_a_scenario_that_runs_and_never_over_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["chaos", "new", "mine"]) == 0
    assert "recloser chaos run mine.toml" in capsys.readouterr().err
    assert main(["chaos", "new", "mine.toml"]) == 64
    assert "is there already" in capsys.readouterr().err
    assert main(["chaos", "new", 'a b"c']) == 0
    assert """recloser chaos run 'a b"c.toml'""" in capsys.readouterr().err
    assert load_scenario(tmp_path / 'a b"c.toml').title == 'A b"c'
    config = write(tmp_path, {"math": MATH})
    assert main(["chaos", "new", "own", "--config", config]) == 0
    assert "No server is marked for chaos yet" in capsys.readouterr().err
    write(tmp_path, {"math": MATH}, servers={"math": {"chaos": True}})
    assert main(["chaos", "new", "own2", "--config", config]) == 0
    assert 'server = "math"' in (tmp_path / "own2.toml").read_text()
    assert "marked for chaos yet" not in capsys.readouterr().err
