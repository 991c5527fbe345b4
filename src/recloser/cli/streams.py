"""The standard streams while a command runs: there in any case, and written to in vain once their reader has left."""

from __future__ import annotations

import errno
import io
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Literal, TextIO

__all__ = ["lasting"]

LEFT: Final = frozenset({errno.EPIPE, errno.ECONNRESET})
"""What a pipe and a socket say when nobody reads them any more."""


class _Lasting(io.FileIO):
    """A descriptor that takes what is written and cannot arrive, where nobody reads it or `anyway`."""

    def __init__(self, number: int, *, anyway: bool) -> None:
        super().__init__(number, "wb", closefd=False)
        # A terminal that is gone says what a sick disk does, and does not say any more that it is a terminal.
        device = stat.S_ISCHR(os.fstat(number).st_mode)
        self._forgiven = LEFT | {errno.EIO} if device else LEFT
        self._anyway = anyway

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            if not (self._anyway or error.errno in self._forgiven):
                raise
            return memoryview(data).nbytes


@contextmanager
def lasting() -> Iterator[None]:
    """Let a command end as it would have, whoever has closed its streams or has stopped reading them.

    An answer that cannot be written for another reason is a failure, as on a full disk; a remark on stderr never is.
    What a stream cannot show is written as an escape. Afterwards the streams are what they were.
    """
    kept = sys.stdin, sys.stdout, sys.stderr
    with ExitStack() as stack:
        # In the order of their numbers: each gets its own again, so that nothing else is opened under it.
        sys.stdin = kept[0] or stack.enter_context(_nothing("r"))
        sys.stdout = _outliving(kept[1] or stack.enter_context(_nothing("w")), anyway=False)
        sys.stderr = _outliving(kept[2] or stack.enter_context(_nothing("w")), anyway=True)
        try:
            yield
        finally:
            for stream in (sys.stdout, sys.stderr):
                # What was to be told of it has been told by whoever wrote it.
                with suppress(OSError):
                    stream.flush()
            sys.stdin, sys.stdout, sys.stderr = kept


def _nothing(mode: Literal["r", "w"]) -> TextIO:
    return Path(os.devnull).open(mode, encoding="utf-8")


def _outliving(stream: TextIO, *, anyway: bool) -> TextIO:
    if not isinstance(stream, io.TextIOWrapper):
        return stream  # where a program has put one of its own
    try:
        number = stream.fileno()
    except OSError:
        stream.reconfigure(errors="backslashreplace")
        return stream
    with suppress(OSError):
        stream.flush()
    writer = io.BufferedWriter(_Lasting(number, anyway=anyway))
    return io.TextIOWrapper(
        writer, encoding=stream.encoding, errors="backslashreplace", line_buffering=stream.line_buffering
    )
