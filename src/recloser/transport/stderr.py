"""What a child says on its standard error: the end of it kept, each line handed on."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

__all__ = ["StderrTail"]

_LINE_MOST: Final = 256 * 1024
"""Bytes of one line that are handed on, its last ones.

Far more than is kept of a line to be shown, so that it is cut there, where a secret at the cut is known as such.
"""

_log = logging.getLogger("recloser")


class StderrTail:
    """Keeps the last `size` bytes and gives each line to `on_line`; only `feed` and `finish` change it."""

    def __init__(self, size: int, on_line: Callable[[str], None] | None) -> None:
        self._size = size
        self._on_line = on_line
        self._tail = b""
        self._line = bytearray()
        self._failed = False

    @property
    def text(self) -> str:
        """The last bytes as text; what is no UTF-8, a character cut in two as well, is replaced."""
        return self._tail.decode("utf-8", "replace")

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        self._tail = (self._tail + data)[max(0, len(self._tail) + len(data) - self._size) :]
        if self._on_line is None:
            return
        first, *rest = data.split(b"\n")
        self._extend(first)
        for part in rest:
            self._tell()
            self._extend(part)

    def finish(self) -> None:
        """Hand on the last line, which has no end; often the last words of a process that crashed."""
        if self._line:
            self._tell()

    def _extend(self, part: bytes) -> None:
        self._line += part
        del self._line[:-_LINE_MOST]

    def _tell(self) -> None:
        assert self._on_line is not None
        line = self._line.removesuffix(b"\r").decode("utf-8", "replace")
        self._line.clear()
        try:
            self._on_line(line)
        except Exception:  # noqa: BLE001 - boundary: the callback is foreign code and must not end the connection
            # Once is enough: a server may say a thousand lines a second.
            if not self._failed:
                self._failed = True
                _log.exception("the callback for a server's stderr failed")
