"""Rules about circuits and load: what an open circuit lets through (5), how far retries and reconnects go (6).

And a goal: what opens a circuit at all (evidence).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from typing import Final

from recloser.errors import CODES
from recloser.testing.scenario.observed import Attempt, CircuitMark, Run
from recloser.testing.scenario.verdicts.numbers import counted, runs
from recloser.testing.scenario.verdicts.retries import hurried, senseless, unheard
from recloser.testing.scenario.verdicts.verdict import Verdict, held, said, unseen

__all__ = ["circuit", "evidence", "load"]

EDGE: Final = 0.005
"""Seconds around a change of state in which an attempt may belong to either side."""
LEGAL: Final = frozenset(
    {("closed", "open"), ("open", "half_open"), ("half_open", "open"), ("half_open", "closed"), ("open", "closed")}
)
OUTAGE: Final = 1000
"""Calls of an outage that the bound on its load is stated for."""
MULTIPLIED: Final = 1.1
GOOD: Final = "every retry made sense, came no sooner than asked and was paid for; reconnects kept their distance"
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
    """Look whether fewer failed calls than the breaker asks for have opened a circuit, each counted once."""
    for mark in run.circuits:
        if mark.state != "open" or mark.previous not in ("closed", "half_open"):
            continue
        least = _least(run, mark.server) if mark.previous == "closed" else 1
        begin = max((each.at for each in _before(run, mark)), default=-math.inf)
        failed = {
            # Which call an attempt belongs to is known of the load's calls alone.
            each.label or id(each)
            for each in run.attempts
            if each.server == mark.server and _counts(run, each) and begin - EDGE <= each.ended <= mark.at + EDGE
        }
        if len(failed) < least:
            yield f"{mark.server} opened at {mark.at:.2f} s after {len(failed)} of {least} failures that count"


def _least(run: Run, server: str) -> int:
    breaker = run.options_of(server).breaker
    return min(breaker.consecutive, math.ceil(breaker.rate * breaker.volume))


def _counts(run: Run, each: Attempt) -> bool:
    """Return whether an attempt may count against its server: by its code, or by a policy that says so."""
    known = CODES.get(each.code or "")
    if known is None:
        return False
    return known.evidence or any(
        struck.server == each.server and struck.strike.arguments.get("evidence") is True for struck in run.landed
    )


def _before(run: Run, mark: CircuitMark) -> Iterator[CircuitMark]:
    return (each for each in run.circuits if each.server == mark.server and each.at < mark.at)


def _illegal(run: Run) -> Iterator[str]:
    for mark in run.circuits:
        if (mark.previous, mark.state) not in LEGAL and "isolated" not in (mark.previous, mark.state):
            yield f"{mark.server} went from {mark.previous} to {mark.state} at {mark.at:.2f} s"


def evidence(run: Run) -> Verdict:
    """Goal: only what speaks against a server opens its circuit."""
    if run.target == "raw":
        return unseen("there is no circuit")
    cases = list(_alone(run))
    # As many in a row as would have opened a circuit if they counted: of fewer, nobody knows.
    rows = {server: row for server in run.servers if (row := _harmless(run, server))}
    met = [server for server, row in rows.items() if row >= run.options_of(server).breaker.consecutive]
    if not met and not cases:
        return unseen("no server had so many harmless failures in a row that they would have opened its circuit")
    opened = sum(mark.state == "open" for mark in run.circuits)
    longest = max(rows.values(), default=0)
    good = f"up to {longest} calls in a row failed in ways that speak against no server, and opened no circuit"
    rest = f"; circuits opened {counted(opened, 'time')}, by failures that do" if opened else ""
    return said(cases, good + rest, f"{counted(len(cases), 'circuit')} opened without evidence")


def _harmless(run: Run, server: str) -> int:
    """Return of how many calls in a row the attempts ended in a failure that speaks against nobody."""
    if not run.options_of(server).breaker.enabled:
        return 0
    longest = 0
    row: set[str] = set()
    mine = [each for each in run.attempts if each.server == server and each.label]
    for each in sorted(mine, key=lambda one: one.ended):
        if each.is_error or (each.code in CODES and not _counts(run, each)):
            row.add(each.label)
            longest = max(longest, len(row))
        else:
            row.clear()
    return longest


def load(run: Run) -> Verdict:
    """Rule 6: retries make sense, come when the server asked and are paid for; reconnects keep their distance."""
    cases = [*senseless(run), *hurried(run), *unheard(run)]
    if not cases and not run.struck_servers:
        return unseen("no server had a fault")
    called = sorted(run.struck_servers & {each.server for each in run.samples})
    if not cases and not called:
        return unseen("no call was made to a server that had a fault")
    if run.target == "raw":
        return held("a raw client tries nothing again and connects once")
    told = []
    for server in called:
        cases += [*_overspent(run, server), *_reconnects(run, server)]
        firsts, retries = _attempts(run, server)
        if firsts:
            told.append(f"{server} {(firsts + retries) / firsts:.2f} times")
    if not cases and not told and not any(mark.server in called for mark in run.connections):
        return unseen("nothing was sent to a server that had a fault, and nobody tried to connect to it")
    load_of = f"load by retries, over none: {', '.join(told) or 'none'}"
    return said(cases, f"{load_of}; {GOOD}", load_of)


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
