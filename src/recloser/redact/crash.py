"""What a process says when it crashes: the traceback of an exception that nobody caught, redacted like all else."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

from recloser.redact.redactor import Redactor

__all__ = ["guard"]


def guard(redactor: Callable[[], Redactor]) -> Callable[[], None]:
    """Let all uncaught exceptions of the process be told redacted on stderr; return what undoes it.

    It stands in for the hooks of `sys` and `threading`; one that an application has set itself is left alone, since it
    may send the exception somewhere else, which is the application's own to redact.

    Args:
        redactor: returns what redacts; asked at the crash, since a reload brings new secrets.
    """
    crash = _Crash(redactor)
    hooks: tuple[tuple[Any, str, Any], ...] = (
        (sys, "excepthook", crash.uncaught),
        (sys, "unraisablehook", crash.unraisable),
        (threading, "excepthook", crash.in_thread),
    )
    ours = [hook for hook in hooks if getattr(hook[0], hook[1]) is _original(*hook[:2])]
    for module, name, hook in ours:
        setattr(module, name, hook)

    def undo() -> None:
        for module, name, hook in ours:
            if getattr(module, name) is hook:
                setattr(module, name, _original(module, name))

    return undo


def _original(module: Any, name: str) -> Any:
    return getattr(module, f"__{name}__")


class _Crash:
    def __init__(self, redactor: Callable[[], Redactor]) -> None:
        self._redactor = redactor

    def _tell(self, error: BaseException | None, where: str = "") -> None:
        stream = sys.stderr
        if error is None or stream is None:
            return
        try:
            stream.write(f"{where}{self._redactor().traceback(error)}")
            stream.flush()
        except (OSError, ValueError):
            pass  # it is closed or full: nobody is left to be told

    def uncaught(self, _: type[BaseException], error: BaseException, __: TracebackType | None) -> None:
        self._tell(error)

    def in_thread(self, args: threading.ExceptHookArgs) -> None:
        if args.exc_type is not SystemExit:
            self._tell(args.exc_value, "Exception in a thread:\n")

    def unraisable(self, args: Any) -> None:
        self._tell(args.exc_value, "Exception ignored:\n")
