"""The audit's file at the end of a process, after a fork, and between several processes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from audit_kit import ids, numbers

from recloser.audit.log import AT_EXIT

pytestmark = pytest.mark.thorough


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


KITS = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]
BEGIN = """
import os, sys, threading
sys.path[:0] = {kits!r}
from audit_kit import record
from recloser.audit import AuditLog, AuditRecord
log = AuditLog({path!r}, **{options!r})
"""


def run(path: Path | str, program: str, **options: Any) -> subprocess.CompletedProcess[str]:
    begin = BEGIN.format(kits=KITS, path=str(path), options=options)
    return subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", begin + program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_end_of_the_process_writes_what_waits(path: Path) -> None:
    done = run(path, "for number in range(1, 101): log(record(number))")
    assert (done.returncode, done.stderr) == (0, "")
    assert ids(path) == numbers(100)


def test_the_end_of_the_process_does_not_hang_on_a_full_disk() -> None:
    done = run("/dev/full", "for number in range(1, 101): log(record(number))")
    assert done.returncode == 0
    assert "100 records of the audit are lost" in done.stderr
    assert AT_EXIT == 2.0


def test_a_process_that_crashes_writes_what_waits(path: Path) -> None:
    done = run(path, "log(record(1)); raise SystemExit('crashed')")
    assert done.returncode == 1
    assert ids(path) == numbers(1)


def test_after_a_fork_each_process_writes_its_own_records_and_none_twice(path: Path) -> None:
    program = """
for number in range(1, 51): log(record(number))
child = os.fork()
for number in range(1, 51): log(record(number + (1000 if child == 0 else 2000)))
assert child == 0 or os.waitpid(child, 0)[1] == 0
"""
    done = run(path, program)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(ids(path)) == sorted(numbers(50) + numbers(50, 1001) + numbers(50, 2001))


def test_a_log_that_was_closed_stays_closed_in_a_child(path: Path) -> None:
    program = """
import logging
logging.disable()
log(record(1))
log.close()
if (child := os.fork()) == 0:
    log(record(2))
    sys.exit(log.close())
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
"""
    done = run(path, program)
    assert (done.returncode, done.stderr) == (0, "")
    assert ids(path) == numbers(1)


def test_several_processes_write_whole_lines_into_one_file_and_take_turns_in_rotating_it(path: Path) -> None:
    program = """
for number in range(1, 301):
    log(record({first} + number))
    if number % 10 == 0: threading.Event().wait(0.005)
assert log.close() == 0
"""
    begin = BEGIN.format(kits=KITS, path=str(path), options={"max_bytes": 16384, "backups": 1000})
    writers = [
        subprocess.Popen([sys.executable, "-c", begin + program.format(first=first)]) for first in (1000, 2000, 3000)
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    files = list(path.parent.iterdir())
    assert len(files) > 3
    found = [one for file in files for one in ids(file)]
    assert sorted(found) == sorted(numbers(300, 1001) + numbers(300, 2001) + numbers(300, 3001))


def test_a_disk_that_is_full_in_the_middle_of_a_line_costs_no_line(path: Path) -> None:
    # The limit on a file's size stands for the disk: a write up to it is cut short, and one beyond it fails.
    program = """
import resource, time
limit, most = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, most))
for number in range(1, 101): log(record(number))
while not log._writer._failing: time.sleep(0.005)
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, most))
"""
    done = run(path, program)
    assert done.returncode == 0
    assert "File too large" in done.stderr
    told = path.read_text().splitlines()
    torn = [line for line in told if not line.endswith("}")]
    assert len(torn) == 1
    assert [json.loads(line)["call_id"] for line in told if line not in torn] == numbers(100)
