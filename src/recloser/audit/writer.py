"""The thread that writes the audit's lines, and the records that wait for it."""

from __future__ import annotations

import json
import logging
import threading
from collections import deque
from itertools import islice
from typing import Final

from recloser.audit.file import AppendedFile
from recloser.audit.record import AuditGap, AuditRecord, Entry, Unmade

__all__ = ["Writer"]

LINGER: Final = 0.02
"""Seconds that a line may wait for others, so that a busy router wakes the thread 50 times a second and not 5,000."""
CHUNK: Final = 16
"""Lines of one write: making them keeps the loop from running for half a millisecond, not for five."""
CHUNK_BYTES: Final = 65_536
"""Bytes of one write, where a file may be as large."""
RETRY: Final = 0.1
"""Seconds before a failed write is tried again; doubles up to `RETRY_CAP`."""
RETRY_CAP: Final = 5.0
_LAST_TRIES: Final = 0.05
"""The same while the log is being closed."""
_GIVING_UP: Final = 0.1
"""Seconds of the time for closing that are left to a thread to give up what it cannot write."""

_log = logging.getLogger("recloser")
_encode: Final = json.JSONEncoder(separators=(",", ":"), default=repr).encode


class Writer:
    """A queue with a bound, and the thread that empties it into a file.

    Everything here is changed under the lock, but for `_failing`, which is the thread's alone.
    """

    def __init__(self, file: AppendedFile, *, keep: int) -> None:
        self._file = file
        self._keep = keep
        # A write that is larger than a file may be would make it too large.
        self._chunk_bytes = CHUNK_BYTES if file.max_bytes is None else min(CHUNK_BYTES, file.max_bytes)
        self._changed = threading.Condition(threading.Lock())
        self._waiting: deque[Entry] = deque()
        self._gap: AuditGap | None = None
        self._thread: threading.Thread | None = None
        self._resting = False
        self._closing = False
        self._giving_up = False
        self._failing = False

    @property
    def closing(self) -> bool:
        """Whether no record is taken any more."""
        return self._closing

    def take(self, record: AuditRecord | Unmade) -> bool:
        """Take a record; return False for the first one that has to be lost."""
        with self._changed:
            if self._closing or len(self._waiting) >= self._keep:
                return not self._lose(record)
            self._put_gap()
            self._waiting.append(record)
            if self._resting:
                self._resting = False
                self._changed.notify()
            elif self._thread is None:
                self._start()
        return True

    def _lose(self, record: AuditRecord | Unmade) -> bool:
        """Count a record as lost; return whether it is the first."""
        gap = self._gap
        self._gap = AuditGap(
            lost=1 if gap is None else gap.lost + 1,
            since=record.started if gap is None else gap.since,
            until=record.started,
        )
        return gap is None

    def _put_gap(self) -> None:
        """Let the gap have its line, before whatever comes after it."""
        if self._gap is not None and len(self._waiting) < self._keep:
            self._waiting.append(self._gap)
            self._gap = None

    def _start(self) -> None:
        # A daemon, since a thread that hangs in a dead file system must not keep the process from ending.
        thread = threading.Thread(target=self._run, name="recloser-audit", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the process is ending, or has too many threads; the next record tries again
            return
        self._thread = thread

    def begin_to_close(self) -> None:
        """Take no more records and write what waits without delay."""
        with self._changed:
            self._closing = True
            self._resting = False
            self._changed.notify()

    def close(self, timeout: float) -> int:
        """Write what waits and end the thread within so many seconds; return how many records were lost."""
        self.begin_to_close()
        thread = self._thread
        if thread is None:
            self._drain(0.0)
            self._file.close()
        else:
            last = min(_GIVING_UP, timeout / 2)
            thread.join(timeout - last)
            with self._changed:
                self._giving_up = True
                self._changed.notify()
            thread.join(last)
        with self._changed:
            lost = sum(entry.lost if isinstance(entry, AuditGap) else 1 for entry in self._waiting)
            lost += 0 if self._gap is None else self._gap.lost
            self._waiting.clear()
            self._gap = None
        return lost

    def forget(self) -> None:
        """Leave the file to the process that this one was forked from; its thread is not here."""
        # The parent's descriptor would share its lock.
        self._file.close()

    # --- the thread

    def _run(self) -> None:
        delay = 0.0
        while self._rest(delay):
            try:
                delay = self._drain(delay)
            except Exception:  # noqa: BLE001 - boundary: a thread that dies of a mistake would let the audit end unseen
                if not delay:
                    _log.exception("the audit's thread failed; it tries again")
                delay = RETRY_CAP
        self._file.close()

    def _rest(self, delay: float) -> bool:
        """Wait until there is something to do, or for `delay` seconds after a failure; return whether to go on."""
        with self._changed:
            if delay and not self._closing:
                self._changed.wait_for(lambda: self._closing, delay)
            elif delay:
                self._changed.wait_for(lambda: self._giving_up, min(delay, _LAST_TRIES))
            else:
                # As long as lines keep coming nobody need wake us, which would cost the loop more than the line.
                self._changed.wait_for(lambda: self._closing, LINGER)
                self._resting = not (self._waiting or self._gap or self._closing)
                if self._resting:
                    self._changed.wait_for(lambda: not self._resting)
                    self._changed.wait_for(lambda: self._closing, LINGER)
            return not self._giving_up and bool(self._waiting or self._gap or not self._closing)

    def _drain(self, delay: float) -> float:
        """Write all that waits; return 0, or the seconds after which to try again."""
        while entries := self._next():
            lines: list[bytes] = []
            size = 0
            for entry in entries:
                line = _line(entry)
                if lines and size + len(line) > self._chunk_bytes:
                    break
                lines.append(line)
                size += len(line)
            try:
                written = self._file.write(lines)
            except OSError as error:
                if not self._failing:
                    self._failing = True
                    _log.error(
                        "the audit cannot be written to %s: %s; up to %d records are kept until it can be",
                        self._file.path,
                        error.strerror or type(error).__name__,
                        self._keep,
                    )
                return min(2 * delay or RETRY, RETRY_CAP)
            self._done(entries[:written])
        return 0.0

    def _next(self) -> list[Entry]:
        with self._changed:
            self._put_gap()
            return [] if self._giving_up else list(islice(self._waiting, CHUNK))

    def _done(self, written: list[Entry]) -> None:
        with self._changed:
            for _ in written:
                self._waiting.popleft()
        if written and self._failing:
            self._failing = False
            _log.warning("the audit is written to %s again", self._file.path)
        for entry in written:
            if isinstance(entry, AuditGap):
                _log.error("%d records of the audit were lost, from %s to %s", entry.lost, entry.since, entry.until)


def _line(entry: Entry) -> bytes:
    try:
        told = _encode(entry.to_dict())
    except Exception:  # noqa: BLE001 - boundary: a record of foreign making must not keep all others from being written
        _log.exception("a record of the audit cannot be written")
        at = entry.since if isinstance(entry, AuditGap) else entry.started
        told = _encode(AuditGap(lost=1, since=at, until=at).to_dict())
    return f"{told}\n".encode("ascii")
