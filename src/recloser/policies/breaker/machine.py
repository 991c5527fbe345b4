"""pybreaker as the state machine of a circuit, with the storage that it asks. No call runs inside it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, NoReturn, cast

from recloser.events import CircuitState
from recloser.options import Breaker
from recloser.policies.breaker.window import Window

if TYPE_CHECKING:
    import pybreaker

__all__ = ["Machine"]


class Machine:
    """pybreaker with the storage that it asks.

    It has the methods of a `CircuitBreakerStorage` without being one: deriving from it would import pybreaker, and
    redis where that is installed, together with recloser.
    """

    name = "recloser"
    opened_at: datetime | None = None

    def __init__(self, breaker: Breaker, window: Window, name: str, became: Callable[[CircuitState], None]) -> None:
        import pybreaker

        self._window = window
        self._became = became
        self._named: dict[str, CircuitState] = {
            pybreaker.STATE_CLOSED: "closed",
            pybreaker.STATE_OPEN: "open",
            pybreaker.STATE_HALF_OPEN: "half_open",
        }
        # Both are changed by pybreaker alone.
        self._state = pybreaker.STATE_CLOSED
        self.success_counter = 0
        self._breaker = pybreaker.CircuitBreaker(
            fail_max=1,
            success_threshold=breaker.successes,
            state_storage=cast("pybreaker.CircuitBreakerStorage", self),
            name=name,
            throw_new_error_on_trip=False,
        )

    def replay(self, *, succeeded: bool) -> None:
        """Let pybreaker hear of an outcome, and change its state if that is due."""
        if succeeded:
            self._breaker.call(_succeed)
            return
        with suppress(_Replayed):
            self._breaker.call(_fail)

    def half_open(self) -> None:
        """Go to half-open."""
        self._breaker.half_open()

    def close(self) -> None:
        """Go to closed."""
        self._breaker.close()

    @property
    def state(self) -> str:
        """The state, in pybreaker's words."""
        return self._state

    @state.setter
    def state(self, state: str) -> None:
        # The last step of every change: what is told from here on is true.
        self._state = state
        self._became(self._named[state])

    @property
    def counter(self) -> int:
        """1 where the circuit must open, which is pybreaker's `fail_max` here."""
        return int(self._window.must_open())

    def increment_counter(self) -> None:
        """Count nothing: the window holds the failure already."""

    def reset_counter(self) -> None:
        """Reset nothing: the window forgets by time, and with every change of state."""

    def increment_success_counter(self) -> None:
        """Count a probe that succeeded."""
        self.success_counter += 1

    def reset_success_counter(self) -> None:
        """Forget the probes that succeeded."""
        self.success_counter = 0


class _Replayed(Exception):  # noqa: N818 - a failure that was raised elsewhere, told to pybreaker
    """Stands for a call's error, whose traceback must not grow here."""


def _succeed() -> None:
    return


def _fail() -> NoReturn:
    raise _Replayed
