"""The audit's own file: lines of JSON, written by a thread of its own, so that no disk ever holds up the loop."""

from __future__ import annotations

import atexit
import logging
import os
from pathlib import Path
from typing import Final
from weakref import WeakSet

from recloser.audit.file import AppendedFile
from recloser.audit.record import AuditRecord, Unmade
from recloser.audit.writer import Writer

__all__ = ["AuditLog"]

MAX_BYTES: Final = 100 * 1024 * 1024
"""Bytes of a file before it is moved aside: about a hundred thousand calls."""
BACKUPS: Final = 5
"""Files that were moved aside and are kept, beside the newest."""
KEPT: Final = 10_000
"""Records that wait at most for a disk that is slow, full or gone: about 20 MB of memory."""
LEAST_BYTES: Final = 4096
"""Bytes below which a file is no place for lines of a thousand."""
AT_EXIT: Final = 2.0
"""Seconds that the end of the process waits for the last lines."""

_log = logging.getLogger("recloser")


class AuditLog:
    """A sink of an `Auditor` that appends each record to a file as one line of JSON in ASCII.

    The file is made with mode 0600 and rotated by size: `audit.jsonl`, then `audit.jsonl.1` (newer) to `.5` (older);
    behind a symbolic link, these stand beside the file that it leads to.
    Several processes may write to one file: each write is made of whole lines and is atomic on a local file system;
    they take turns in rotating, and one whose file was moved aside goes on in the new one. Over NFS, give each process
    a file of its own.

    While the file cannot be written (the disk is full, the directory is gone) records are kept, up to `keep` of them,
    and written when it can be again. Those beyond that are lost: it is said in the log at once, and a line `"event":
    "gap"` stands in the file where they are missing, with their number and times.

    A record is in the file about `LINGER` seconds after it came; a process that is killed loses what it had not
    written. The end of the process waits up to `AT_EXIT` seconds for the rest. After a fork the child has a log
    of its own on the same file, and the parent writes what had come before.

    May be called from any thread.

    Raises:
        OSError: the file cannot be opened, such as in a directory that is not there.
        ValueError: a number is too small.
    """

    def __init__(
        self, path: Path | str, *, max_bytes: int | None = MAX_BYTES, backups: int = BACKUPS, keep: int = KEPT
    ) -> None:
        """Open the file.

        Args:
            path: of the file; its directory must be there.
            max_bytes: of the file before it is moved aside; None never moves it, and leaves that to a log rotator.
            backups: files that were moved aside and are kept.
            keep: records that wait at most while the file cannot be written.
        """
        if max_bytes is not None and max_bytes < LEAST_BYTES:
            raise ValueError(f"max_bytes must be at least {LEAST_BYTES}, got {max_bytes!r}")
        if backups < 1:
            raise ValueError(f"backups must be at least 1, got {backups!r}")
        if keep < 1:
            raise ValueError(f"keep must be at least 1, got {keep!r}")
        self.path: Final = Path(path).absolute()
        """Of the file, wherever the process goes after this; what it leads to is looked up anew as the file is used."""
        self._max_bytes = max_bytes
        self._backups = backups
        self._keep = keep
        self._writer = self._new_writer(opened=True)
        _OPEN.add(self)

    def _new_writer(self, *, opened: bool) -> Writer:
        file = AppendedFile(self.path, max_bytes=self._max_bytes, backups=self._backups)
        if opened:
            file.open()
        return Writer(file, keep=self._keep)

    def __repr__(self) -> str:
        return f"AuditLog({str(self.path)!r})"

    def __call__(self, record: AuditRecord | Unmade) -> None:
        """Take a record, or what makes it; takes about a microsecond and never waits for the disk."""
        writer = self._writer
        if not writer.take(record):
            why = "is closed" if writer.closing else f"has {self._keep} records waiting, which is all that are kept"
            _log.error("a record of the audit is lost, and so are those that follow: %r %s", self, why)

    def open(self) -> None:
        """Take records again after `close`; does nothing on a log that is open.

        Raises:
            OSError: the file cannot be opened.
        """
        if self._writer.closing:
            self._writer = self._new_writer(opened=True)
            _OPEN.add(self)

    def close(self, timeout: float = 2.0) -> int:
        """Write what waits and end the thread, within `timeout` seconds; return how many records were lost.

        It waits for the disk: where there is an event loop, call it from another thread (`asyncio.to_thread`). Records
        that come later are lost. Closing a closed log does nothing.
        """
        _OPEN.discard(self)
        lost = self._writer.close(timeout)
        if lost:
            _log.error("%d records of the audit are lost: %r could not be written before it was closed", lost, self)
        return lost

    def _begin_to_close(self) -> None:
        self._writer.begin_to_close()

    def _in_child(self) -> None:
        """Begin anew in a process that was forked: the thread is not there, and what waits is the parent's to write."""
        self._writer.forget()
        self._writer = self._new_writer(opened=False)


_OPEN: Final[WeakSet[AuditLog]] = WeakSet()
"""Logs that have not been closed."""


def _close_all() -> None:
    """Write what waits, at the end of the process, all files at the same time."""
    logs = list(_OPEN)
    for log in logs:
        log._begin_to_close()  # noqa: SLF001 - its own module
    for log in logs:
        log.close(AT_EXIT / len(logs))


def _begin_anew() -> None:
    for log in list(_OPEN):
        log._in_child()  # noqa: SLF001 - its own module


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    os.register_at_fork(after_in_child=_begin_anew)
