"""What the exit codes mean, and which of several failures decides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from recloser.errors import ErrorPayload

OK: Final = 0
TOOL_ERROR: Final = 1
"""The tool ran and answered that it failed; also a demo that did not show what it should."""
USAGE: Final = 64
CRITICAL: Final = 70
TRANSIENT: Final = 75
AUTH: Final = 77
CONFIGURATION: Final = 78
INTERRUPTED: Final = 130
TERMINATED: Final = 143

_BY_TYPE: Final[Mapping[str, int]] = MappingProxyType({"transient": TRANSIENT, "auth": AUTH, "critical": CRITICAL})
_BEST_FIRST: Final = (OK, TRANSIENT, AUTH, CRITICAL)


def exit_code(payload: ErrorPayload) -> int:
    """Return the exit code for a failure."""
    return _BY_TYPE[payload.type]


def rank(payload: ErrorPayload) -> int:
    """Return how far a failure is from going away by itself."""
    return _BEST_FIRST.index(exit_code(payload))


def worst(payloads: Iterable[ErrorPayload]) -> int:
    """Return the exit code of the worst of some failures; 0 if there is none."""
    return max((exit_code(payload) for payload in payloads), key=_BEST_FIRST.index, default=OK)
