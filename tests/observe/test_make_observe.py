"""What `make observe` runs: with Docker, with the programs, with neither."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import Final

from support.observatory import ROOT, free_ports

SCRIPT: Final = ROOT / "examples" / "observe" / "observe.py"


def program(directory: Path, name: str, script: str) -> None:
    """Put a program there that stands in for a real one."""
    path = directory / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def observe(directory: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run it where no programs are found but those of a directory; these use nothing but the shell."""
    return subprocess.run(
        [sys.executable, str(SCRIPT), *words],
        env={**os.environ, "PATH": str(directory), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def test_with_docker_it_starts_the_containers_and_says_what_to_open(tmp_path: Path) -> None:
    program(tmp_path, "docker", f'echo "$@" >> {tmp_path}/log')
    ran = observe(tmp_path)
    assert ran.returncode == 0, ran.stderr
    compose = f"compose --file {ROOT / 'examples' / 'observe' / 'compose.yaml'}"
    assert (tmp_path / "log").read_text().splitlines() == ["compose version", "info", f"{compose} up --detach"]
    for url in ("16686", "3000", "9090", "4318"):
        assert f"http://127.0.0.1:{url}" in ran.stdout
    assert "recloser demo --otlp http://127.0.0.1:4318" in ran.stdout
    assert f"docker {compose} down" in ran.stdout


def test_when_docker_cannot_start_them_it_says_nothing_of_pages(tmp_path: Path) -> None:
    program(tmp_path, "docker", 'case "$*" in *up*) echo "no such image" >&2; exit 7;; esac')
    ran = observe(tmp_path)
    assert (ran.returncode, ran.stdout) == (7, "")
    assert "no such image" in ran.stderr


def test_docker_without_its_daemon_is_as_good_as_none(tmp_path: Path) -> None:
    program(tmp_path, "docker", 'test "$1" != info')
    ran = observe(tmp_path)
    assert ran.returncode == 1
    assert "Neither Docker nor the programs themselves were found" in ran.stderr


def test_with_nothing_it_says_what_is_needed(tmp_path: Path) -> None:
    program(tmp_path, "jaeger", "")
    ran = observe(tmp_path)
    assert (ran.returncode, ran.stdout) == (1, "")
    for name in ("Docker", "otelcol-contrib", "jaeger", "prometheus", "docs/observability.md"):
        assert name in ran.stderr


def test_a_program_that_ends_is_quoted(tmp_path: Path) -> None:
    program(tmp_path, "jaeger", 'echo "cannot read $1" >&2; exit 3')
    program(tmp_path, "otelcol", "")
    ran = observe(tmp_path, "--with", "programs", **free_ports())
    assert ran.returncode == 1
    assert "jaeger ended with status 3:" in ran.stderr
    assert f"cannot read --config={ROOT / 'examples' / 'observe' / 'jaeger.yaml'}" in ran.stderr


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    program(tmp_path, "jaeger", "exit 3")
    program(tmp_path, "otelcol-contrib", "")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ran = observe(tmp_path, "--with", "programs", **{**free_ports(), "JAEGER_QUERY_PORT": port})
    assert ran.returncode == 1
    assert f"jaeger cannot be started: something else listens on port {port} already" in ran.stderr
