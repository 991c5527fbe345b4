"""The table of verdicts, continued: what attempts prove, what may follow them, and what opens a circuit."""

from __future__ import annotations

from chaos.chaos_kit import failed, member, sample, scenario, seen, struck
from chaos.verdict_kit import FIVE, OPENED, OWN, WELL, attempt, circuit, fleet
from recloser.options import Breaker, Retry
from recloser.testing.scenario.observed import Attempt, Run


def sent_again(first: dict[str, object]) -> Run:
    """A call that must not be repeated was, where nobody counts at the server."""
    return seen(sample(1.5, safe=False), attempts=[attempt(1.5, **first), attempt(1.6, number=2)])


def again(code: str | None, wait: float = 0.1, **facts: object) -> list[Attempt]:
    """A call was tried again so many seconds after its first attempt had ended."""
    return [attempt(1.5, code=code, **facts), attempt(1.51 + wait, number=2)]


def five(code: str | None, **facts: object) -> list[Attempt]:
    """Five calls in a row ended so."""
    return [attempt(1.0 + 0.05 * index, code=code, label=f"f{index}", **facts) for index in range(5)]


def told(wish: object, server: str = "sick", **facts: object):
    return struck(server, arguments={"retry_after": wish}, **facts)


LIMITED = five("overloaded")
EARLIER = [attempt(0.1 * index, code="overloaded", label=f"e{index}") for index in range(5)]
WRONG = {"tool": "bad_arguments", "code": "invalid_request", "kind": "critical"}
BREAK_OVER = circuit(1.8, "half_open", "open")
FAULTY = scenario(servers=fleet(retry=Retry(server_faults=True)))

