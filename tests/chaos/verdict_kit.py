"""What was seen in runs that never were: circuits, attempts, connections, and calls that were given up."""

from __future__ import annotations

from chaos.chaos_kit import member, sample, scenario
from recloser.testing.scenario.observed import Attempt, CircuitMark, ConnectionMark, Executed

WELL = {"server": "well", "label": "w"}
UNKNOWN = WELL | {"tool": "unknown"}
OWN = scenario(fleet="config")


def circuit(at: float, state: str, previous: str = "closed", server: str = "sick") -> CircuitMark:
    return CircuitMark(at=at, server=server, previous=previous, state=state, reason="failures")


def attempt(began: float, took: float = 0.01, code: str | None = None, **facts: object) -> Attempt:
    given = {"server": "sick", "label": "call-1", "number": 1} | facts
    return Attempt(began=began, ended=began + took, code=code, **given)


def many(count: int, began: float, took: float, **facts: object) -> list:
    return [sample(began + 0.01 * index, took, number=index, **facts) for index in range(count)]


FIVE = [attempt(1.0 + 0.1 * index, code="timeout", label=f"f{index}") for index in range(5)]
OPENED = [circuit(1.45, "open")]
GIVEN_UP = [
    sample(0.5, 0.1, outcome="cancelled", cancel_at=0.6, server="well", label=str(number)) for number in range(9)
]
RAN = [Executed(server="well", tool="sleep", label=str(number), at=0.55) for number in range(9)]
MODERN, LEGACY = "2026-07-28", "2025-11-25"


def ready(server: str, version: str | None, at: float = 0.0) -> ConnectionMark:
    return ConnectionMark(at=at, server=server, state="ready", generation=1, version=version)


def connecting(*moments: float, code: str | None = None) -> list[ConnectionMark]:
    return [
        ConnectionMark(at=at, server="sick", state="connecting", generation=index, code=code)
        for index, at in enumerate(moments)
    ]


def spread(moments: list[float]) -> list[ConnectionMark]:
    """Tries to connect, each with its failure."""
    return [
        ConnectionMark(at=at + later, server="sick", state=state, generation=index)
        for index, at in enumerate(moments)
        for later, state in ((0.0, "connecting"), (0.001, "failed"))
    ]


def fleet(**facts: object) -> tuple:
    return (member("sick", **facts), member("well"))
