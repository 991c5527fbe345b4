"""Moving aside what is full, alone and beside others."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from recloser.audit.file import AppendedFile, movable

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


def test_behind_links_the_file_is_moved_and_not_the_links(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    links = tmp_path / "links"
    links.mkdir()
    (links / "first").symlink_to("second")
    (links / "second").symlink_to("../logs/audit.jsonl")
    file = AppendedFile(links / "first", max_bytes=30, backups=3)
    for number in range(1, 8):
        assert file.write([line(number)]) == 1
    file.close()
    assert [one.name for one in sorted(links.iterdir()) if one.is_symlink()] == ["first", "second"]
    assert len(list(links.iterdir())) == 2
    assert found(logs / "audit.jsonl") == {
        "audit.jsonl": [7],
        "audit.jsonl.1": [4, 5, 6],
        "audit.jsonl.2": [1, 2, 3],
    }


def test_a_link_that_is_led_elsewhere_is_followed(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("one")
    file = AppendedFile(link, max_bytes=30, backups=3)
    file.write([line(1)] * 3)
    link.unlink()
    link.symlink_to("two")
    for number in range(2, 6):
        file.write([line(number)])
    file.close()
    link.unlink()
    assert found(link) == {"one": [1, 1, 1], "two": [5], "two.1": [2, 3, 4]}


def test_a_file_that_somebody_else_has_open_is_not_moved_by_way_of_the_system(tmp_path: Path) -> None:
    theirs = tmp_path / "stderr.txt"
    fd = os.open(theirs, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    link = tmp_path / "stderr"
    link.symlink_to(f"/proc/self/fd/{fd}")
    for path in (Path(f"/dev/fd/{fd}"), Path(f"/proc/self/fd/{fd}"), link):
        file = AppendedFile(path, max_bytes=30, backups=3)
        for _ in range(4):
            assert file.write([LINE]) == 1
        file.close()
    os.close(fd)
    assert theirs.read_bytes() == LINE * 12
    assert sorted(one.name for one in tmp_path.iterdir()) == ["stderr", "stderr.txt"]


def test_what_may_be_moved_lies_at_the_end_of_all_links_and_not_in_the_system(tmp_path: Path) -> None:
    (tmp_path / "round").symlink_to("round")
    assert movable(tmp_path / "round") is None
    assert movable(Path("/dev/stderr")) is None
    assert movable(tmp_path / "audit.jsonl") == tmp_path.resolve() / "audit.jsonl"
    # A directory like others, but for being in memory, where a file without a bound would be worst.
    assert movable(Path("/dev/shm/audit.jsonl")) == Path("/dev/shm/audit.jsonl")


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
