"""What comes over stdin, whatever that is: a pipe, a terminal, a file, or nothing at all."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

__all__ = ["open_stdin"]


@asynccontextmanager
async def open_stdin(limit: int = 65_536) -> AsyncIterator[tuple[asyncio.StreamReader, Callable[[], None] | None]]:
    """Yield a reader of stdin whose lines have at most `limit` bytes, and what makes it stop reading.

    The second is None where nothing is waited for. A stdin that is closed, or the null device, is the end of the input.
    """
    reader = asyncio.StreamReader(limit=limit)
    if sys.stdin is None or not _comes_in_time(sys.stdin.fileno()):
        # No loop can wait for a file or the null device; what they hold is there at once.
        reader.feed_data(b"" if sys.stdin is None else _everything(sys.stdin.fileno()))
        reader.feed_eof()
        yield reader, None
        return
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    try:
        yield reader, transport.pause_reading
    finally:
        transport.close()


def _comes_in_time(descriptor: int) -> bool:
    mode = os.fstat(descriptor).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(descriptor)


def _everything(descriptor: int) -> bytes:
    with open(descriptor, "rb", closefd=False) as file:
        return file.read()
