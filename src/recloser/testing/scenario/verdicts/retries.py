"""What may follow an attempt that failed (6): nothing where it cannot help, and nothing before the server's wish."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from recloser.errors import CODES
from recloser.testing.scenario.observed import Attempt, Run

__all__ = ["hurried", "senseless", "unheard"]

EARLY: Final = 0.005
"""Seconds by which an attempt may seem to begin too soon: its beginning is counted back from its end."""


def senseless(run: Run) -> Iterator[str]:
    """Yield the attempts that followed one after which trying again cannot help."""
    for first, then in _followed(run):
        if not _may_pass(run, first):
            after = first.code or "an answer"
            yield f"{then.server} was sent a call again at {then.began:.2f} s, after {after}"


def _may_pass(run: Run, first: Attempt) -> bool:
    known = CODES.get(first.code or "")
    if known is None:
        return False
    return known.type == "transient" or (
        first.code == "server_fault" and run.options_of(first.server).retry.server_faults
    )


def hurried(run: Run) -> Iterator[str]:
    """Yield the attempts that came before the moment that their server had asked for."""
    for first, then in _followed(run):
        if first.retry_after is None:
            continue
        # What a server asks beyond this is not waited for in full.
        least = min(first.retry_after, run.options_of(first.server).retry.retry_after_slack)
        waited = then.began - first.ended
        if waited < least - EARLY:
            wish = f"{max(waited, 0.0):.2f} s after {first.code}, and had asked for {first.retry_after:.2f} s"
            yield f"{then.server} was sent a call again at {then.began:.2f} s, {wish}"


def unheard(run: Run) -> Iterator[str]:
    """Yield the attempts that were turned away by a fault that says when to come again, and that do not know it."""
    for each in run.attempts:
        if each.code == "overloaded" and each.retry_after is None and not run.own and _was_told(run, each):
            yield f"{each.server} said at {each.ended:.2f} s when to come again, and was not heard"


def _was_told(run: Run, each: Attempt) -> bool:
    # Where several faults are in force at once, nobody knows which of them it was.
    wishes = [
        str(struck.strike.arguments.get("retry_after", ""))
        for struck in run.landed
        if struck.server == each.server
        and struck.began <= each.ended
        and (struck.ended is None or each.began <= struck.ended)
    ]
    return bool(wishes) and all(wish.isdecimal() for wish in wishes)


def _followed(run: Run) -> Iterator[tuple[Attempt, Attempt]]:
    """Yield each attempt with the next one of its call, at the same server."""
    calls: dict[tuple[str, str], list[Attempt]] = {}
    for each in run.attempts:
        # Which call an attempt belongs to is known of the load's calls alone.
        if each.label:
            calls.setdefault((each.server, each.label), []).append(each)
    for made in calls.values():
        yield from (
            (first, then)
            for first, then in pairwise(sorted(made, key=lambda one: one.number))
            if first.number < then.number
        )
