"""Rules about time: the deadline (1), the healthy ones (2), cancellation (4), questions to our side (13)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from recloser.testing.scenario.observed import Run, Sample, Struck
from recloser.testing.scenario.verdicts.numbers import counted, in_time, percentile
from recloser.testing.scenario.verdicts.verdict import Verdict, said, unseen

__all__ = ["GRACE", "asks", "cancellation", "deadline", "innocent", "isolation", "meant_to_fail", "questions"]

GRACE: Final = 0.05
"""Seconds by which a call may return after its deadline, beside the loop's own lag."""
ENOUGH: Final = 20
"""Calls below which a 99th percentile says nothing."""
QUESTION: Final = "ask"
BAD: Final = frozenset({"unknown", "bad_arguments", "fail"})
"""Calls of the built-in fleet that are made to fail."""


def meant_to_fail(run: Run, each: Sample) -> bool:
    """Return whether a call is one that can only fail."""
    return not run.own and each.tool in BAD


def asks(run: Run, each: Sample) -> bool:
    """Return whether a call's server asks our side something, so that the call's clock stands still."""
    return not run.own and each.tool == QUESTION


def deadline(run: Run) -> Verdict:
    """Rule 1: every call returns by its deadline plus 50 ms and the loop's lag."""
    judged = [each for each in run.samples if not asks(run, each)]
    if not judged:
        return unseen("no call was made")
    cases, worst, lag = [], 0.0, 0.0
    for each in judged:
        due = each.began + each.timeout
        over = each.ended - due
        late = run.lateness(due, each.ended) if over > 0 else 0.0
        if over > worst:
            worst, lag = over, late
        if each.outcome == "hung":
            cases.append(f"{_which(each)} had not returned {in_time(max(over, 0.0))} after its deadline")
        elif over > GRACE + late:
            cases.append(f"{_which(each)} returned {in_time(over)} after its deadline; the lag was {in_time(late)}")
    overrun = f"the longest overrun of a deadline was {in_time(worst)}, {in_time(min(lag, worst))} of it the loop's lag"
    good = overrun if worst > 0 else "none returned after its deadline"
    late_calls = f"{counted(len(cases), 'call')} of {len(judged)} returned too late"
    return said(cases, f"{counted(len(judged), 'call')}: {good}", f"{late_calls}; {overrun}")


def innocent(run: Run, each: Sample) -> bool:
    """Return whether a call has to do with no fault: none was in force, or had been, at its server and for its tool."""
    return not any(
        struck.server == each.server and struck.began <= each.ended and _meant(struck, each) for struck in run.landed
    )


def _meant(struck: Struck, each: Sample) -> bool:
    return struck.strike.tool is None or struck.strike.tool == each.tool


def isolation(run: Run) -> Verdict:
    """Rule 2: calls that have to do with no fault are answered, and as fast as without one."""
    judged = [
        each for each in run.samples if innocent(run, each) and not meant_to_fail(run, each) and each.cancel_at is None
    ]
    elsewhere = [each for each in judged if any(began <= each.began <= ended for began, ended in run.windows())]
    if not elsewhere:
        return unseen("no call was made to a healthy server while another had a fault")
    failed = [f"{_which(each)} ended as {each.code or each.outcome}" for each in elsewhere if not each.good]
    if failed:
        bad = f"{counted(len(failed), 'call')} of {len(elsewhere)} that had to do with no fault failed"
        return said(failed, "", bad)
    quiet = _undisturbed(run, judged)
    if min(len(quiet), len(elsewhere)) < ENOUGH:
        told = f"{counted(len(elsewhere), 'call')} to healthy servers were answered in a fault of another, and"
        return unseen(f"{told} {len(quiet)} without any: too few to compare their times (each: {ENOUGH})")
    first = min(began for began, _ in run.windows())
    before, after = (percentile((_own(run, each) for each in some), 0.99) for some in (quiet, elsewhere))
    limits = run.scenario.limits
    # A machine that held up this process has held up the servers too, which nobody has measured.
    held_up = max((lag.late - lag.busy for lag in run.lags if lag.at >= first), default=0.0)
    most = max(before * limits.healthy_factor, before + limits.healthy_slack) + held_up
    told = f"their p99 was {in_time(after)}, and {in_time(before)} without any fault (allowed: {in_time(most)})"
    cases = [] if after <= most else [told]
    return said(cases, f"{counted(len(elsewhere), 'call')} to healthy servers were all answered; {told}", told)


