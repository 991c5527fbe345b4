"""An error by itself: for whoever logs what went wrong beside a call, which may be failing for reasons of its own."""

from __future__ import annotations

import asyncio

__all__ = ["apart", "of_the_host"]


def of_the_host(error: BaseException) -> bool:
    """Return whether what came out of a host's callback is that callback's failure, and not meant for who awaited it.

    A `CancelledError` is, where nobody has cancelled the running task: the callback has awaited what was cancelled.
    """
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is None or not task.cancelling()
    return not isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit)


def apart(error: BaseException, under_way: BaseException | None) -> BaseException | None:
    """Take out of an error's chain what was being handled before it was raised, and return what is left.

    Python puts it there, and with it the texts of servers that a failing call has to do with.

    Args:
        error: what was caught; None is returned if it is the other one itself.
        under_way: what `sys.exception()` said before anything was tried.
    """
    if under_way is None:
        return error
    seen: set[int] = {id(under_way)}
    todo = [error]
    while todo:
        one = todo.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        for name in ("__cause__", "__context__"):
            below = getattr(one, name)
            if below is under_way:
                setattr(one, name, None)
            elif below is not None:
                todo.append(below)
        if isinstance(one, BaseExceptionGroup):
            todo += one.exceptions
    return None if error is under_way else error
