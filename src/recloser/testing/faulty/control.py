"""How a running stdio server is told what to do wrong: a file."""

from __future__ import annotations

import json
import os

from recloser.testing.faulty.plan import Order, Plan
from recloser.testing.faulty.protocol import Core
from recloser.testing.faulty.work import Json

__all__ = ["ControlFile", "check_count", "set_counts"]


def set_counts(core: Core, asked: Json) -> None:
    """Take `extra` and `page` out of what was asked for, and set them.

    Raises:
        ValueError: a value is no whole number, or a page would be empty.
    """
    for name in ("extra", "page"):
        value = asked.pop(name, None)
        if value is None:
            continue
        check_count(name, value)
        setattr(core.work if name == "extra" else core, name, value)


def check_count(name: str, value: object) -> None:
    """Make sure that a value can be the number of further tools (`extra`) or of the items of a page (`page`).

    Raises:
        ValueError: it is no whole number, or a page would be empty.
    """
    least = 1 if name == "page" else 0
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}")


class ControlFile:
    """A JSON file `{"orders": [...], "extra": 0, "page": 5}` that is looked at before each message.

    It must be replaced as a whole (written beside and renamed), or a half of it may be read.
    """

    def __init__(self, path: str, plan: Plan, core: Core) -> None:
        self._path = path
        self._plan = plan
        self._core = core
        self._stamp: tuple[int, int] | None = None

    def poll(self) -> None:
        """Read the file if it is new."""
        try:
            found = os.stat(self._path)  # noqa: PTH116 - pathlib is not loaded by a server's start
        except FileNotFoundError:
            return
        stamp = (found.st_mtime_ns, found.st_ino)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        with open(self._path, encoding="utf-8") as file:  # noqa: PTH123 - as above
            asked = json.load(file)
        if not isinstance(asked, dict):
            raise TypeError(f"expected an object, got {asked!r}")
        self._plan.replace([Order.of(**order) for order in asked.pop("orders", [])])
        set_counts(self._core, asked)
