"""Chaos policies about time: an answer that is late, and one that never comes."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias, Unpack

from recloser.call import Call, CallNext, R
from recloser.errors import RouterError
from recloser.testing.chaos.policy import Chance, ChaosPolicy, Phase, check_finite, check_phase, check_seconds, reach

__all__ = ["Blackhole", "Delay", "Latency", "exponential", "lognormal", "normal", "uniform"]

Delay: TypeAlias = Callable[[random.Random], float]
"""A distribution of delays: takes a source of random numbers, returns seconds; less than zero counts as zero."""

P99: Final = 2.3263478740408408
"""How many standard deviations above its mean 99 % of a normal distribution lie."""


@dataclass(frozen=True)
class uniform:  # noqa: N801 - called like a function, and shows its numbers
    """Delays of any length between two, in seconds."""

    low: float
    high: float

    def __post_init__(self) -> None:
        if check_finite("low", self.low) > check_finite("high", self.high):
            raise ValueError(f"uniform needs low <= high, got {self.low!r} and {self.high!r}")

    def __call__(self, numbers: random.Random) -> float:
        """Return one delay."""
        return numbers.uniform(self.low, self.high)


@dataclass(frozen=True)
class normal:  # noqa: N801 - as above
    """Delays around a mean, in seconds, with a standard deviation."""

    mean: float
    deviation: float

    def __post_init__(self) -> None:
        check_finite("mean", self.mean)
        check_seconds("deviation", self.deviation)

    def __call__(self, numbers: random.Random) -> float:
        """Return one delay."""
        return numbers.gauss(self.mean, self.deviation)


@dataclass(frozen=True)
class exponential:  # noqa: N801 - as above
    """Delays as of a queue: mostly short, with the mean given in seconds."""

    mean: float

    def __post_init__(self) -> None:
        check_seconds("mean", self.mean)

    def __call__(self, numbers: random.Random) -> float:
        """Return one delay."""
        return numbers.expovariate(1 / self.mean) if self.mean > 0 else 0.0


@dataclass(frozen=True)
class lognormal:  # noqa: N801 - as above
    """Delays as services show them: half of them below the median, one of a hundred above the 99th percentile."""

    median: float
    p99: float

    def __post_init__(self) -> None:
        if not 0 < check_finite("median", self.median) <= check_finite("p99", self.p99):
            raise ValueError(f"lognormal needs 0 < median <= p99, got {self.median!r} and {self.p99!r}")

    def __call__(self, numbers: random.Random) -> float:
        """Return one delay."""
        return numbers.lognormvariate(math.log(self.median), math.log(self.p99 / self.median) / P99)


class Latency(ChaosPolicy):
    """A call that takes longer: its answer (or error) comes late, or it sets out late.

    Simulates a slow server or a slow network. By the rules: within the limits it is nobody's failure; beyond the
    attempt's it is `timeout`, `maybe` delivered, and counts against the server. With `phase="before"` what runs out of
    time has never been written: `unreachable`, not delivered.

    Raises:
        TypeError: the delay is neither a number nor a distribution.
        ValueError: the delay is negative or not finite, or the phase is `during`.
    """

    simulates = "a server or a network that is slow"
    outcome = "the answer comes late; beyond the attempt's limit `timeout`, evidence against the server"

    def __init__(self, delay: float | Delay, *, phase: Phase = "after", **chance: Unpack[Chance]) -> None:
        super().__init__(**chance)
        if not callable(delay):
            check_seconds("delay", delay)
        self.delay = delay
        """Seconds, or a distribution of them; may be set at any time."""
        self.phase: Phase = check_phase(phase, allowed=("before", "after"))

    async def strike(self, call: Call[R], call_next: CallNext[R]) -> R:
        """Wait before the call is sent on, or before what became of it is told."""
        drawn = self.delay(self._numbers) if callable(self.delay) else self.delay
        seconds = max(0.0, drawn)
        if self.phase == "before":
            await asyncio.sleep(seconds)
            return await call_next(call)
        try:
            result = await call_next(call)
        except RouterError:
            await asyncio.sleep(seconds)
            raise
        await asyncio.sleep(seconds)
        return result


class Blackhole(ChaosPolicy):
    """A call that is never answered.

    Simulates a server that hangs (`during`), one whose answers are lost (`after`: the tool runs), or a peer that no
    longer reads, so that nothing can be written (`before`). By the rules: the attempt ends at its limit, as `timeout`,
    `maybe` delivered, or as `unreachable`, not delivered, where nothing was written; both count against the server.
    A call that is cancelled goes at once.
    """

    simulates = "a server that hangs, one whose answers are lost, or one that no longer reads"
    outcome = "`timeout` at the attempt's limit (`unreachable` where nothing was written), evidence against the server"

    def __init__(self, *, phase: Phase = "during", **chance: Unpack[Chance]) -> None:
        super().__init__(**chance)
        self.phase: Phase = check_phase(phase)

    async def strike(self, call: Call[R], call_next: CallNext[R]) -> R:
        """Let the call get as far as the phase says, and wait for ever."""
        await reach(self.phase, call, call_next)
        await asyncio.get_running_loop().create_future()
        raise AssertionError("unreachable: the wait ends by cancellation alone")
