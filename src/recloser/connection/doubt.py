"""Whether a server still knows our session, where only words tell: its tool may have said so of another session."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from recloser.errors import RouterError

__all__ = ["Doubt"]


class Doubt:
    """Looks whether a session is lost whenever a call was told so; `look` asks the server something harmless."""

    def __init__(self, look: Callable[[], Awaitable[None]], lost: Callable[[], None], *, patience: float) -> None:
        self._look = look
        self._lost = lost
        self._patience = patience
        self._arisen = asyncio.Event()

    def arise(self) -> None:
        """Note that a call was told that the session is lost."""
        self._arisen.set()

    async def settle(self) -> None:
        """Look into each doubt, until the session is lost indeed."""
        while True:
            await self._arisen.wait()
            self._arisen.clear()
            try:
                async with asyncio.timeout(self._patience):
                    await self._look()
            except TimeoutError:
                continue
            except RouterError as error:
                if error.payload.code == "connection_lost":
                    self._lost()
                    return
