"""Rules about what becomes of a call: at most once (3), bad input (10), and the goals of availability and recovery."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from recloser.errors import CODES
from recloser.testing.scenario.observed import Attempt, Run, Sample
from recloser.testing.scenario.records import Strike
from recloser.testing.scenario.verdicts.clocks import meant_to_fail
from recloser.testing.scenario.verdicts.numbers import counted, in_time, share
from recloser.testing.scenario.verdicts.verdict import Verdict, said, unseen

__all__ = ["answered", "at_most_once", "bad_input", "recoveries", "recovery"]

EXPECTED: Final = {"unknown": "unknown_tool", "bad_arguments": "invalid_request"}
"""What calls that are made to fail must be told."""
STEADY: Final = 0.9
"""The share of the calls after a server's first answer that it must answer too; one that it does not is allowed."""


def at_most_once(run: Run) -> Verdict:
    """Rule 3: a tool that is not known to be safe runs at most once per call, counted where it runs."""
    unsafe = [each for each in run.samples if not each.safe and not meant_to_fail(run, each)]
    met = [each for each in unsafe if run.during(each.began, each.server) or run.during(each.ended, each.server)]
    if not met:
        return unseen("no call that must not be repeated met a fault")
    if run.executed is None:
        return _by_attempts(run, unsafe)
    ran = Counter((each.server, each.label) for each in run.executed)
    cases = []
    for each in unsafe:
        times = ran[each.server, each.label]
        if times > 1:
            cases.append(f"{each.server}.{each.tool} at {each.began:.2f} s ran {times} times")
        elif times and each.delivered == "no":
            cases.append(f"{each.server}.{each.tool} at {each.began:.2f} s ran, and its error says that it did not")
    good = f"{counted(len(unsafe), 'call')} that must not be repeated, {len(met)} of them in a fault: none ran twice"
    return said(cases, f"{good} (counted at the servers)", f"{counted(len(cases), 'call')} of {len(unsafe)}")


def _by_attempts(run: Run, unsafe: list[Sample]) -> Verdict:
    """Judge by what was sent: nobody counts at a user's own servers."""
    sent: dict[str, list[Attempt]] = {}
    for attempt in run.attempts:
        sent.setdefault(attempt.label, []).append(attempt)
    cases = []
    for each in unsafe:
        earlier = sent.get(each.label, [])[:-1]
        unproved = [made for made in earlier if not _never_ran(made)]
        if unproved:
            after = unproved[0].code or "an answer"
            cases.append(f"{each.server}.{each.tool} at {each.began:.2f} s was sent again after {after}")
    good = f"{counted(len(unsafe), 'call')} that must not be repeated: none was sent again that may have run"
    return said(cases, f"{good} (judged by what was sent)", f"{counted(len(cases), 'call')} of {len(unsafe)}")


def _never_ran(made: Attempt) -> bool:
    # What is known of the one attempt says more than its code: a lost connection may have been lost before the request.
    known = CODES.get(made.code or "")
    return known is not None and (made.delivered or known.delivered) == "no"


def bad_input(run: Run) -> Verdict:
    """Rule 10: every failure has a class and names its place; what is wrong in a call is told."""
    failed = [each for each in run.samples if each.outcome == "failed"]
    if not failed:
        return unseen("no call failed")
    cases = [
        f"{each.server}.{each.tool} at {each.began:.2f} s: {why}" for each in failed if (why := _unclear(run, each))
    ]
    kept = ""
    if run.audited is not None:
        lines, lost = run.audited
        if lost or lines < len(run.samples):
            cases.append(f"the audit log has {counted(lines, 'line')} for {counted(len(run.samples), 'call')}")
        kept = f"; {counted(lines, 'audit line')} for {counted(len(run.samples), 'call')}"
    codes = ", ".join(f"{code} {count}" for code, count in Counter(each.code for each in failed).most_common(4))
    good = f"{counted(len(failed), 'failure')}, each with its class and place: {codes}{kept}"
    return said(cases, good, f"{counted(len(cases), 'failure')} of {len(failed)} told too little")


