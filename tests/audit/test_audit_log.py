"""The audit's file: every record in it or counted as lost, and nobody held up by a disk."""

from __future__ import annotations

import json
import logging
import os
import stat
import threading
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from audit_kit import ids, lines, numbers, record, threads, until

from recloser.audit import AuditLog, AuditRecord
from recloser.audit.log import LEAST_BYTES
from recloser.audit.writer import CHUNK


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


def gone(path: Path) -> None:
    """Take a file's directory away."""
    for file in path.parent.iterdir():
        file.unlink()
    path.parent.rmdir()


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records]


# --- a file that can be written


def test_each_record_is_one_line_in_order(path: Path) -> None:
    log = AuditLog(path)
    for number in range(1, 3 * CHUNK):
        log(record(number, tool="日本"))
    assert log.close() == 0
    assert ids(path) == numbers(3 * CHUNK - 1)
    assert lines(path)[0] == json.loads(json.dumps(record(1, tool="日本").to_dict()))


def test_a_record_is_written_without_anybody_asking(path: Path) -> None:
    log = AuditLog(path)
    for number in (1, 2, 3):
        log(record(number))
        until(lambda: ids(path) == numbers(number))  # noqa: B023 - asked at once
    assert threads() == 1
    log.close()
    assert threads() == 0


def test_a_relative_path_stays_where_it_was_when_the_log_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    log = AuditLog("audit.jsonl")
    log(record(1))
    monkeypatch.chdir(tmp_path / "there")
    log(record(2))
    log.close()
    log.open()
    log(record(3))
    log.close()
    assert log.path == tmp_path / "here" / "audit.jsonl"
    assert ids(log.path) == numbers(3)
    assert list((tmp_path / "there").iterdir()) == []


def test_a_log_that_hears_nothing_starts_no_thread(path: Path) -> None:
    log = AuditLog(str(path))
    assert threads() == 0
    assert log.close() == 0
    assert path.read_bytes() == b""
    assert repr(log) == f"AuditLog({str(path)!r})"


def test_only_its_owner_may_read_the_file_whatever_the_umask(path: Path) -> None:
    before = os.umask(0)
    try:
        log = AuditLog(path, max_bytes=LEAST_BYTES)
        for number in range(1, 20):
            log(record(number))
        log.close()
    finally:
        os.umask(before)
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}
    assert len(list(path.parent.iterdir())) > 1


def test_a_file_that_is_there_is_appended_to_and_keeps_its_mode(path: Path) -> None:
    path.write_text('{"call_id": "c-1"}\n')
    path.chmod(0o640)
    log = AuditLog(path)
    log(record(2))
    log.close()
    assert ids(path) == numbers(2)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_line_that_a_crash_has_left_without_its_end_does_not_spoil_the_next_one(path: Path) -> None:
    path.write_text('{"call_id": "c-1"}\n{"call_')
    log = AuditLog(path)
    log(record(2))
    log.close()
    first, torn, second = path.read_text().splitlines()
    assert (json.loads(first)["call_id"], torn, json.loads(second)["call_id"]) == ("c-1", '{"call_', "c-2")


