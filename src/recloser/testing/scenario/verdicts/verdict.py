"""What is said about one rule after a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

__all__ = ["State", "Verdict", "broke", "held", "said", "unseen"]

State: TypeAlias = Literal["held", "broke", "unseen"]

SHOWN: Final = 5
"""How many cases a verdict names; of more, it tells the number."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A rule, whether it held, and what that is concluded from."""

    rule: str = ""
    state: State
    evidence: str
    """What was seen, in one sentence with its numbers."""
    cases: tuple[str, ...] = ()
    """The first cases that broke it."""

    @property
    def held(self) -> bool:
        """Whether the rule was seen to hold."""
        return self.state == "held"


def held(evidence: str) -> Verdict:
    """Return that a rule held."""
    return Verdict(state="held", evidence=evidence)


def unseen(evidence: str) -> Verdict:
    """Return that nothing happened by which the rule could be judged."""
    return Verdict(state="unseen", evidence=evidence)


def broke(evidence: str, cases: Sequence[str]) -> Verdict:
    """Return that a rule broke, with the first of the cases."""
    more = len(cases) - SHOWN
    return Verdict(
        state="broke", evidence=evidence, cases=(*cases[:SHOWN], *([f"and {more} more"] if more > 0 else ()))
    )


def said(cases: Sequence[str], good: str, bad: str) -> Verdict:
    """Return that a rule held if there are no cases against it, or else that it broke."""
    return broke(bad, cases) if cases else held(good)
