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
        self.anyway = anyway

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            if not (self.anyway or error.errno in self._forgiven):
                raise
            return memoryview(data).nbytes


class _Stream(io.TextIOWrapper):
    """A stream in the place of another one, over its descriptor."""

    def __init__(self, instead_of: io.TextIOWrapper, number: int, *, anyway: bool) -> None:
        self._over = _Lasting(number, anyway=anyway)
        super().__init__(
            io.BufferedWriter(self._over),
            encoding=instead_of.encoding,
            errors="backslashreplace",
            line_buffering=instead_of.line_buffering,
        )

    def give_up(self) -> None:
        """Forget what cannot be written: Python tries again when it collects the stream, and complains on stderr."""
        self._over.anyway = True


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
                if isinstance(stream, _Stream):
                    stream.give_up()
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
    return _Stream(stream, number, anyway=anyway)
