"""Running a command's coroutine so that Ctrl-C and SIGTERM both leave nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Coroutine
from typing import Any

from recloser.cli.exits import TERMINATED


def run(main: Coroutine[Any, Any, int]) -> int:
    """Run a coroutine in a loop of its own and return its exit code, or 143 when SIGTERM ended it.

    Raises:
        KeyboardInterrupt: Ctrl-C, after everything was closed.
    """
    return asyncio.run(_until_terminated(main))


async def _until_terminated(main: Coroutine[Any, Any, int]) -> int:
    loop = asyncio.get_running_loop()
    task = loop.create_task(main)
    terminated = False

    def terminate() -> None:
        nonlocal terminated
        terminated = True
        task.cancel()

    # Only Unix has it, and only its main thread may; elsewhere SIGTERM ends the process as it always did.
    with contextlib.suppress(NotImplementedError, RuntimeError):
        loop.add_signal_handler(signal.SIGTERM, terminate)
    try:
        return await task
    except asyncio.CancelledError:
        if not terminated:
            raise
        return TERMINATED
