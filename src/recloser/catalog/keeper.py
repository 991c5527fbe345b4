"""Keeps the snapshot file up to date without holding up the loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from pathlib import Path

from recloser.catalog.listing import Listing
from recloser.catalog.snapshot import save
from recloser.options import Server

__all__ = ["SnapshotKeeper"]

_log = logging.getLogger("recloser")


class SnapshotKeeper:
    """Writes what `current` returns after each change: in a thread, one write at a time, many changes in one.

    Changed by its own methods, on the loop.
    """

    def __init__(self, path: Path, current: Callable[[], Iterable[tuple[Server, Listing]]]) -> None:
        self._path = path
        self._current = current
        self._stale = False
        self._writing: asyncio.Task[None] | None = None

    def changed(self) -> None:
        """Note that the file is out of date."""
        self._stale = True
        if self._writing is None or self._writing.done():
            self._writing = asyncio.get_running_loop().create_task(self._write())

    async def close(self) -> None:
        """Return when the last change is written."""
        if self._writing is not None:
            await self._writing

    async def _write(self) -> None:
        while self._stale:
            self._stale = False
            try:
                await asyncio.to_thread(save, self._path, tuple(self._current()))
            except Exception:  # noqa: BLE001 - boundary: what a server listed must not keep the router from closing
                _log.exception("the snapshot %s could not be written", self._path)
