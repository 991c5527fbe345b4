"""Rules about circuits and load: what an open circuit lets through (5), and how far retries and reconnects go (6)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from typing import Final

from recloser.testing.scenario.observed import Attempt, CircuitMark, Run
from recloser.testing.scenario.verdicts.numbers import counted, runs
from recloser.testing.scenario.verdicts.verdict import Verdict, held, said, unseen

__all__ = ["circuit", "load"]

EDGE: Final = 0.005
"""Seconds around a change of state in which an attempt may belong to either side."""
LEGAL: Final = frozenset(
    {("closed", "open"), ("open", "half_open"), ("half_open", "open"), ("half_open", "closed"), ("open", "closed")}
)
OUTAGE: Final = 1000
"""Calls of an outage that the bound on its load is stated for."""
MULTIPLIED: Final = 1.1
EAGER: Final = 2
"""Tries to connect that may begin with no word of the one before: one that only asks for the era says nothing."""
FIRST_PAUSE: Final = 0.05
"""The least that the first wait before a reconnect lasts; each further one is at least twice as long."""


def circuit(run: Run) -> Verdict:
    """Rule 5: open sends nothing, half-open sends one probe at a time, and no call opens it alone."""
    if run.target == "raw":
        return _without_circuit(run)
    opened = [mark for mark in run.circuits if mark.state == "open"]
    if not opened:
        return unseen("no circuit opened")
    cases = [*_sent_while_open(run), *_probes(run), *_alone(run), *_illegal(run)]
    rejected = sum(each.code == "circuit_open" for each in run.samples)
    good = (
        f"circuits opened {counted(len(opened), 'time')}; {counted(rejected, 'call')} rejected at once, none sent "
        "through an open one"
    )
    return said(cases, good, f"{counted(len(cases), 'case')} around {counted(len(opened), 'opened circuit')}")


def _without_circuit(run: Run) -> Verdict:
    """Judge a client that has no circuits by what an open one would have spared its server and its callers."""
    cases = []
    for server in sorted(run.struck_servers):
        row, enough = 0, run.options_of(server).breaker.consecutive
        waited = []
        for each in (one for one in run.samples if one.server == server and one.cancel_at is None):
            if row >= enough and not each.good and each.took >= EDGE:
                waited.append(each)
            row = 0 if each.good else row + 1
        if waited:
            cases.append(
                f"{server} got {counted(len(waited), 'further call')} that failed, after {enough} in a row had"
            )
    if not cases:
        return unseen("there is no circuit, and no server got so many calls that failed that one would have opened")
    return said(cases, "", "there is no circuit: callers went on waiting for a server that did not answer")


def _sent_while_open(run: Run) -> Iterator[str]:
    first = {(each.server, each.label): each.began for each in run.samples}
    for server in run.servers:
        for began, ended, state in run.states(server):
            if state not in ("open", "isolated"):
                continue
            for attempt in run.attempts:
                if attempt.server == server and began + EDGE < attempt.began < ended - EDGE:
                    yield f"{server} was sent a request at {attempt.began:.2f} s, open since {began:.2f} s"
            for done in run.executed or ():
                called = first.get((server, done.label))
                if done.server == server and called is not None and began + EDGE < called and done.at < ended - EDGE:
                    yield f"{server} ran a call of {called:.2f} s, open since {began:.2f} s"


def _probes(run: Run) -> Iterator[str]:
    for server in run.servers:
        most = run.options_of(server).breaker.probes
        for began, ended, state in run.states(server):
            if state != "half_open":
                continue
            inside = [each for each in run.attempts if each.server == server and began <= each.began < ended - EDGE]
            together = max((_at_once(inside, each.began) for each in inside), default=0)
            if together > most:
                yield f"{server} had {together} probes in flight, half-open since {began:.2f} s"


def _at_once(attempts: list[Attempt], moment: float) -> int:
    return sum(each.began <= moment < each.ended for each in attempts)


def _alone(run: Run) -> Iterator[str]:
    """Look whether fewer calls than the breaker asks for have opened a circuit, each counted once."""
    for mark in run.circuits:
        if mark.state != "open" or mark.previous != "closed":
            continue
        breaker = run.options_of(mark.server).breaker
        least = min(breaker.consecutive, math.ceil(breaker.rate * breaker.volume))
        begin = max((each.at for each in _before(run, mark) if each.state == "closed"), default=0.0)
        failed = {
            each.label
            for each in run.attempts
            if each.server == mark.server and each.code is not None and begin - EDGE <= each.ended <= mark.at + EDGE
        }
        # Attempts of calls that nobody of the load made, such as a first connection, are not known here.
        if 0 < len(failed) < least:
            yield f"{mark.server} opened at {mark.at:.2f} s after {counted(len(failed), 'failed call')} of {least}"


def _before(run: Run, mark: CircuitMark) -> Iterator[CircuitMark]:
    return (each for each in run.circuits if each.server == mark.server and each.at < mark.at)


def _illegal(run: Run) -> Iterator[str]:
    for mark in run.circuits:
        if (mark.previous, mark.state) not in LEGAL and "isolated" not in (mark.previous, mark.state):
            yield f"{mark.server} went from {mark.previous} to {mark.state} at {mark.at:.2f} s"


def load(run: Run) -> Verdict:
    """Rule 6: what retries cost is paid from the budget, and reconnects come further and further apart."""
    if not run.struck_servers:
        return unseen("no server had a fault")
    called = sorted(run.struck_servers & {each.server for each in run.samples})
    if not called:
        return unseen("no call was made to a server that had a fault")
    if run.target == "raw":
        return held("a raw client tries nothing again and connects once")
    cases = []
    told = []
    for server in called:
        cases += [*_overspent(run, server), *_reconnects(run, server)]
        firsts, retries = _attempts(run, server)
        if firsts:
            told.append(f"{server} {(firsts + retries) / firsts:.2f} times")
    if not told and not any(mark.server in called for mark in run.connections):
        return unseen("nothing was sent to a server that had a fault, and nobody tried to connect to it")
    load_of = f"load by retries, over none: {', '.join(told) or 'none'}"
    return said(cases, f"{load_of}; every retry was paid for, and reconnects kept their distance", load_of)


def _attempts(run: Run, server: str) -> tuple[int, int]:
    mine = [each for each in run.attempts if each.server == server]
    retries = sum(each.number > 1 for each in mine)
    return len(mine) - retries, retries


def _overspent(run: Run, server: str) -> Iterator[str]:
    retry = run.options_of(server).retry
    cheap = {"overloaded", "throttled"}
    mine = [each for each in run.attempts if each.server == server]
    last: dict[str, Attempt] = {}
    spent = earned = 0
    for each in sorted(mine, key=lambda one: one.ended):
        before = last.get(each.label)
        cost = 0 if before is None else retry.throttled_cost if before.code in cheap else retry.cost
        spent += cost
        earned += (retry.refill if before is None else cost) if each.code is None else 0
        last[each.label] = each
    if spent > retry.budget + earned:
        yield f"{server}: retries cost {spent} tokens, of {retry.budget} and {earned} earned"
    tried = Counter(each.label for each in mine)
    if tried and max(tried.values()) > retry.attempts:
        yield f"{server}: a call made {max(tried.values())} attempts, of {retry.attempts}"
    firsts, retries = _attempts(run, server)
    struck = [each for each in run.samples if each.server == server and run.during(each.began, server)]
    if len(struck) >= OUTAGE and not any(each.good for each in struck) and retries > (MULTIPLIED - 1) * firsts:
        yield f"{server}: {counted(len(struck), 'call')} of an outage made {firsts + retries} attempts"


def _reconnects(run: Run, server: str) -> Iterator[str]:
    breaker = run.options_of(server).breaker
    tries = {mark.generation: mark.at for mark in run.connections if mark.server == server}
    for began, ended in run.windows(server):
        inside = sum(began <= at <= ended for at in tries.values())
        # Calls that need a connection hurry it, until the circuit opens; each break ends in one probe.
        most = (
            breaker.consecutive
            + math.log2((ended - began) / FIRST_PAUSE + 1) * 2
            + 2 * (ended - began) / breaker.open_for
        )
        if inside > most + 1:
            yield f"{server} was connected {inside} times in {ended - began:.1f} s"
    waiting = [mark.state == "connecting" and mark.code is None for mark in run.connections if mark.server == server]
    if runs(waiting) > EAGER:
        yield f"{server} was connected again before the try before had ended"
