"""A child process in a process group of its own, which ends as a whole."""

from __future__ import annotations

import asyncio
import errno
import io
import logging
import os
import signal
import subprocess
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final, cast

__all__ = ["ChildProcess"]

_REAP: Final = 2.0
"""Seconds that a killed process may take to be gone before it is given up."""
_POLL_FIRST: Final = 0.01
_POLL_MOST: Final = 0.25
"""Seconds between two looks at the child, where the system cannot say that it is over."""

_log = logging.getLogger("recloser")


class ChildProcess:
    """A running command, the leader of its own session and process group.

    When the leader is over, so is the group: what it leaves behind is killed at once, before its number can belong to
    anybody else. Changed by `check`, which the event loop calls when the leader is over, and by `end`.

    Raises:
        OSError: the command cannot be started.
        ValueError: the command, an argument or a variable holds a NUL byte.
    """

    def __init__(
        self, argv: Sequence[str], *, env: Mapping[str, str], cwd: str | None, on_exit: Callable[[], None]
    ) -> None:
        if not hasattr(os, "killpg"):
            raise OSError(errno.ENOSYS, "stdio servers need process groups, which this system does not have")
        self._on_exit = on_exit
        self._loop = asyncio.get_running_loop()
        # Not the loop's own subprocesses: they cost one more turn of the loop for every chunk, a thread per child on
        # Python 3.11, and need a loop that goes on turning to be closed.
        self._popen = subprocess.Popen(  # noqa: S603 - running what the configuration names is the purpose
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env=env,
            cwd=cwd,
            start_new_session=True,
        )
        self.pid = self._popen.pid
        self.exited: asyncio.Future[int] = self._loop.create_future()
        """The leader's exit code, negative for a signal; nobody but `check` sets it, nobody may cancel it."""
        self._timer: asyncio.TimerHandle | None = None
        self._pidfd: io.FileIO | None = None
        with suppress(AttributeError, OSError):
            self._pidfd = io.FileIO(os.pidfd_open(self.pid))
        self._finalizer = weakref.finalize(self, _abandon, self._popen, self._pidfd, os.getpid())

    @property
    def stdin(self) -> io.FileIO:
        """Our end of the child's standard input."""
        return cast("io.FileIO", self._popen.stdin)

    @property
    def stdout(self) -> io.FileIO:
        """Our end of the child's standard output."""
        return cast("io.FileIO", self._popen.stdout)

    @property
    def stderr(self) -> io.FileIO:
        """Our end of the child's standard error."""
        return cast("io.FileIO", self._popen.stderr)

    @property
    def exit_code(self) -> int | None:
        """How the leader ended; None while it runs."""
        return self.exited.result() if self.exited.done() else None

    def watch(self) -> None:
        """Begin to look for the leader's end."""
        if self._pidfd is not None:
            self._loop.add_reader(self._pidfd.fileno(), self.check)
        else:
            self._poll(_POLL_FIRST)

    def check(self) -> None:
        """Notice it if the leader is over: kill what is left of the group, reap it, and tell `on_exit`."""
        if self.exited.done() or not self._over():
            return
        self.abandon()
        self.exited.set_result(self._popen.returncode)
        self._on_exit()

    def signal(self, number: int) -> None:
        """Send a signal to all of the group."""
        if not self.exited.done():
            _kill_group(self.pid, number)

    async def end(self, *, grace: float, gentle: bool) -> None:
        """End the group: `grace` seconds to go by itself if `gentle`, SIGTERM and `grace` seconds more, SIGKILL.

        When it is cancelled it hurries: SIGKILL at once; the cancellation goes out when the group is gone.
        """
        cancelled: asyncio.CancelledError | None = None
        try:
            if gentle and await self._gone_within(grace):
                return
            self.signal(signal.SIGTERM)
            # One that was stopped could not hear it.
            self.signal(signal.SIGCONT)
            if await self._gone_within(grace):
                return
        except asyncio.CancelledError as error:
            cancelled = error
        self.signal(signal.SIGKILL)
        until = self._loop.time() + _REAP
        while not self.exited.done() and (left := until - self._loop.time()) > 0:
            try:
                await self._gone_within(left)
            except asyncio.CancelledError as error:
                cancelled = error
        if not self.exited.done():
            _log.warning("process %d does not end, though it was killed; it is given up", self.pid)
            self._unwatch()
        if cancelled is not None:
            raise cancelled

    def abandon(self) -> None:
        """Kill and reap the group at once, without the event loop; for one that is over, or was only half started."""
        self._unwatch()
        self._finalizer.detach()
        _kill_group(self.pid, signal.SIGKILL)
        _reap(self._popen)

    async def _gone_within(self, seconds: float) -> bool:
        await asyncio.wait({self.exited}, timeout=seconds)
        return self.exited.done()

    def _over(self) -> bool:
        """Return whether the leader is over; where it can be left a zombie it is, which keeps the group's number."""
        if not hasattr(os, "waitid"):
            return self._popen.poll() is not None
        try:
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:
            # Somebody else waits for all children of this process, or nobody may.
            return True

    def _poll(self, delay: float) -> None:
        self._timer = self._loop.call_later(delay, self._poll, min(2 * delay, _POLL_MOST))
        self.check()

    def _unwatch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._pidfd is not None and not self._pidfd.closed:
            self._loop.remove_reader(self._pidfd.fileno())
            self._pidfd.close()


def _kill_group(pid: int, number: int) -> None:
    # EPERM: macOS says so of zombies; otherwise we have signalled all that we may.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _reap(popen: subprocess.Popen[bytes]) -> None:
    # It is dead already or was just killed, so this does not wait, except for what the system cannot kill.
    with suppress(subprocess.TimeoutExpired):
        popen.wait(_REAP)


def _abandon(popen: subprocess.Popen[bytes], pidfd: io.FileIO | None, owner: int) -> None:
    """End a group whose owner never did: its loop was closed over it, or the interpreter exits."""
    if os.getpid() != owner:
        # A fork of ours inherits the record but not the child.
        return
    _kill_group(popen.pid, signal.SIGKILL)
    _reap(popen)
    for file in (popen.stdin, popen.stdout, popen.stderr, pidfd):
        if file is not None:
            file.close()
