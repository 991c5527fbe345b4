"""A status document as it came: read without trust in its shape or its texts, since another program wrote it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from recloser.redact import redact

__all__ = ["MOST", "Reading"]

MOST: Final = 1e15
"""The largest number that is taken for one: no count and no time of a router comes near it."""


class Reading:
    """One object of the document; what is missing, or is something else than it should be, reads as nothing."""

    def __init__(self, value: object) -> None:
        self._value: Mapping[str, Any] = value if isinstance(value, dict) else {}

    def __bool__(self) -> bool:
        return bool(self._value)

    def text(self, name: str) -> str:
        """Return a text that can be shown on a terminal, in one line."""
        found = self._value.get(name)
        return " ".join(redact(found).split()) if isinstance(found, str) else ""

    def number(self, name: str) -> float | None:
        """Return a number."""
        found = self._value.get(name)
        if isinstance(found, bool) or not isinstance(found, int | float) or not abs(found) < MOST:
            return None
        return float(found)

    def count(self, name: str) -> int:
        """Return a number that counts something."""
        found = self.number(name)
        return 0 if found is None else max(0, int(found))

    def part(self, name: str) -> Reading:
        """Return an object in it."""
        return Reading(self._value.get(name))

    def parts(self, name: str) -> list[Reading]:
        """Return the objects of a list in it."""
        found = self._value.get(name)
        return [Reading(one) for one in found] if isinstance(found, list) else []

    def counts(self, name: str) -> dict[str, int]:
        """Return an object in it whose members count something, the largest first."""
        part = self.part(name)
        found = {redact(key): part.count(key) for key in part._value}  # noqa: SLF001 - its own kind
        return dict(sorted(found.items(), key=lambda one: -one[1]))
