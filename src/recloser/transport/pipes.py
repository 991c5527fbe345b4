"""The two ends of pipes to a child, read and written by the event loop without waiting.

Closing takes effect at once: nothing is left for a later turn of the loop, which may never come.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from io import RawIOBase
from typing import Final

import anyio

__all__ = ["ReadPipe", "WritePipe"]

_CHUNK: Final = 64 * 1024
"""Bytes of one read: what a pipe holds; larger buffers cost a page fault each time."""
_PIPE_MOST: Final = 1024 * 1024
"""Bytes that a pipe can hold at most."""


class ReadPipe:
    """The reading end: gives what comes to `on_data`, and tells `on_end` once that no more will.

    Only the event loop's callbacks and the owner's calls change it.
    """

    def __init__(self, file: RawIOBase, *, on_data: Callable[[bytes], None], on_end: Callable[[], None]) -> None:
        self._file = file
        self._on_data = on_data
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._fd = file.fileno()
        self.paused = True
        os.set_blocking(self._fd, False)
        self.resume()

    @property
    def closed(self) -> bool:
        """Whether nothing more is read."""
        return self._file.closed

    def pause(self) -> None:
        """Read no more until `resume`, so that the peer has to wait."""
        if not (self.paused or self.closed):
            self.paused = True
            self._loop.remove_reader(self._fd)

    def resume(self) -> None:
        """Read on."""
        if self.paused and not self.closed:
            self._loop.add_reader(self._fd, self._ready)
            self.paused = False

    def drain(self) -> None:
        """Take what lies in the pipe now, also while paused; bounded, since a stranger may go on writing."""
        for _ in range(_PIPE_MOST // _CHUNK + 1):
            if self.closed or not self._ready():
                return

    def close(self) -> None:
        """Close this end; harmless when it is closed."""
        self.pause()
        self._file.close()

    def _ready(self) -> bool:
        """Read once, and return whether that gave anything."""
        try:
            data = os.read(self._fd, _CHUNK)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            # A pipe that cannot be read has ended, whatever its reason.
            data = b""
        if data:
            self._on_data(data)
            return True
        self.close()
        self._on_end()
        return False


class WritePipe:
    """The writing end: one message at a time, whole or not at all, each taken within `timeout` seconds.

    Only senders and the event loop's callbacks change it. `on_stuck` is told when a message has not been taken in
    time, `on_broken` when a message finds that the peer has closed its end, `on_busy` when one has to wait.
    """

    def __init__(
        self,
        file: RawIOBase,
        *,
        timeout: float,
        on_stuck: Callable[[], None],
        on_broken: Callable[[], None],
        on_busy: Callable[[], None],
    ) -> None:
        self._file = file
        self._timeout = timeout
        self._on_stuck = on_stuck
        self._on_broken = on_broken
        self._on_busy = on_busy
        self._loop = asyncio.get_running_loop()
        self._fd = file.fileno()
        self._turn = asyncio.Lock()
        self._idle = asyncio.Event()
        self._idle.set()
        self._rest = memoryview(b"")
        self._timer: asyncio.TimerHandle | None = None
        self._since = 0.0
        self._refusal: type[Exception] | None = None
        self._finishing = False
        os.set_blocking(self._fd, False)

    @property
    def busy(self) -> bool:
        """Whether the peer's pipe was full at the last message, and has been since."""
        return not self._idle.is_set()

    @property
    def stalled(self) -> bool:
        """Whether the pipe has been full for a fifth of the time that a message has."""
        return self.busy and self._loop.time() - self._since >= self._timeout / 5

    async def send(self, line: bytes) -> None:
        """Write one line; return when the peer's pipe has taken all of it.

        When the caller is cancelled in the middle of its line, the rest is still written, or two messages would run
        together; before that, nothing of it is.

        Raises:
            anyio.BrokenResourceError: the peer is gone, and has not got the whole line.
            anyio.ClosedResourceError: this end was closed, and the peer has not got the whole line.
        """
        async with self._turn:
            # The pipe may be full, or have the rest of a message whose sender was cancelled before it.
            await self._idle.wait()
            self._check()
            self._rest = memoryview(line)
            self._push()
            if self._rest and not self._file.closed:
                self._wait()
                try:
                    await self._idle.wait()
                except asyncio.CancelledError:
                    # The clock runs on: a peer that reads nothing shall not live on callers that give up early.
                    if len(self._rest) == len(line):
                        self._rest = memoryview(b"")
                    raise
            # The turn is still ours, so what is left is of this line, and it is left because this end was closed.
            if self._rest:
                self._check()

    def seal(self) -> None:
        """Take no further message; the one under way goes on."""
        self._refusal = self._refusal or anyio.ClosedResourceError

    def finish(self, within: float) -> None:
        """Close when the message under way is written, at the latest after `within` seconds."""
        self.seal()
        self._finishing = True
        if not (self.busy and self._rest):
            self.close()
        else:
            self._set_timer(within, self.close)

    def close(self) -> None:
        """Close at once; who waits to send is told."""
        self.seal()
        self._settle()
        self._file.close()

    def fail(self) -> None:
        """Close since the peer is gone; who waits to send is told so."""
        self._refusal = self._refusal or anyio.BrokenResourceError
        self.close()

    def _check(self) -> None:
        if self._refusal is not None:
            raise self._refusal

    def _push(self) -> None:
        try:
            taken = os.write(self._fd, self._rest)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.fail()
            self._on_broken()
            return
        self._rest = self._rest[taken:]

    def _wait(self) -> None:
        self._idle.clear()
        self._since = self._loop.time()
        self._set_timer(self._timeout, self._on_stuck)
        self._loop.add_writer(self._fd, self._ready)
        self._on_busy()

    def _ready(self) -> None:
        self._push()
        if not self._rest:
            self._settle()
            if self._finishing:
                self.close()

    def _settle(self) -> None:
        if self.busy:
            self._loop.remove_writer(self._fd)
            self._set_timer(None, self._on_stuck)
            self._idle.set()

    def _set_timer(self, seconds: float | None, then: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if seconds is None else self._loop.call_later(seconds, then)