def test_a_path_that_cannot_be_opened_is_told_at_once(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        AuditLog(path.parent / "missing" / "audit.jsonl")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"max_bytes": 4095}, "max_bytes must be at least 4096, got 4095"),
        ({"backups": 0}, "backups must be at least 1, got 0"),
        ({"keep": 0}, "keep must be at least 1, got 0"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(path: Path, options: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        AuditLog(path, **options)


def test_records_may_come_from_many_threads(path: Path) -> None:
    log = AuditLog(path)

    def work(first: int) -> None:
        for number in range(first, first + 200):
            log(record(number))

    workers = [threading.Thread(target=work, args=(first,)) for first in range(0, 1000, 200)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert log.close() == 0
    assert sorted(ids(path)) == sorted(numbers(1000, 0))


def test_what_json_does_not_know_is_written_as_python_shows_it(path: Path) -> None:
    log = AuditLog(path)
    log(record(1, caller=b"bytes"))
    log.close()
    assert lines(path)[0]["caller"] == "b'bytes'"


# --- a file that cannot


def test_records_are_kept_while_the_directory_is_gone_and_written_when_it_is_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "logs" / "audit.jsonl"
    path.parent.mkdir()
    log = AuditLog(path)
    log(record(1))
    until(lambda: ids(path) == numbers(1))
    gone(path)
    for number in range(2, 2 * CHUNK):
        log(record(number))
    until(lambda: messages(caplog))
    path.parent.mkdir()
    until(lambda: len(messages(caplog)) == 2)
    assert log.close() == 0
    assert ids(path) == numbers(2 * CHUNK - 2, 2)
    assert messages(caplog) == [
        f"the audit cannot be written to {path}: No such file or directory; "
        "up to 10000 records are kept until it can be",
        f"the audit is written to {path} again",
    ]


def test_records_beyond_the_bound_are_lost_loudly_and_the_file_says_how_many(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "logs" / "audit.jsonl"
    path.parent.mkdir()
    log = AuditLog(path, keep=3)
    gone(path)
    for number in range(1, 11):
        log(record(number))
    assert f"a record of the audit is lost, and so are those that follow: {log!r} has 3 records waiting" in caplog.text
    path.parent.mkdir()
    until(lambda: path.exists() and len(ids(path)) == 4)
    log(record(11))
    assert log.close() == 0
    assert ids(path) == ["c-1", "c-2", "c-3", "gap 7", "c-11"]
    assert lines(path)[3] == {
        "schema": "recloser.audit/1",
        "event": "gap",
        "lost": 7,
        "since": record(4).to_dict()["started"],
        "until": record(10).to_dict()["started"],
    }
    assert f"7 records of the audit were lost, from {record(4).started} to {record(10).started}" in caplog.text
    assert caplog.text.count("is lost, and so are those that follow") == 1


def test_a_full_disk_holds_nobody_up_and_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    log = AuditLog("/dev/full", keep=10)
    for number in range(100):
        log(record(number))
    until(lambda: "cannot be written" in caplog.text)
    assert log.close(0.2) == 100
    assert threads() == 0
    assert caplog.text.count("No space left on device") == 1
    assert "100 records of the audit are lost: AuditLog('/dev/full') could not be written before it was closed" in (
        caplog.text
    )


def test_lines_are_written_while_the_log_is_being_closed_when_the_disk_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "audit.jsonl"
    path.parent.mkdir()
    log = AuditLog(path)
    gone(path)
    log(record(1))
    closing = threading.Thread(target=log.close, args=(60,))
    closing.start()
    path.parent.mkdir()
    closing.join()
    assert ids(path) == numbers(1)


def test_a_pipe_that_nobody_reads_does_not_keep_the_log_from_closing(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    log = AuditLog(pipe)
    for number in range(1000):
        log(record(number))
    lost = log.close(0.3)
    data = b""
    while chunk := os.read(reader, 65536):
        data += chunk
    os.close(reader)
    told = [json.loads(line)["call_id"] for line in data.decode().splitlines()]
    assert told == numbers(1000, 0)[: len(told)]
    assert len(told) + lost == 1000
    assert lost > 0


def test_a_closed_log_loses_what_comes_later_and_says_so(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = AuditLog(path)
    log(record(1))
    assert log.close() == 0
    log(record(2))
    log(record(3))
    assert log.close() == 2
    assert log.close() == 0
    assert ids(path) == numbers(1)
    assert caplog.text.count("is lost, and so are those that follow") == 1
    assert f"{log!r} is closed" in caplog.text


def test_a_closed_log_can_be_opened_again(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = AuditLog(path)
    log(record(1))
    log.open()
    log.close()
    log.open()
    log(record(2))
    log.close()
    assert ids(path) == numbers(2)
    assert threads() == 0
    assert messages(caplog) == []


def test_a_record_that_cannot_be_told_ends_nothing(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(AuditRecord):
        def to_dict(self) -> Any:
            raise RuntimeError("no")

    log = AuditLog(path)
    log(record(1))
    plain = record(7)
    log(Broken(**{field.name: getattr(plain, field.name) for field in fields(plain)}))
    log(record(2))
    assert log.close() == 0
    assert ids(path) == ["c-1", "gap 1", "c-2"]
    assert "a record of the audit cannot be written" in caplog.text


def test_a_mistake_of_ours_does_not_end_the_thread(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = AuditLog(path)
    writing, mistakes = log._writer._file.write, [RuntimeError("no"), RuntimeError("no")]

    def write(lines: list[bytes]) -> int:
        if mistakes:
            raise mistakes.pop()
        return writing(lines)

    log._writer._file.write = write  # type: ignore[method-assign, assignment] # a mistake has to come from somewhere
    log(record(1))
    until(lambda: "failed" in caplog.text)
    assert log.close(60) == 0
    assert ids(path) == numbers(1)
    assert caplog.text.count("the audit's thread failed; it tries again") == 1


def test_a_process_without_room_for_a_thread_tries_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Any) -> None:
        raise RuntimeError("can't start new thread")

    log = AuditLog(path)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        log(record(1))
        assert threads() == 0
    log(record(2))
    assert log.close() == 0
    assert ids(path) == numbers(2)


def test_what_waits_without_a_thread_is_written_at_the_end(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Any) -> None:
        raise RuntimeError("can't start new thread")

    log = AuditLog(path)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    log(record(1))
    assert log.close() == 0
    assert ids(path) == numbers(1)


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
