"""Virtual time: an event loop whose seconds pass only while every task waits.

A test that waits five minutes for a back-off ends in a millisecond, and a moment is an exact number that can be
asserted. Real events (sockets, pipes, threads) still arrive; `grace` says how long the loop looks for them before it
lets time jump.
"""

from __future__ import annotations

import asyncio
import os
import selectors
import sysconfig
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

__all__ = ["VirtualClock", "VirtualLoop", "run_virtual"]

T = TypeVar("T")

_Ready = list[tuple[selectors.SelectorKey, int]]


class _JumpingSelector(selectors.DefaultSelector):
    """A selector that moves its own clock instead of waiting for it."""

    def __init__(self, grace: float, patience: float) -> None:
        super().__init__()
        self.now = 0.0
        self.stuck: Callable[[], str] = str
        self._grace = grace
        self._patience = patience

    def select(self, timeout: float | None = None) -> _Ready:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            # No timer at all: only a real event, such as a thread that ends, can wake the loop.
            ready = super().select(self._patience)
            if not ready:
                raise RuntimeError(f"every task waits for something that never comes: {self.stuck()}")
            return ready
        if self._grace and (ready := super().select(self._grace)):
            return ready
        self.now += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on virtual time, which begins at 0.

    Args:
        grace: real seconds to look for real events before time jumps; 0 looks once, without waiting.
        patience: real seconds to look for real events when no timer is set, before the loop counts as stuck.
    """

    def __init__(self, *, grace: float = 0.0, patience: float = 5.0) -> None:
        self._jumping = _JumpingSelector(grace, patience)
        self._jumping.stuck = self._waiting
        self._advanced = 0.0
        super().__init__(self._jumping)

    def time(self) -> float:
        """Return the virtual seconds that have passed."""
        return self._jumping.now

    def advance(self, seconds: float) -> None:
        """Let time pass at once, as it does while a blocking call holds up the loop."""
        self._jumping.now += seconds
        self._advanced += seconds

    @property
    def advanced(self) -> float:
        """The virtual seconds that have passed by `advance` alone: nothing else makes this loop late."""
        return self._advanced

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """End the default executor; its threads need real time, so a virtual limit on them would mean nothing."""
        await super().shutdown_default_executor()

    def _waiting(self) -> str:
        tasks = sorted(asyncio.all_tasks(self), key=asyncio.Task.get_name)
        return "; ".join(f"{task.get_name()} at {_place(task)}" for task in tasks) or "no task is left"


_PLACES: Final = sysconfig.get_paths()
_INSTALLED: Final = tuple(f"{_PLACES[name]}{os.sep}" for name in ("stdlib", "platstdlib", "purelib", "platlib"))
"""Where Python's own modules and installed packages lie."""


def _place(task: asyncio.Task[Any]) -> str:
    """Return the line at which a task waits: its user's innermost one, or where it has none of his, its innermost."""
    place, own = "an unknown place", False
    step: Any = task.get_coro()
    while (frame := getattr(step, "cr_frame", None)) is not None:
        code = frame.f_code
        mine = not code.co_filename.startswith(_INSTALLED)
        if mine or not own:
            place, own = f"{code.co_qualname} ({code.co_filename}:{frame.f_lineno})", mine
        step = step.cr_await
    return place


def run_virtual(
    main: Coroutine[Any, Any, T] | Callable[[], Coroutine[Any, Any, T]], *, grace: float = 0.0, patience: float = 5.0
) -> T:
    """Run a coroutine, or an async function without arguments, on a `VirtualLoop` of its own; return its result.

    Args:
        main: what to run.
        grace: real seconds to look for real events before time jumps.
        patience: real seconds to look for real events when no timer is set.

    Raises:
        RuntimeError: every task waits for something that never comes; the message names the tasks.
    """
    return VirtualClock(grace=grace, patience=patience).run(main)


class VirtualClock:
    """Runs one thing after the other, each on a `VirtualLoop` of its own, and tells and changes what time it is there.

    Written by `run`; `grace` and `patience` are those of `run_virtual`.
    """

    def __init__(self, *, grace: float = 0.0, patience: float = 5.0) -> None:
        self.grace = grace
        self.patience = patience
        self._loop: VirtualLoop | None = None

    def run(self, main: Coroutine[Any, Any, T] | Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine, or an async function without arguments, and return its result.

        Raises:
            RuntimeError: every task waits for something that never comes; the message names the tasks.
        """
        with asyncio.Runner(loop_factory=self._made) as runner:
            return runner.run(main() if callable(main) else main)

    def _made(self) -> VirtualLoop:
        self._loop = VirtualLoop(grace=self.grace, patience=self.patience)
        return self._loop

    def time(self) -> float:
        """Return the virtual seconds that have passed, in what runs or has run last; 0 before."""
        return 0.0 if self._loop is None else self._loop.time()

    def advance(self, seconds: float) -> None:
        """Let time pass at once, as it does while a blocking call holds up the loop.

        Raises:
            RuntimeError: nothing runs whose time could pass.
        """
        if self._loop is None or not self._loop.is_running():
            raise RuntimeError("nothing runs on this clock")
        self._loop.advance(seconds)
