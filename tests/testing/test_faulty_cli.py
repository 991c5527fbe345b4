"""The command line of a faulty server."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from urllib.request import urlopen

import pytest

from recloser.testing.faulty import FAULTS, script
from recloser.testing.faulty.cli import main
from support.faulty_clients import call, request


def test_all_faults_are_listed(capsys):
    assert main(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(FAULTS)
    assert all(FAULTS[line.split()[0]].does in line for line in lines)
    where = {line.split()[0]: tuple(line.split()[1:3]) for line in lines}
    assert where["hang_call"] == ("http/stdio", "legacy/modern")
    assert where["partial_line"] == ("stdio", "legacy/modern")
    assert {name for name, (_, eras) in where.items() if eras == "legacy"} == {
        "notify_hang",
        "delete_hang",
        "session_lost",
    }


def test_the_help_tells_every_fault_with_its_arguments(capsys):
    with pytest.raises(SystemExit) as raised:
        main(["--help"])
    assert raised.value.code == 0
    said = capsys.readouterr().out
    for fault in FAULTS.values():
        assert f"\n  {fault.name} " in said
        assert fault.does in said
        assert all(f"{name}={value}" in said for name, value in fault.arguments.items())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--fault", "explode"], "invalid choice: 'explode'"),
        (["--fault", "reset"], "reset is not possible over stdio"),
        (["--fault", "garbage", "--arg", "speed=1"], "garbage has no argument 'speed'"),
        (["--fault", "garbage", "--times", "1", "--for", "2"], "not allowed with argument"),
        (
            ["--fault", "notify_hang", "--transport", "http", "--era", "modern"],
            "--fault: notify_hang is not possible in",
        ),
        (["--fault", "hang_list", "--tool", "echo"], "argument --tool: hang_list on tools/list, "),
        (
            ["--fault", "late_answer", "--arg", "delay=-1"],
            "argument --arg: late_answer: delay must be 0 or more, got -1.0",
        ),
        (
            ["--fault", "late_answer", "--arg", "delay=nan"],
            "argument --arg: late_answer: delay must be 0 or more, got nan",
        ),
        (["--fault", "flapping", "--arg", "period=0"], "argument --arg: flapping: period must be more than 0, got 0.0"),
        (
            ["--fault", "status", "--transport", "http", "--arg", "status=99"],
            "argument --arg: status: status must be 100 to 599, got 99",
        ),
        (["--arg", "delay=1"], "argument --arg: not allowed without --fault"),
        (["--after", "0"], "argument --after: not allowed without --fault"),
        (["--times", "1"], "argument --times: not allowed without --fault"),
        (["--for", "1"], "argument --for: not allowed without --fault"),
        (["--on", "ping"], "argument --on: not allowed without --fault"),
        (["--tool", "echo"], "argument --tool: not allowed without --fault"),
        (["--page", "0"], "argument --page: expected a whole number of at least 1, got '0'"),
        (["--page", "-3"], "argument --page: expected a whole number of at least 1, got '-3'"),
        (["--extra", "-1"], "argument --extra: expected a whole number of at least 0, got '-1'"),
        (["--extra", "many"], "argument --extra: expected a whole number of at least 0, got 'many'"),
        (["--port", "99999"], "argument --port: expected a whole number from 0 to 65535, got '99999'"),
        (["--for", "soon"], "argument --for: expected a number of seconds, got 'soon'"),
        (["--for", "inf"], "argument --for: expected a number of seconds, got 'inf'"),
        (["--transport", "http", "--host", "192.0.2.1"], "argument --host, --port: cannot listen on 192.0.2.1:0: "),
        (["--count-file", "/nonexistent/x"], "argument --count-file: cannot write to /nonexistent/x: No such file"),
        (["--control", "/nonexistent/x"], "argument --control: cannot use /nonexistent/x: No such file"),
    ],
)
def test_what_cannot_be_done_is_a_usage_error(arguments, message, capsys):
    with pytest.raises(SystemExit) as raised:
        main(arguments)
    assert raised.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "why"),
    [("{", "Expecting property name"), ("[]", "expected an object, got []"), ('{"page": 0}', "page must be a whole")],
)
def test_a_control_file_that_cannot_be_read_is_a_usage_error(text, why, tmp_path, capsys):
    (tmp_path / "control").write_text(text, encoding="utf-8")
    with pytest.raises(SystemExit) as raised:
        main(["--control", str(tmp_path / "control")])
    assert raised.value.code == 2
    assert f"argument --control: cannot use {tmp_path}/control: {why}" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["file", "null", "closed"])
def test_a_stdin_that_is_no_pipe_is_served_to_its_end(kind, tmp_path, monkeypatch, capfd):
    path = tmp_path / "requests"
    path.write_text("".join(json.dumps(call("write", {"text": text})) + "\n" for text in "ab"), encoding="utf-8")
    with (path if kind == "file" else Path(os.devnull)).open(encoding="utf-8") as stdin:
        monkeypatch.setattr(sys, "stdin", None if kind == "closed" else stdin)
        assert main([]) == 0
        assert main(["--transport", "http", "--until-stdin-closes"]) == 0
    *lines, url = capfd.readouterr().out.splitlines()
    assert [json.loads(line)["result"]["content"][0]["text"] for line in lines] == list("ab" * (kind == "file"))
    assert url.startswith("http://127.0.0.1:")


@pytest.mark.processes
@pytest.mark.parametrize("transport", ["stdio", "http"])
def test_the_null_device_as_stdin_ends_a_server(transport):
    command = script("--transport", transport, "--until-stdin-closes")
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def talk(command: list[str], *messages: dict, **options) -> list[dict]:
    lines = "".join(json.dumps(message) + "\n" for message in messages)
    done = subprocess.run(command, input=lines, capture_output=True, text=True, timeout=60, check=False, **options)
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.processes
@pytest.mark.parametrize(
    "command", [script(), [sys.executable, script()[-1]], [sys.executable, "-m", "recloser.testing.faulty"]]
)
def test_it_runs_as_a_script_and_as_a_module(command, tmp_path):
    counts = tmp_path / "counts"
    options = [
        "--fault",
        "jsonrpc_error",
        "--after",
        "1",
        "--times",
        "1",
        "--arg",
        "code=-7",
        "--count-file",
        str(counts),
    ]
    found = talk([*command, *options], *(call("write", {"text": text}) for text in "abc"))
    assert [answer.get("error", {}).get("code") for answer in found] == [None, -7, None]
    assert [line.split()[1] for line in counts.read_text().splitlines()] == ["a", "c"]


@pytest.mark.processes
def test_a_script_loads_nothing_but_the_standard_library(tmp_path):
    code = (
        "import runpy, sys; sys.argv[1:] = ['--list'];"
        f"\ntry: runpy.run_path({script()[-1]!r}, run_name='__main__')"
        "\nexcept SystemExit: pass"
        "\nprint(sorted(n for n in sys.modules if n.partition('.')[0] not in sys.stdlib_module_names))"
    )
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True, timeout=60)
    loaded = json.loads(done.stdout.splitlines()[-1].replace("'", '"'))
    assert {name for name in loaded if not name.startswith("recloser")} <= {"__main__"}
    assert "recloser.testing.faulty.cli" in loaded


@pytest.mark.processes
def test_an_http_server_tells_its_url_and_ends_when_it_is_interrupted():
    command = script("--transport", "http", "--era", "modern", "--fault", "status_503", "--extra", "2", "--page", "50")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        url = started.stdout.readline().strip()
        with urlopen(url.replace("/mcp", "/control"), timeout=60) as page:
            assert json.loads(page.read())["faults"] == ["status_503"]
        started.send_signal(signal.SIGINT)
        assert started.wait(60) == 130


def test_a_server_runs_in_this_process_too(monkeypatch, tmp_path):
    read_end, write_end = os.pipe()
    out_read, out_write = os.pipe()
    os.write(write_end, json.dumps(request("server/discover")).encode() + b"\n")
    os.close(write_end)
    stdout = os.dup(1)
    with os.fdopen(read_end, "rb", 0) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        os.dup2(out_write, 1)
        try:
            assert main(["--control", str(tmp_path / "control")]) == 0
            os.write(1, b"end\n")
        finally:
            os.dup2(stdout, 1)
            os.close(stdout)
            os.close(out_write)
    with os.fdopen(out_read, "rb", 0) as out:
        assert b"supportedVersions" in out.readline()
    assert (tmp_path / "control.pids").read_text() == f"{os.getpid()}\n"


def test_an_http_server_runs_in_this_process_too(capsys):
    async def knock() -> None:
        while not (url := capsys.readouterr().out.strip()):
            await asyncio.sleep(0.01)
        host, port = url.removeprefix("http://").removesuffix("/mcp").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /control HTTP/1.1\r\n\r\n")
        told.append(await reader.readline())
        writer.close()
        os.kill(os.getpid(), signal.SIGINT)

    told: list[bytes] = []
    knocking = threading.Thread(target=lambda: asyncio.run(knock()))
    knocking.start()
    assert main(["--transport", "http"]) == 130
    knocking.join()
    assert told == [b"HTTP/1.1 200 OK\r\n"]
