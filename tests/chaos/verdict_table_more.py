"""The table of verdicts, continued: what attempts prove, what may follow them, and what opens a circuit."""

from __future__ import annotations

from chaos.chaos_kit import sample, seen
from chaos.verdict_kit import attempt
from recloser.testing.scenario.observed import Run


def sent_again(first: dict[str, object]) -> Run:
    """A call that must not be repeated was, where nobody counts at the server."""
    return seen(sample(1.5, safe=False), attempts=[attempt(1.5, **first), attempt(1.6, number=2)])


MORE: list[tuple[str, str, Run]] = [
    # 3: what an attempt itself says goes before its code
    ("3", "held", sent_again({"code": "connection_lost", "delivered": "no"})),
    ("3", "broke", sent_again({"code": "connection_lost", "delivered": "maybe"})),
    ("3", "broke", sent_again({"code": "overloaded", "delivered": "maybe"})),
    ("3", "held", sent_again({"code": "overloaded", "delivered": None})),
    ("3", "broke", sent_again({"code": "cancelled"})),
    ("3", "broke", sent_again({"code": None})),
]
