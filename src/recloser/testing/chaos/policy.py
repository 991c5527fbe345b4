"""What all chaos policies have in common: whom they strike, how often, and whether they are on."""

from __future__ import annotations

import math
import random
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from typing import Any, ClassVar, Final, Literal, TypedDict

from recloser.call import Call, CallNext, R
from recloser.checks import flag

__all__ = ["Chance", "ChaosPolicy", "Phase"]

Phase = Literal["before", "during", "after"]
"""When a fault strikes: `before` anything was written; `during`, when the request went out but the server never acted
on it; `after` the server did what it was asked to, so that only its answer is lost."""

_PHASES: Final = ("before", "during", "after")


class Chance(TypedDict, total=False):
    """Whom a chaos policy strikes and how often: the keyword arguments that all of them take."""

    rate: float
    """Share of the calls that are struck, 0 to 1; 1 unless given."""
    seed: int | None
    """What its random numbers begin with: the same seed and the same calls give the same strikes. None: any."""
    tools: str | Iterable[str]
    """Shell patterns of tools' own names; with any, nothing but calls of these tools is struck."""
    when: Callable[[Call[Any]], bool] | None
    """Asked for each call whether it may be struck."""
    active: bool
    """Whether it is on from the start; True unless given."""


class ChaosPolicy(ABC):
    """A fault that strikes a share of the calls.

    Its random numbers are its own. Every call that may be struck takes one of them, in the order in which the calls
    come, whatever the rate is: of two runs with one seed, that with the lower rate strikes a part of what the other
    does. Counters and switches are changed by its own methods alone, on the loop.

    Raises:
        ValueError: the rate is not between 0 and 1.
        TypeError: the rate is no number, the seed no whole one, the tools are no patterns, `when` cannot be called, or
            `active` is neither true nor false.
    """

    simulates: ClassVar[str]
    """What happens in life, in one sentence."""
    outcome: ClassVar[str]
    """What a call becomes that is struck: the row of the error table, and what the rules say about it."""

    def __init__(
        self,
        *,
        rate: float = 1.0,
        seed: int | None = None,
        tools: str | Iterable[str] = (),
        when: Callable[[Call[Any]], bool] | None = None,
        active: bool = True,
    ) -> None:
        self.rate = rate
        if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int)):
            raise TypeError(f"seed must be a whole number, got {seed!r}")
        if when is not None and not callable(when):
            raise TypeError(f"when must be a function of a call, got {when!r}")
        flag("active", active)
        self.seed = secrets.randbits(32) if seed is None else seed
        """What the random numbers begin with; chosen where none was given, so that a run can be repeated."""
        self.tools = _patterns(tools)
        self.seen = 0
        """How many calls came by that could be struck, while it was on."""
        self.struck = 0
        """How many of them were."""
        self._when = when
        self._active = active
        self._chances = random.Random(self.seed)  # noqa: S311 - faults must be repeatable, not unguessable
        # What a fault draws for itself does not shift which calls are struck.
        self._numbers = random.Random(self.seed + 1)  # noqa: S311 - as above

    def __repr__(self) -> str:
        switch = "on" if self._active else "off"
        return f"<{type(self).__name__} rate={self.rate:g} seed={self.seed} {switch}, {self.struck} of {self.seen}>"

    @property
    def rate(self) -> float:
        """Share of the calls that are struck; may be set at any time."""
        return self._rate

    @rate.setter
    def rate(self, rate: float) -> None:
        if isinstance(rate, bool) or not isinstance(rate, int | float):
            raise TypeError(f"rate must be a number, got {rate!r}")
        if not 0 <= rate <= 1:
            raise ValueError(f"rate must be between 0 and 1, got {rate!r}")
        self._rate = float(rate)

    @property
    def active(self) -> bool:
        """Whether it is on."""
        return self._active

    def on(self) -> None:
        """Strike from the next call on."""
        self._active = True

    def off(self) -> None:
        """Let every further call pass; one that is struck already stays struck."""
        self._active = False

    async def __call__(self, call: Call[R], call_next: CallNext[R]) -> R:
        """Send the call on, or strike it.

        Raises:
            RouterError: what the fault makes of the call.
        """
        if not (self._active and self._may_strike(call)):
            return await call_next(call)
        self.seen += 1
        if self._chances.random() >= self._rate:
            return await call_next(call)
        self.struck += 1
        return await self.strike(call, call_next)

    @abstractmethod
    async def strike(self, call: Call[R], call_next: CallNext[R]) -> R:
        """Do to the call what this policy does."""

    def _may_strike(self, call: Call[Any]) -> bool:
        if self.tools and not (
            call.method == "tools/call" and any(fnmatchcase(call.name, pattern) for pattern in self.tools)
        ):
            return False
        return self._when is None or self._when(call)


def _patterns(tools: object) -> tuple[str, ...]:
    patterns = (tools,) if isinstance(tools, str) else tuple(tools) if isinstance(tools, Iterable) else (tools,)
    if not all(isinstance(each, str) for each in patterns):
        raise TypeError(f"tools must be patterns of tools' names, got {tools!r}")
    return tuple(map(str, patterns))


def check_seconds(name: str, value: object) -> None:
    """Make sure that a value is a number of seconds.

    Raises:
        TypeError: it is no number.
        ValueError: it is negative, or no finite number.
    """
    if check_finite(name, value) < 0:
        raise ValueError(f"{name} must not be negative, got {value!r}")


def check_finite(name: str, value: object) -> float:
    """Return a value that is a number of seconds, be it less than none.

    Raises:
        TypeError: it is no number.
        ValueError: it is no finite number.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number of seconds, got {value!r}")
    if not math.isfinite(value):
        raise ValueError(f"{name} must be finite, got {value!r}")
    return value


def check_phase(phase: Phase, *, allowed: tuple[str, ...] = _PHASES) -> Phase:
    """Return the phase.

    Raises:
        ValueError: it is none of those allowed.
    """
    if phase not in allowed:
        raise ValueError(f"phase must be one of {', '.join(allowed)}, got {phase!r}")
    return phase


async def reach(phase: Phase, call: Call[R], call_next: CallNext[R]) -> None:
    """Let the call get as far as `phase` says, and its trail tell so; what the server answers is dropped.

    Raises:
        RouterError: the server itself has failed, before the fault could strike.
    """
    if phase == "after":
        await call_next(call)
    call.trail.sent = phase != "before"