def _unclear(run: Run, each: Sample) -> str | None:
    # A server that has a fault may say anything, also of a call that is wrong.
    wrong = EXPECTED.get(each.tool) if meant_to_fail(run, each) else None
    met = run.during(each.began, each.server) or run.during(each.ended, each.server)
    expected = None if met else wrong
    if each.kind is None:
        return f"{each.code} says neither class nor server"
    if each.code == "internal":
        return "the error is internal"
    if expected is not None and each.code not in (expected, "circuit_open") and each.kind == "critical":
        return f"expected {expected}, got {each.code}"
    if wrong != "unknown_tool" and each.server != each.named and each.server not in each.message:
        return f"{each.code} does not name its server"
    return None


def answered(run: Run) -> Verdict:
    """Goal: calls that may be repeated, to servers that were struck, are answered."""
    judged = [
        each
        for each in run.samples
        if each.safe and each.server in run.struck_servers and not meant_to_fail(run, each) and each.cancel_at is None
    ]
    if not judged:
        return unseen("no call that may be repeated was made to a server that was struck")
    good = sum(each.good for each in judged)
    wanted = run.scenario.limits.answered
    told = f"{share(good, len(judged))} of {counted(len(judged), 'call')} that may be repeated were answered"
    told += f" (wanted: {100 * wanted:g} %)"
    first = Counter(each.code for each in judged if not each.good).most_common(3)
    cases = [f"{code}: {counted(count, 'call')}" for code, count in first]
    return said(cases if good < wanted * len(judged) else [], told, told)


def recoveries(run: Run) -> Iterator[tuple[Strike, str, float, float | None]]:
    """Yield for each fault that ended: what, where, when, and the moment of the first answer after it (None: never).

    One that ended in the middle of another one at the same server is left out, and so is one that nobody called after.
    """
    for struck in run.landed:
        if struck.ended is None or struck.server is None or struck.ended >= run.ended:
            continue
        if any(
            other is not struck and began <= struck.ended < ended
            for other, (began, ended) in zip(run.landed, run.windows(), strict=True)
            if other.server == struck.server
        ):
            continue
        later = [each for each in run.samples if each.server == struck.server and each.began >= struck.ended]
        if later:
            first = min((each.ended for each in later if each.good), default=None)
            yield struck.strike, struck.server, struck.ended, first


def recovery(run: Run) -> Verdict:
    """Goal: a server whose fault has ended answers again soon, and goes on doing so."""
    within = run.scenario.limits.recover_within
    found = list(recoveries(run))
    if not found:
        return unseen("no fault ended while its server was still called")
    cases, longest = [], 0.0
    for strike, server, ended, first in found:
        took = run.ended - ended if first is None else first - ended
        longest = max(longest, took)
        if first is None:
            cases.append(f"{server} never answered again after {strike.name} ended at {ended:.1f} s")
        elif took > within + run.lateness(ended, first, machine=True):
            cases.append(f"{server} answered {in_time(took)} after {strike.name} ended at {ended:.1f} s")
        elif unsteady := _unsteady(run, server, ended, first):
            cases.append(f"{server} answered again after {strike.name} ended at {ended:.1f} s, and then {unsteady}")
    good = f"{counted(len(found), 'fault')} ended; the first answer came at most {in_time(longest)} later"
    steady = f"(allowed: {in_time(within)}), and the servers went on answering"
    return said(cases, f"{good} {steady}", f"{len(cases)} of {counted(len(found), 'fault')}")


def _unsteady(run: Run, server: str, ended: float, first: float) -> str | None:
    """Return what a server answered from its first answer on until its next fault; None: it went on answering."""
    following = min((each.began for each in run.landed if each.server == server and each.began >= ended), default=None)
    later = [
        each
        for each in run.samples
        if each.server == server
        and each.began >= first
        and (following is None or each.ended < following)
        and each.cancel_at is None
        and not meant_to_fail(run, each)
    ]
    good = sum(each.good for each in later)
    if len(later) - good <= max(1.0, (1 - STEADY) * len(later)):
        return None
    return f"{share(good, len(later))} of {counted(len(later), 'call')}"
