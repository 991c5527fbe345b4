"""What a program has open, and whether a piece of it leaves more behind: tasks, processes, descriptors, threads.

Linux tells all of it under `/proc`; elsewhere processes are left out.
"""

from __future__ import annotations

import asyncio
import concurrent.futures.thread
import ctypes
import gc
import os
import queue
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

__all__ = ["Child", "Snapshot", "adopting", "no_leaks", "snapshot"]

_PROC: Final = Path("/proc")
_STEP: Final = 0.01
"""Seconds between two looks while something is still there."""
_LOOKS: Final = 10
"""Looks at the least: a machine that stands still for the whole grace has given nothing the time to go."""
_POOLS: Final = ("asyncio_", "AnyIO worker thread")
"""Names of threads that their event loop keeps for later and ends with itself, once they have nothing to do."""

_EXECUTOR: Final = (concurrent.futures.thread.__file__, "_worker")
"""Where a thread of asyncio's pool waits for work."""

_GET_SUBREAPER: Final = 37
_SET_SUBREAPER: Final = 36


@dataclass(frozen=True, kw_only=True)
class Child:
    """A process below this one: started by it, by one of those, or in a session that one of those leads."""

    pid: int
    started: int
    """When, in clock ticks since the system's start: a number that is used again makes another child."""
    command: str
    parent: int
    session: int
    zombie: bool

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Child) and (self.pid, self.started) == (other.pid, other.started)

    def __hash__(self) -> int:
        return hash((self.pid, self.started))


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """What was open at one moment."""

    tasks: frozenset[asyncio.Task[Any]]
    """Those of the running loop; none where no loop runs."""
    children: frozenset[Child]
    fds: frozenset[tuple[int, str]]
    """File descriptors, and what each stands for."""
    threads: frozenset[threading.Thread]

    def beyond(self, earlier: Snapshot) -> list[str]:
        """Return a line for each thing that is open here and was not in `earlier`."""
        return [
            *(f"task {task.get_name()}: {task.get_coro()!r}" for task in self.tasks - earlier.tasks),
            *(
                f"{'zombie' if child.zombie else 'process'} {child.pid} ({child.command}) of {child.parent}"
                for child in self.children - earlier.children
            ),
            *(f"file descriptor {fd}: {what}" for fd, what in self.fds - earlier.fds),
            *(f"thread {thread.name}" for thread in self.threads - earlier.threads),
        ]


def snapshot() -> Snapshot:
    """Return what is open now."""
    try:
        tasks = frozenset(asyncio.all_tasks())
    except RuntimeError:
        tasks = frozenset()
    threads = (thread for thread in threading.enumerate() if not (thread.name.startswith(_POOLS) and _is_idle(thread)))
    return Snapshot(tasks=tasks, children=_children(), fds=frozenset(_fds()), threads=frozenset(threads))


@asynccontextmanager
async def no_leaks(*, grace: float = 1.0) -> AsyncIterator[Snapshot]:
    """Check that the body leaves nothing open that was not open before; an exception of the body goes first.

    What is still there may take `grace` seconds of the event loop to go. Inside, on Linux, this process takes in
    orphans, so that a process whose parents are gone is seen too.

    Raises:
        AssertionError: something was left behind; the message names each.
    """
    before = snapshot()
    with adopting():
        yield before
        left = await _left_behind(before, grace)
    if left:
        raise AssertionError("left behind:\n" + "\n".join(f"- {line}" for line in sorted(left)))


@contextmanager
def adopting() -> Iterator[None]:
    """Take in the orphans of this process's descendants, so that a process whose parents are gone is seen: on Linux."""
    before = _adopt_orphans(wanted=True)
    try:
        yield
    finally:
        _adopt_orphans(wanted=before)
        _reap_adopted()


async def _left_behind(before: Snapshot, grace: float) -> list[str]:
    loop = asyncio.get_running_loop()
    until = loop.time() + grace
    # Whoever looks is not left behind, in whichever task it began.
    before = replace(before, tasks=before.tasks | {task for task in (asyncio.current_task(),) if task is not None})
    # What only waits to be collected is not left to the moment at which that happens.
    gc.collect()
    looks = 0
    while (left := snapshot().beyond(before)) and (loop.time() < until or looks < _LOOKS):
        await asyncio.sleep(_STEP)
        gc.collect()
        looks += 1
    return left


def _is_idle(thread: threading.Thread) -> bool:
    """Return whether a thread of a pool waits for something to do: asyncio's pool or AnyIO's."""
    frame = sys._current_frames().get(thread.ident or 0)  # noqa: SLF001 - the one way to see what a thread does
    # What waits by a lock is told by who waits for what.
    while frame is not None and frame.f_code.co_filename == threading.__file__:
        frame = frame.f_back
    if frame is not None and frame.f_code is queue.Queue.get.__code__:
        # Any work may wait for a queue of its own.
        return frame.f_locals["self"] is getattr(thread, "queue", None)
    return frame is not None and (frame.f_code.co_filename, frame.f_code.co_name) == _EXECUTOR


def _children() -> frozenset[Child]:
    """Return the processes below this one, but not the zombies of other people's children that it has taken in."""
    processes = [child for child in _processes() if not (child.zombie and _is_adopted(child))]
    below = {os.getpid()}
    found: set[Child] = set()
    while new := [
        child for child in processes if child not in found and (child.parent in below or child.session in _led(found))
    ]:
        found.update(new)
        below.update(child.pid for child in new)
    return frozenset(found)


def _led(children: set[Child]) -> set[int]:
    return {child.pid for child in children if child.pid == child.session}


def _is_adopted(child: Child) -> bool:
    """Return whether a process became ours as an orphan: our own children are in our session, or lead theirs."""
    return child.parent == os.getpid() and child.session not in (child.pid, os.getsid(0))


def _reap_adopted() -> None:
    for child in list(_processes()):
        if child.zombie and _is_adopted(child):
            os.waitpid(child.pid, os.WNOHANG)


def _processes() -> Iterator[Child]:
    for entry in _PROC.glob("[0-9]*"):
        try:
            text = (entry / "stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            # It has ended since the directory was read.
            continue
        # The command stands in parentheses and may hold any character, parentheses and spaces too.
        command, _, rest = text.partition("(")[2].rpartition(")")
        state, parent, _, session, *more = rest.split()
        yield Child(
            pid=int(entry.name),
            started=int(more[15]),
            command=command,
            parent=int(parent),
            session=int(session),
            zombie=state in "ZX",
        )


def _fds() -> Iterator[tuple[int, str]]:
    directory = _PROC / "self" / "fd"
    linux = directory.is_dir()
    for entry in list((directory if linux else Path("/dev/fd")).iterdir()):
        fd = int(entry.name)
        # The descriptor by which the directory was read is closed by now.
        with suppress(OSError):
            status = os.fstat(fd)
            yield fd, str(entry.readlink()) if linux else f"{status.st_mode:o} {status.st_dev}:{status.st_ino}"


def _adopt_orphans(*, wanted: bool) -> bool:
    """Let this process take in orphans of its descendants, or leave them to the system; return how it was before."""
    if not sys.platform.startswith("linux"):
        return False
    prctl = ctypes.CDLL(None).prctl
    before = ctypes.c_int()
    prctl(_GET_SUBREAPER, ctypes.byref(before), 0, 0, 0)
    prctl(_SET_SUBREAPER, int(wanted), 0, 0, 0)
    return bool(before.value)
