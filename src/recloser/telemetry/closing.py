"""Ending what may hang, by a deadline that is kept.

The SDK flushes in `shutdown()`, and waits for a collector that does not answer for as long as its exporters do. So each
part is ended in a thread of its own, and whoever waits for it waits no longer than it said. The threads exist from the
beginning, since none can be started any more while the interpreter ends.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable
from weakref import WeakMethod

__all__ = ["Closing"]

_log = logging.getLogger("recloser")


class Closing:
    """Ends several parts at once, by a deadline; once.

    Changed by `close`, and by `restart` in a child process.
    """

    def __init__(self, parts: Iterable[tuple[str, Callable[[], object]]]) -> None:
        self._parts = tuple(parts)
        self._ended = False
        self._begin = threading.Event()
        self._waiting: list[threading.Event] = []
        self._start()
        if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has none
            restart = WeakMethod(self.restart)
            os.register_at_fork(after_in_child=lambda: (again := restart()) and again())

    def __repr__(self) -> str:
        return f"Closing({', '.join(name for name, _ in self._parts)})"

    def close(self, timeout: float) -> bool:
        """End all parts and return whether all have ended within `timeout` seconds; again, it does nothing."""
        if self._ended:
            return True
        self._ended = True
        self._begin.set()
        # They end side by side, so one wait bounds all of them: the last to end is the one that is waited for.
        return self._all.wait(timeout)

    def restart(self) -> None:
        """Begin anew in a child process, which has none of its parent's threads."""
        if not self._ended:
            self._start()

    def _start(self) -> None:
        self._begin = threading.Event()
        self._all = threading.Event()
        self._left = len(self._parts)
        self._lock = threading.Lock()
        if not self._parts:
            self._all.set()
        for name, end in self._parts:
            threading.Thread(target=self._run, args=(name, end), name=f"recloser-end-{name}", daemon=True).start()

    def _run(self, name: str, end: Callable[[], object]) -> None:
        self._begin.wait()
        try:
            end()
        except Exception as error:  # noqa: BLE001 - boundary: whatever the SDK raises must not keep the others from ending
            _log.warning("%s of the telemetry could not be ended: %s", name, type(error).__name__)
        with self._lock:
            self._left -= 1
            if self._left == 0:
                self._all.set()
