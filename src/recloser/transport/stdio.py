"""A server as a child process, behind the SDK's `Transport` protocol.

The SDK's own transport takes quadratic time for long lines, falls silent after one bad byte, does not tell that a
server has died, waits without limit for one that does not read, and can leave processes behind.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from os import PathLike, fspath
from types import TracebackType
from typing import Final, Self

import anyio
import anyio.lowlevel
from mcp.client.stdio import get_default_environment
from mcp.shared.message import SessionMessage

from recloser.transport.lines import Line, Lines, complete_message, messages_of
from recloser.transport.pipes import ReadPipe, WritePipe
from recloser.transport.process import ChildProcess
from recloser.transport.stderr import StderrTail

__all__ = ["StdioTransport"]

_QUEUED: Final = 4 * 1024 * 1024
"""Bytes of messages that nobody has taken, above which the peer has to wait."""
_QUEUED_BUSY: Final = 8 * _QUEUED
"""The same while the peer has not taken our own message yet: it may be waiting for us to read first."""
_OVERHEAD: Final = 512
"""Bytes that a message is reckoned to cost beside its text."""
_IN_A_ROW: Final = 16
"""Messages taken without a pause before other tasks get their turn."""
_FLUSH: Final = 0.5
"""Seconds that a closing transport gives the message under way."""


class _Inbox:
    """What the peer has sent and nobody has taken yet; one task at a time receives.

    Filled and ended by the transport, emptied by the receiver; `on_taken` is told of each message that goes out.
    """

    def __init__(self, on_taken: Callable[[], None]) -> None:
        self._on_taken = on_taken
        self._items: deque[tuple[SessionMessage, int]] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._streak = 0
        self._ended = False
        self.closed = False
        self.level = 0
        """Bytes that are reckoned for what waits here."""

    @property
    def done(self) -> bool:
        """Whether what comes now would not be received any more."""
        return self._ended or self.closed

    def put(self, message: SessionMessage, size: int) -> None:
        """Add a message that came as `size` bytes."""
        self._items.append((message, size + _OVERHEAD))
        self.level += size + _OVERHEAD
        self._wake()

    def end(self) -> None:
        """Say that nothing more will come; what is here can still be received."""
        self._ended = True
        self._wake()

    async def receive(self) -> SessionMessage | Exception:
        """Return the next message.

        Raises:
            anyio.EndOfStream: the peer has ended, and everything has been received.
            anyio.ClosedResourceError: this stream was closed.
            anyio.BusyResourceError: another task is receiving.
        """
        self._streak += 1
        if self._streak > _IN_A_ROW:
            self._streak = 0
            await anyio.lowlevel.checkpoint()
        while not (self._items or self.done):
            await self._wait()
        if self.closed:
            raise anyio.ClosedResourceError
        if not self._items:
            raise anyio.EndOfStream
        message, cost = self._items.popleft()
        self.level -= cost
        self._on_taken()
        return message

    async def aclose(self) -> None:
        """Receive no more; what is here is dropped."""
        self.closed = True
        self._items.clear()
        self.level = 0
        self._wake()
        self._on_taken()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        try:
            return await self.receive()
        except anyio.EndOfStream as error:
            raise StopAsyncIteration from error

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _wait(self) -> None:
        if self._waiter is not None:
            raise anyio.BusyResourceError("receiving from")
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
            self._streak = 0

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class _Outbox:
    """What we send to the peer."""

    def __init__(self, pipe: WritePipe) -> None:
        self._pipe = pipe

    async def send(self, item: SessionMessage, /) -> None:
        """Write a message; return when the peer's pipe has taken all of it.

        Raises:
            anyio.BrokenResourceError: the peer is gone; it has not got the message.
            anyio.ClosedResourceError: this stream was closed; the peer has not got the message.
        """
        await anyio.lowlevel.checkpoint_if_cancelled()
        text = item.message.model_dump_json(by_alias=True, exclude_unset=True)
        await self._pipe.send(text.encode() + b"\n")

    async def aclose(self) -> None:
        """Send no more."""
        self._pipe.seal()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


class StdioTransport:
    """Runs a command and speaks JSON-RPC with it, one message a line; entered once.

    Its state is changed by the callbacks of its pipes and its child, and by leaving it.

    Args:
        command: what to run, looked for in the `PATH` that it will see.
        args: its arguments.
        env: variables on top of the few that the SDK hands down (PATH, HOME, …).
        cwd: the directory to run it in.
        max_message: bytes of the longest line that is taken; an answer that is longer fails its own call only.
        stderr_tail: bytes of its standard error that are kept.
        write_timeout: seconds within which it has to take a message; one that does not is ended.
        shutdown: seconds that ending may take: half to end by itself, half after SIGTERM; then it is killed.
        on_stderr: is given each line of its standard error.
    """

    def __init__(
        self,
        *,
        command: str,
        args: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        cwd: str | PathLike[str] | None = None,
        max_message: int,
        stderr_tail: int,
        write_timeout: float = 5.0,
        shutdown: float = 4.0,
        on_stderr: Callable[[str], None] | None = None,
    ) -> None:
        self._argv = (command, *args)
        self._env = env
        self._cwd = None if cwd is None else fspath(cwd)
        self._write_timeout = write_timeout
        self._shutdown = shutdown
        self._lines = Lines(max_message)
        self._tail = StderrTail(stderr_tail, on_stderr)
        self._inbox = _Inbox(self._balance)
        self._child: ChildProcess | None = None
        self._pipes: tuple[WritePipe, ReadPipe, ReadPipe] | None = None
        self._ending: asyncio.Task[None] | None = None
        self._leaving: asyncio.TimerHandle | None = None
        self.died = asyncio.Event()
        """Set as soon as the server's output has ended, it is over, or it is ended because it does not read."""
        self.ignored_lines = 0
        """How many lines of its output held no message: banners, blank lines, other JSON."""

    @property
    def pid(self) -> int | None:
        """The number of its process and process group; None before it is started."""
        return None if self._child is None else self._child.pid

    @property
    def exit_code(self) -> int | None:
        """How it ended, negative for a signal; None while it runs."""
        return None if self._child is None else self._child.exit_code

    @property
    def stderr(self) -> str:
        """The last of its standard error, as it came: it may hold secrets."""
        return self._tail.text

    @property
    def stalled(self) -> bool:
        """Whether a message has waited for a fifth of `write_timeout` for the server to read."""
        return self._pipes is not None and self._pipes[0].stalled

    async def wait_exited(self, within: float) -> int | None:
        """Return the exit code, waiting for it at most `within` seconds; its output may end a little before it does."""
        if self._child is not None:
            await asyncio.wait({self._child.exited}, timeout=within)
        return self.exit_code

    async def __aenter__(self) -> tuple[_Inbox, _Outbox]:
        """Start the command and return the streams that messages come from and go to.

        Raises:
            OSError: it cannot be started.
            ValueError: the command, an argument or a variable holds a NUL byte.
            RuntimeError: it was entered before.
        """
        if self._child is not None:
            raise RuntimeError("a StdioTransport can be entered only once")
        # There is no await here, so no cancellation can leave a half-started child.
        env = get_default_environment() | dict(self._env or {})
        child = ChildProcess(self._argv, env=env, cwd=self._cwd, on_exit=self._on_exit)
        self._child = child
        try:
            stdin = WritePipe(
                child.stdin,
                timeout=self._write_timeout,
                on_stuck=self._on_stuck,
                on_broken=self.died.set,
                on_busy=self._balance,
            )
            stderr = ReadPipe(child.stderr, on_data=self._tail.feed, on_end=self._tail.finish)
            stdout = ReadPipe(child.stdout, on_data=self._on_stdout, on_end=self._on_stdout_end)
            self._pipes = stdin, stdout, stderr
            child.watch()
        except BaseException:
            child.abandon()
            for file in (child.stdin, child.stdout, child.stderr):
                file.close()
            raise
        return self._inbox, _Outbox(stdin)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the command and all that it started; takes at most `shutdown` seconds and the time of a kill.

        A cancellation waits until this is done: whoever gave it up in the middle would leave processes behind.
        """
        ending = self._begin_end(gentle=True)
        cancelled: asyncio.CancelledError | None = None
        # The shield holds off cancel scopes, which cancel again in each turn of the loop; the handler, task.cancel().
        with anyio.CancelScope(shield=True):
            while not ending.done():
                try:
                    await asyncio.wait({ending})
                except asyncio.CancelledError as again:
                    cancelled = again
        if cancelled is not None:
            raise cancelled
        if not ending.cancelled():
            ending.result()

    def leave(self, within: float) -> None:
        """Begin to end the command after so many seconds, if whoever entered this has not left it by then."""
        self._leaving = asyncio.get_running_loop().call_later(within, lambda: self._begin_end(gentle=True))

    def _begin_end(self, *, gentle: bool) -> asyncio.Task[None]:
        if self._leaving is not None:
            self._leaving.cancel()
        if self._ending is None:
            self._ending = asyncio.get_running_loop().create_task(self._end(gentle=gentle), name=f"end of {self.pid}")
        return self._ending

    async def _end(self, *, gentle: bool) -> None:
        assert self._child is not None
        assert self._pipes is not None
        stdin, stdout, stderr = self._pipes
        self._inbox.end()
        # From here on its output is read and dropped: a server that waits to write cannot see that it shall end.
        stdout.resume()
        stdin.finish(min(_FLUSH, self._shutdown / 8))
        try:
            await self._child.end(grace=self._shutdown / 2, gentle=gentle)
        finally:
            for pipe in (stdin, stdout, stderr):
                pipe.close()
            self.died.set()

    def _on_stdout(self, data: bytes) -> None:
        if self._inbox.done:
            return
        for line in self._lines.feed(data):
            self._take(line)
        self._balance()

    def _take(self, line: Line) -> None:
        messages = messages_of(line)
        if not messages:
            self.ignored_lines += 1
        size = len(line) if isinstance(line, bytes | bytearray) else 0
        for message in messages:
            self._inbox.put(SessionMessage(message), size)

    def _on_stdout_end(self) -> None:
        assert self._child is not None
        assert self._pipes is not None
        self._end_output()
        # As a rule it is over, or will be in a moment, and has just told why.
        self._pipes[2].drain()
        self._child.check()
        self.died.set()

    def _on_exit(self) -> None:
        assert self._pipes is not None
        stdin, stdout, stderr = self._pipes
        stderr.drain()
        stdout.drain()
        # Whoever it has started and not taken along may hold the pipes open for ever.
        for pipe in (stdout, stderr):
            pipe.close()
        self._tail.finish()
        stdin.fail()
        self._end_output()
        self.died.set()

    def _end_output(self) -> None:
        """Take what came after the last line's end, if it is a whole message, and say that nothing more will come."""
        rest = self._lines.finish()
        if not self._inbox.done:
            for message in complete_message(rest):
                self._inbox.put(SessionMessage(message), len(rest))
        self._inbox.end()

    def _on_stuck(self) -> None:
        assert self._pipes is not None
        self._pipes[0].fail()
        self.died.set()
        self._begin_end(gentle=False)

    def _balance(self) -> None:
        """Let the peer wait while too much of what it sent is here, and write on when half of that has been taken."""
        assert self._pipes is not None
        stdin, stdout, _ = self._pipes
        most = _QUEUED_BUSY if stdin.busy else _QUEUED
        if self._inbox.level > most and not self._inbox.done:
            stdout.pause()
        elif stdout.paused and (self._inbox.level <= most // 2 or self._inbox.done):
            stdout.resume()
