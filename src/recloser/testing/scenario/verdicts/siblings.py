"""The rule about the healthy ones (2), where no server has a fault and calls are wrong: each of these fails alone."""

from __future__ import annotations

from recloser.testing.scenario.observed import Run
from recloser.testing.scenario.verdicts import clocks
from recloser.testing.scenario.verdicts.clocks import meant_to_fail
from recloser.testing.scenario.verdicts.numbers import counted
from recloser.testing.scenario.verdicts.verdict import Verdict, said

__all__ = ["isolation"]


def isolation(run: Run) -> Verdict:
    """Rule 2: what has to do with no fault, nor with a call that can only fail, is answered."""
    wrong = [each for each in run.samples if meant_to_fail(run, each)]
    if run.landed or not wrong:
        return clocks.isolation(run)
    first = min(each.began for each in wrong)
    beside = [
        each for each in run.samples if each.ended >= first and each.cancel_at is None and not meant_to_fail(run, each)
    ]
    if not beside:
        return clocks.isolation(run)
    cases = [
        f"{each.server}.{each.tool} at {each.began:.2f} s ended as {each.code or each.outcome}"
        for each in beside
        if not each.good
    ]
    about = f"beside {counted(len(wrong), 'wrong call')}"
    good = f"{counted(len(beside), 'call')} {about} were all answered"
    return said(cases, good, f"{counted(len(cases), 'call')} of {len(beside)} {about} failed")
