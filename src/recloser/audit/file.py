"""A file that whole lines are appended to, and that makes room for itself by moving aside what is full."""

from __future__ import annotations

import logging
import os
import stat
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

__all__ = ["AppendedFile", "movable"]

MODE: Final = 0o600
"""Of a file that is made here; one that is there already keeps its own."""
PAUSE: Final = 0.01
"""Seconds after which a line without an end is nobody's who is still writing it."""

# Non-blocking matters for pipes and terminals only: one that nobody reads must not hold the thread for ever.
_FLAGS: Final = (
    os.O_WRONLY
    | os.O_APPEND
    | os.O_CREAT
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_NOCTTY", 0)
)

_SYSTEM: Final = (Path("/dev"), Path("/proc"))
_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - not written to here: a directory like others, for all its name
_LINKS: Final = 40
"""Links one behind the other; the kernel follows no more."""

_locks: Any
try:
    import fcntl

    _locks = fcntl
except ImportError:  # pragma: no cover - Windows has none; processes that share a file there take the risk
    _locks = None

_log = logging.getLogger("recloser")


def movable(path: Path) -> Path | None:
    """Return the file that a path leads to, link by link; None where it leads through /dev or /proc.

    What is there stands for a file that somebody has open, who would go on in the one that was moved.
    """
    for _ in range(_LINKS):
        path = path.parent.resolve() / path.name
        if not path.is_relative_to(_MEMORY) and any(path.is_relative_to(each) for each in _SYSTEM):
            return None
        if not path.is_symlink():
            return path
        path = path.parent / path.readlink()
    return None


class AppendedFile:
    """Appends lines and rotates by size: `name` is the newest, then `name.1` to `name.<backups>`.

    Every call of `write` is one write with O_APPEND, so that several processes may append to the same file and no line
    is mixed with another; they notice when one of them, or a log rotator, has moved the file aside, and take turns in
    doing so. A file may then be too large by one write of each of them.

    Where the path is a symbolic link, the file that it leads to is moved, and the older ones stand beside that. What is
    no regular file, or is one by way of /dev or /proc, such as `/dev/stderr`, is written to and never moved.

    Changed by its own methods, all called by one thread at a time.
    """

    def __init__(self, path: Path, *, max_bytes: int | None, backups: int) -> None:
        self.path = path
        self.max_bytes = max_bytes
        self._backups = backups
        self._fd: int | None = None
        self._identity: tuple[int, int] | None = None
        self._regular = False
        self._movable: Path | None = None
        self._torn = False
        self._stuck = False

    def open(self) -> None:
        """Open the file, which is made where it is missing; its directory is not.

        Raises:
            OSError: it cannot be opened.
        """
        self.close()
        self._fd = os.open(self.path, _FLAGS, MODE)
        facts = os.fstat(self._fd)
        self._identity = facts.st_dev, facts.st_ino
        self._regular = stat.S_ISREG(facts.st_mode)
        self._movable = movable(self.path) if self._regular else None
        self._torn = self._regular and self._ends_torn(self._fd)

    def close(self) -> None:
        """Close the file; closing a closed one does nothing."""
        if self._fd is not None:
            fd, self._fd = self._fd, None
            with suppress(OSError):
                os.close(fd)

    def write(self, lines: Sequence[bytes]) -> int:
        """Append lines, each with its line feed, by one write; return how many of them are in the file.

        Raises:
            OSError: nothing was written.
        """
        try:
            return self._write(lines)
        except OSError:
            self.close()  # whatever it stands for now, the next try begins with what the path says
            raise

    def _write(self, lines: Sequence[bytes]) -> int:
        fd = self._current()
        fd = self._with_room(fd, sum(map(len, lines)))
        if not self._regular:
            lines = lines[:1]  # a pipe takes one in whole or not at all
        start = b"\n" if self._torn else b""
        data = start + b"".join(lines)
        done = os.write(fd, data)
        self._torn = not data[:done].endswith(b"\n") and (done > 0 or self._torn)
        if done == len(data):
            return len(lines)
        # The disk is full in the middle of a line: what is there of it stays, and the line is written anew, below it.
        return data[len(start) : done].count(b"\n")

    def _current(self) -> int:
        """Return a descriptor of what the path names now."""
        if self._fd is None or self._identity != self._there():
            self.open()
        assert self._fd is not None
        return self._fd

    def _there(self) -> tuple[int, int] | None:
        try:
            facts = self.path.stat()
        except FileNotFoundError:
            return None
        return facts.st_dev, facts.st_ino

    def _ends_torn(self, fd: int) -> bool:
        """Return whether the last line has no end, since whoever wrote it did not come so far."""
        while (size := os.fstat(fd).st_size) and not self._has_end(size):
            threading.Event().wait(PAUSE)
            if os.fstat(fd).st_size == size:
                return True
            # Another process is writing it at this moment.
        return False

    def _has_end(self, size: int) -> bool:
        try:
            with self.path.open("rb") as file:
                file.seek(size - 1)
                return file.read(1) == b"\n"
        except OSError:  # it may be written and not be read: an empty line does no harm
            return False

    # --- rotation

    def _with_room(self, fd: int, needed: int) -> int:
        """Return a descriptor of a file that has room, moving aside the one that is full."""
        if self.max_bytes is None or self._movable is None:
            return fd
        size = os.fstat(fd).st_size
        if size == 0 or size + needed <= self.max_bytes or not self._take_turn(fd):
            return fd
        # Closing the descriptor ends our turn; until then nobody else moves anything.
        if self._identity == self._there():
            try:
                self._shift(self._movable)
            except OSError as error:
                self._end_turn(fd)
                if not self._stuck:
                    self._stuck = True
                    _log.error("%s is full and cannot be moved aside, so it grows on: %s", self.path, error.strerror)
                return fd
            self._stuck = False
        self.open()
        assert self._fd is not None
        return self._fd

    def _shift(self, newest: Path) -> None:
        names = [newest, *(Path(f"{newest}.{number}") for number in range(1, self._backups + 1))]
        for older, newer in zip(reversed(names), reversed(names[:-1]), strict=False):
            with suppress(FileNotFoundError):
                newer.replace(older)

    @staticmethod
    def _take_turn(fd: int) -> bool:
        """Return whether it is ours to move the file aside; another process may be doing it at this moment."""
        if _locks is None:  # pragma: no cover - see above
            return True
        try:
            _locks.flock(fd, _locks.LOCK_EX | _locks.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # pragma: no cover - a file system without locks: whoever shares a file there takes the risk
            return True
        return True

    @staticmethod
    def _end_turn(fd: int) -> None:
        if _locks is not None:  # pragma: no branch - see above
            with suppress(OSError):
                _locks.flock(fd, _locks.LOCK_UN)
