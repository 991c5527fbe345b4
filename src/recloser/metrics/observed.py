"""What is read off all routers of a process whenever somebody asks, and the sums that make one number of many."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias, get_args

from opentelemetry.metrics import CallbackOptions, Observation

from recloser.events import CircuitState
from recloser.metrics.names import CIRCUIT, ENDPOINT, SERVER

__all__ = ["OBSERVED", "Reading"]


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One endpoint at this moment."""

    server: str
    endpoint: str
    circuit: CircuitState
    failure_rate: float
    """Share of failures in the circuit's window, from 0 to 1."""
    active: int
    """Calls in flight."""
    retry_tokens: int
    """What is left of the retry budget, which the endpoints of a server share."""


Attributes: TypeAlias = dict[str, str]
Point: TypeAlias = tuple[tuple[str, ...], float]

_STATES: Final = get_args(CircuitState)


def _status(reading: Reading) -> Iterator[Point]:
    for state in _STATES:
        yield (reading.server, reading.endpoint, state), int(state == reading.circuit)


def _failure_rate(reading: Reading) -> Iterator[Point]:
    yield (reading.server, reading.endpoint), reading.failure_rate


def _active(reading: Reading) -> Iterator[Point]:
    yield (reading.server,), reading.active


def _tokens(reading: Reading) -> Iterator[Point]:
    yield (reading.server,), reading.retry_tokens


def _sum(one: float, other: float) -> float:
    return one + other


@dataclass(frozen=True)
class Observed:
    """How one observable metric comes from readings.

    Two routers of a process may have a server of the same name: `join` makes one number of theirs, or one would hide
    the other.
    """

    attributes: tuple[str, ...]
    points: Callable[[Reading], Iterable[Point]]
    join: Callable[[float, float], float]

    def callback(self, readings: Callable[[], Iterable[Reading]]) -> Callable[[CallbackOptions], Iterable[Observation]]:
        """Return what an observable instrument asks."""

        def observe(_: CallbackOptions) -> Iterable[Observation]:
            found: dict[tuple[str, ...], float] = {}
            for reading in readings():
                for key, value in self.points(reading):
                    found[key] = self.join(found[key], value) if key in found else value
            return [Observation(value, dict(zip(self.attributes, key, strict=True))) for key, value in found.items()]

        return observe


OBSERVED: Final = {
    "recloser.call.active": Observed((SERVER,), _active, _sum),
    "recloser.retry.tokens": Observed((SERVER,), _tokens, min),
    "recloser.circuit_breaker.status": Observed((SERVER, ENDPOINT, CIRCUIT), _status, _sum),
    "recloser.circuit_breaker.failure_rate": Observed((SERVER, ENDPOINT), _failure_rate, max),
}
"""By the metric's name."""