def _undisturbed(run: Run, judged: Sequence[Sample]) -> Sequence[Sample]:
    """Return the calls before any fault; where they are too few, as with one at the start, all that met none.

    A fault is met until its server has answered again: whoever waits for that one waits so long.
    """
    before = [each for each in judged if all(each.ended < began for began, _ in run.windows())]
    if len(before) >= ENOUGH:
        return before
    met = [(struck.began, _back(run, struck)) for struck in run.landed]
    return [each for each in judged if all(each.ended < began or each.began > back for began, back in met)]


def _back(run: Run, struck: Struck) -> float:
    """Return when a fault was over, and its server had answered; the run's end if that never was."""
    if struck.ended is None or struck.server is None:
        return run.ended if struck.ended is None else struck.ended
    later = (each for each in run.samples if each.server == struck.server and each.began >= struck.ended)
    return min((each.ended for each in later if each.good), default=run.ended)


def _own(run: Run, each: Sample) -> float:
    """Return how long a call took, less what the machine gave to others."""
    return max(0.0, each.took - run.lateness(each.began, each.ended, machine=True))


def cancellation(run: Run) -> Verdict:
    """Rule 4: a call that its caller gives up ends at once, at the server too, and counts against nobody."""
    given_up = [each for each in run.samples if each.cancel_at is not None and not each.good]
    if not given_up:
        return unseen("no caller gave up a call")
    cases = [case for each in given_up if (case := _badly_given_up(run, each))]
    cases += [
        f"the circuit of {mark.server} opened at {mark.at:.1f} s, though it had no fault"
        for mark in run.circuits
        if mark.state == "open" and mark.server not in run.struck_servers
    ]
    began = {(done.server, done.label): done.at for done in run.executed or ()}
    for server, told in run.cancels.items():
        # Those that ran there when they were given up; one that was still on its way need not be seen.
        ran = [each for each in given_up if began.get((server, each.label), run.ended) < (each.cancel_at or 0.0)]
        if server not in run.struck_servers and told < 0.9 * len(ran) - 1:
            cases.append(f"{server} was told of {told} of {len(ran)} calls that ran there and were given up")
    heard = sum(run.cancels.values())
    good = f"{counted(len(given_up), 'call')} given up: all ended at once; servers that count were told of {heard}"
    return said(cases, good, f"{counted(len(cases), 'case')} among {counted(len(given_up), 'call')} given up")


def _badly_given_up(run: Run, each: Sample) -> str | None:
    assert each.cancel_at is not None
    over = each.ended - each.cancel_at
    if each.outcome == "hung":
        return f"{_which(each)} never ended"
    if over > GRACE + run.lateness(each.cancel_at, each.ended):
        return f"{_which(each)} ended {in_time(over)} after it was given up"
    if each.outcome == "failed" and each.ended >= each.cancel_at:
        return f"{_which(each)} was given up and ended as {each.code}, not as cancelled"
    return None


def questions(run: Run) -> Verdict:
    """Rule 13: calls whose server asks our side something outlive their deadline by as long as the answer takes."""
    wait = run.scenario.callback or 0.0
    asked = [each for each in run.samples if asks(run, each) and each.outcome != "hung"]
    judged = [each for each in asked if innocent(run, each) and each.cancel_at is None]
    if not judged:
        return unseen("no server asked our side anything")
    cases = []
    for each in judged:
        if not each.good:
            cases.append(f"{_which(each)} ended as {each.code or each.outcome} after {in_time(each.took)}")
        elif each.took < wait:
            cases.append(f"{_which(each)} was answered before our side had answered")
        elif each.attempts != 1:
            cases.append(f"{_which(each)} took {each.attempts} attempts")
    cases += [
        f"the circuit of {mark.server} opened at {mark.at:.1f} s"
        for mark in run.circuits
        if mark.state == "open" and mark.server not in run.struck_servers
    ]
    beyond = sum(each.took > each.timeout for each in judged)
    if not cases and not beyond:
        return unseen("no question took longer than its call was given, so that no clock needed to stand still")
    good = f"{counted(len(judged), 'call')} waited {in_time(wait)} for our side and were answered, {beyond} of them"
    return said(cases, f"{good} after their limit", f"{counted(len(cases), 'case')} in {counted(len(judged), 'call')}")


def _which(each: Sample) -> str:
    return f"{each.server}.{each.tool} at {each.began:.2f} s"
