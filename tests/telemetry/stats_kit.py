"""The document that some events come to."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Any

from recloser.telemetry.stats import Stats
from recloser.testing.clock import run_virtual
from support.status import health

ONE = {"search": health("search")}


def told(
    tell: Callable[[Stats], Coroutine[Any, Any, None]], given: dict[str, Any] = ONE, **options: Any
) -> dict[str, Any]:
    """The document after some events, as it comes out of JSON."""

    async def main() -> dict[str, Any]:
        heard = Stats(**options)
        await tell(heard)
        found: dict[str, Any] = json.loads(json.dumps(heard.snapshot(given), allow_nan=False))
        return found

    return run_virtual(main())


def of_one(tell: Callable[[Stats], Coroutine[Any, Any, None]], **options: Any) -> dict[str, Any]:
    """The only server's part of it."""
    (server,) = told(tell, **options)["servers"]
    found: dict[str, Any] = server
    return found


async def nothing(heard: Stats) -> None:
    """No events at all."""