MORE: list[tuple[str, str, Run]] = [
    # 2: where no server has a fault, a call that is wrong fails alone
    ("2", "unseen", seen(failed(0.5, **WRONG), struck=[])),
    ("2", "unseen", seen(sample(0.5), failed(1.0, **WRONG), struck=[])),
    ("2", "unseen", seen(sample(0.5, outcome="cancelled", cancel_at=0.51), failed(0.4, **WRONG), struck=[])),
    ("2", "held", seen(failed(0.5, **WRONG), sample(0.6), struck=[])),
    ("2", "held", seen(failed(0.2), failed(0.5, **WRONG), sample(0.6), struck=[])),
    ("2", "broke", seen(failed(0.5, **WRONG), failed(0.6), struck=[])),
    ("2", "broke", seen(failed(0.5, **WRONG), failed(0.6, **WELL), struck=[])),
    ("2", "unseen", seen(failed(0.5, **WRONG), failed(0.6), struck=[], scenario=OWN)),
    # 3: what an attempt itself says goes before its code
    ("3", "held", sent_again({"code": "connection_lost", "delivered": "no"})),
    ("3", "broke", sent_again({"code": "connection_lost", "delivered": "maybe"})),
    ("3", "broke", sent_again({"code": "overloaded", "delivered": "maybe"})),
    ("3", "held", sent_again({"code": "overloaded", "delivered": None})),
    ("3", "broke", sent_again({"code": "cancelled"})),
    ("3", "broke", sent_again({"code": None})),
    # 5: what opens a circuit are calls that speak against its server
    ("5", "broke", seen(sample(), circuits=OPENED)),
    ("5", "broke", seen(sample(), circuits=OPENED, attempts=LIMITED)),
    ("5", "broke", seen(sample(), circuits=OPENED, attempts=five(None, is_error=True))),
    ("5", "broke", seen(sample(), circuits=OPENED, attempts=five("cancelled"))),
    ("5", "broke", seen(sample(), circuits=OPENED, attempts=five("timeout", server="well"))),
    ("5", "held", seen(sample(), circuits=OPENED, attempts=[*LIMITED, *FIVE])),
    # ... or that nobody of the load made, each by itself
    ("5", "held", seen(sample(), circuits=OPENED, attempts=[attempt(1.2, code="timeout", label="") for _ in range(5)])),
    # ... half-open, one of them
    (
        "5",
        "held",
        seen(
            sample(),
            circuits=[*OPENED, BREAK_OVER, circuit(2.0, "open", "half_open")],
            attempts=[*FIVE, attempt(1.9, code="timeout", label="p")],
        ),
    ),
    (
        "5",
        "broke",
        seen(
            sample(),
            circuits=[*OPENED, BREAK_OVER, circuit(2.0, "open", "half_open")],
            attempts=[*FIVE, attempt(1.9, code="overloaded", label="p")],
        ),
    ),
    # ... and a policy that says so itself
    ("5", "held", seen(sample(), circuits=OPENED, attempts=LIMITED, struck=[struck(arguments={"evidence": True})])),
    (
        "5",
        "broke",
        seen(sample(), circuits=OPENED, attempts=LIMITED, struck=[struck("well", arguments={"evidence": True})]),
    ),
    # 6: only what may help is tried again
    ("6", "held", seen(sample(), attempts=again("timeout"))),
    ("6", "broke", seen(sample(), attempts=again("unauthenticated"))),
    ("6", "broke", seen(sample(), attempts=again("invalid_request"))),
    ("6", "broke", seen(sample(), attempts=again("server_fault"))),
    ("6", "held", seen(sample(), attempts=again("server_fault"), scenario=FAULTY)),
    ("6", "broke", seen(sample(), attempts=again("invalid_request"), scenario=FAULTY)),
    ("6", "broke", seen(sample(), attempts=again(None))),
    ("6", "broke", seen(sample(), attempts=again("cancelled"))),
    ("6", "broke", seen(sample(), attempts=again("forbidden"), struck=[])),
    ("6", "broke", seen(sample(**WELL), attempts=again("forbidden"))),
    ("6", "held", seen(sample(), attempts=[attempt(1.5, code="forbidden"), attempt(1.6, number=2, label="other")])),
    (
        "6",
        "held",
        seen(sample(), attempts=[attempt(1.5, code="forbidden", label=""), attempt(1.6, number=2, label="")]),
    ),
    # ... not before its server asked, as far as that is waited for
    ("6", "held", seen(sample(), attempts=again("overloaded", 1.0, retry_after=1.0))),
    ("6", "broke", seen(sample(), attempts=again("overloaded", 0.9, retry_after=1.0))),
    ("6", "broke", seen(sample(), attempts=again("server_error", 0.0, retry_after=1.0))),
    ("6", "held", seen(sample(), attempts=again("overloaded", 5.0, retry_after=60.0))),
    ("6", "broke", seen(sample(), attempts=again("overloaded", 4.9, retry_after=60.0))),
    # ... and heard
    ("6", "held", seen(sample(), attempts=[attempt(1.5, code="overloaded", retry_after=1.0)], struck=[told("1")])),
    ("6", "broke", seen(sample(), attempts=LIMITED, struck=[told("1")])),
    ("6", "broke", seen(sample(), attempts=LIMITED, struck=[told(1, ended=None)])),
    ("6", "held", seen(sample(), attempts=LIMITED, struck=[told("soon")])),
    ("6", "held", seen(sample(), attempts=LIMITED, struck=[told("1"), struck()])),
    ("6", "held", seen(sample(), attempts=LIMITED, struck=[told("1", began=1.6), told("1", "well"), struck()])),
    ("6", "broke", seen(sample(), attempts=LIMITED, struck=[told("1"), told("1", "well"), struck(began=1.6)])),
    ("6", "held", seen(sample(), attempts=LIMITED, struck=[told("1")], scenario=OWN)),
    # the goal of evidence
    ("evidence", "unseen", seen(sample())),
    ("evidence", "unseen", seen(sample(), target="raw", attempts=LIMITED)),
    ("evidence", "unseen", seen(sample(), attempts=FIVE)),
    ("evidence", "unseen", seen(sample(), attempts=FIVE, circuits=OPENED)),
    ("evidence", "unseen", seen(sample(), attempts=LIMITED[:4])),
    ("evidence", "unseen", seen(sample(), attempts=[attempt(1.0, code="overloaded", number=n) for n in range(5)])),
    ("evidence", "unseen", seen(sample(), attempts=[*LIMITED, attempt(1.13, label="good")])),
    ("evidence", "unseen", seen(sample(), attempts=five("cancelled"))),
    (
        "evidence",
        "unseen",
        seen(sample(), attempts=LIMITED, scenario=scenario(servers=(member("sick", breaker=Breaker(enabled=False)),))),
    ),
    ("evidence", "held", seen(sample(), attempts=LIMITED)),
    ("evidence", "held", seen(sample(), attempts=five(None, is_error=True))),
    ("evidence", "held", seen(sample(), attempts=[*EARLIER, *FIVE], circuits=OPENED)),
    ("evidence", "broke", seen(sample(), attempts=LIMITED, circuits=OPENED)),
    ("evidence", "broke", seen(sample(), attempts=FIVE[:4], circuits=OPENED)),
]
