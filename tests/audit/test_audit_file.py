"""Moving aside what is full, alone and beside others."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from recloser.audit.file import AppendedFile

LINE = b"x" * 9 + b"\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


@pytest.fixture
def file(path: Path) -> Iterator[AppendedFile]:
    made = AppendedFile(path, max_bytes=30, backups=3)
    yield made
    made.close()


def line(number: int) -> bytes:
    return b"%09d\n" % number


def found(path: Path) -> dict[str, list[int]]:
    return {one.name: [int(text) for text in one.read_text().split()] for one in sorted(path.parent.iterdir())}


def test_what_is_full_is_moved_aside_and_the_oldest_goes(file: AppendedFile, path: Path) -> None:
    for number in range(1, 15):
        assert file.write([line(number)]) == 1
    assert found(path) == {
        "audit.jsonl": [13, 14],
        "audit.jsonl.1": [10, 11, 12],
        "audit.jsonl.2": [7, 8, 9],
        "audit.jsonl.3": [4, 5, 6],
    }


def test_no_file_is_larger_than_allowed_unless_one_line_is(file: AppendedFile, path: Path) -> None:
    for lines in ([line(1), line(2)], [line(3), line(4)], [LINE * 10], [line(5)]):
        file.write(lines)
    sizes = {one.name: one.stat().st_size for one in path.parent.iterdir()}
    assert sizes == {"audit.jsonl": 10, "audit.jsonl.1": 100, "audit.jsonl.2": 20, "audit.jsonl.3": 20}


def test_a_backup_that_is_missing_leaves_no_hole(file: AppendedFile, path: Path) -> None:
    for number in range(1, 8):
        file.write([line(number)])
    (path.parent / "audit.jsonl.1").unlink()
    for number in range(8, 11):
        file.write([line(number)])
    assert found(path) == {"audit.jsonl": [10], "audit.jsonl.1": [7, 8, 9], "audit.jsonl.3": [1, 2, 3]}


def test_a_file_without_a_limit_grows_and_follows_a_log_rotator(path: Path) -> None:
    file = AppendedFile(path, max_bytes=None, backups=1)
    for number in range(1, 10):
        file.write([line(number)])
    path.rename(path.parent / "rotated")
    file.write([line(10)])
    file.close()
    assert found(path) == {"audit.jsonl": [10], "rotated": list(range(1, 10))}


def test_a_file_that_another_process_is_moving_aside_is_left_to_it(file: AppendedFile, path: Path) -> None:
    file.write([LINE] * 3)
    other = os.open(path, os.O_WRONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    file.write([LINE])
    assert path.stat().st_size == 40
    os.close(other)
    file.write([LINE])
    assert path.stat().st_size == 10


def test_a_file_that_another_process_has_just_moved_aside_is_not_moved_again(path: Path) -> None:
    class Late(AppendedFile):
        """Another process comes first, after it was seen that the file is full."""

        def _take_turn(self, fd: int) -> bool:
            path.rename(path.parent / "audit.jsonl.1")
            path.write_bytes(line(2))
            return AppendedFile._take_turn(fd)

    file = Late(path, max_bytes=30, backups=3)
    file.write([line(1)] * 3)
    file.write([line(3)])
    file.close()
    assert found(path) == {"audit.jsonl": [2, 3], "audit.jsonl.1": [1, 1, 1]}


def test_a_file_that_cannot_be_moved_aside_grows_on_and_that_is_told_once(
    file: AppendedFile, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    in_the_way = path.parent / "audit.jsonl.3"
    in_the_way.mkdir()
    (path.parent / "audit.jsonl.2").touch()
    for _ in range(6):
        assert file.write([LINE]) == 1
    assert path.stat().st_size == 60
    assert [one.getMessage() for one in caplog.records] == [
        f"{path} is full and cannot be moved aside, so it grows on: Is a directory"
    ]
    in_the_way.rmdir()
    file.write([LINE])
    assert path.stat().st_size == 10


def test_what_is_no_regular_file_is_never_moved(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    file = AppendedFile(pipe, max_bytes=10, backups=1)
    # A pipe takes one line at a time, in whole.
    assert [file.write([LINE, LINE, LINE]) for _ in range(3)] == [1, 1, 1]
    assert os.read(reader, 100) == LINE * 3
    assert [one.name for one in tmp_path.iterdir()] == ["pipe"]
    file.close()
    os.close(reader)


def test_a_file_that_may_not_be_read_may_be_written(path: Path) -> None:
    path.write_bytes(LINE)

    class Unreadable(AppendedFile):
        def _has_end(self, size: int) -> bool:
            here, self.path = self.path, path.parent / "nothing"
            try:
                return super()._has_end(size)
            finally:
                self.path = here

    file = Unreadable(path, max_bytes=None, backups=1)
    file.write([LINE])
    file.close()
    assert path.read_bytes() == LINE + b"\n" + LINE


def test_a_line_that_another_process_is_writing_at_this_moment_is_left_to_it(path: Path) -> None:
    path.write_bytes(b"half")

    class Meanwhile(AppendedFile):
        def _has_end(self, size: int) -> bool:
            found = super()._has_end(size)
            if not found:
                with path.open("ab") as other:
                    other.write(b" a line\n")
            return found

    file = Meanwhile(path, max_bytes=None, backups=1)
    file.write([LINE])
    file.close()
    assert path.read_bytes() == b"half a line\n" + LINE


def test_closing_twice_does_nothing(file: AppendedFile) -> None:
    file.open()
    file.close()
    file.close()
