"""A tool that nothing is known of runs at most once per call; one that may be repeated is, until it succeeds."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace

import pytest

from faults.bench import LONG, Bench, bench
from faults.table import CASES, FAULT, FINE, LOST_UNSENT, Case, Told, by_fault, each
from recloser import Retry, Timeouts
from recloser.errors import error_of

pytestmark = [pytest.mark.thorough, pytest.mark.processes]

AT_ONCE = 6
"""Calls in flight together: what ends one of them ends the others of its process too."""
PATIENT = Timeouts(total=20.0, attempt=1.2, start=2.0, connect=0.5, shutdown=0.5)
"""Room for all attempts of a call, each of which may end in silence."""
AWAITED = replace(PATIENT, attempt=3.0, start=5.0)
"""The same where an attempt has to wait for a process to start: how long that takes depends on the machine."""
HURRIED = replace(LONG, total=4.0, attempt=2.0)
"""Calls at once can make a silence of their own: over a pipe, answers in pieces run into each other."""
SPACED = Retry(backoff=0.3, throttled_backoff=0.01)
"""Room for a server to be started between two attempts."""

ALIKE = {f"status_{status}" for status in (400, 405, 406, 408, 409, 413, 415, 421, 425, 502, 504)}
"""Statuses that end as another one does; the table has them all."""
MET = [case for case in CASES if case.fault not in ALIKE]
STRUCK = [case for case in MET if case.moment == "calls" and case.fault != "flapping"]
UNSENT = [case for case in MET if case.moment in ("start", "parted")]
GOES_ON = {
    ("wedged_stdin", "stdio"): "the process reads nothing for the rest of its life",
    ("partial_line", "stdio"): "the half of a line stays in the pipe, and spoils the next one",
    ("slow_drip", "stdio"): "what drips on runs into the next answers",
}
"""Faults that one strike does not end, and why."""
OVER = [case for case in STRUCK if (case.fault, case.transport) not in GOES_ON]


def limits(case: Case) -> Timeouts:
    if not case.silent:
        return LONG
    return AWAITED if case in UNSENT else PATIENT


async def begin(case: Case, there: Bench, **more: int) -> None:
    if case.moment != "start":
        case.order(there.sick, **more)
    if case.moment == "parted":
        await there.part()
    there.sick.keep_up()


async def storm(case: Case) -> None:
    first = case.moment == "start"
    order = case.order if first else lambda _sick: None
    timeouts = case.timeouts if case.silent else HURRIED
    async with bench(case.transport, case.era, before=order, lazy=first, timeouts=timeouts) as there:
        await begin(case, there)
        labels = [f"call {number}" for number in range(AT_ONCE)]
        results = await asyncio.gather(*(there.call("write", label) for label in labels))
        await there.sick.recover()
        await there.served()
        ran = Counter(there.sick.executed("write"))
        for label, result in zip(labels, results, strict=True):
            error = error_of(result)
            assert ran[label] <= 1, (label, error)
            if error is None:
                assert ran[label] == 1, label
            elif error.delivered == "no":
                assert ran[label] == 0, (label, error)


@pytest.mark.parametrize("cases", by_fault(MET))
def test_a_tool_without_hints_runs_at_most_once_under_every_fault(cases):
    asyncio.run(each(cases, storm))


def is_retried(told: Told | None) -> bool:
    """Whether a call of a tool without hints may be sent again after this."""
    return told is not None and told.type == "transient" and told.delivered == "no"


def is_fine_in_the_end(told: Told | None) -> bool:
    """Whether a call of a tool that may be repeated succeeds when the fault has passed."""
    return told is FINE or told == FAULT or told.type == "transient"


async def once(case: Case, there: Bench) -> None:
    """Call a tool that nothing is known of; the fault strikes once."""
    payload = await there.told("write", "once")
    runs = there.sick.executed("write").count("once")
    if case.told is FINE or is_retried(case.told):
        assert (payload, runs) == (None, 1)
    else:
        assert (Told.of(payload), there.attempts("write")) == (case.told, 1), payload
        assert runs <= 1


async def again(case: Case, there: Bench, times: int) -> None:
    """Call a tool that may be repeated; the fault strikes `times` times, and three attempts are allowed."""
    before = there.attempts("upsert")
    payload = await there.told("upsert", f"{times}")
    attempts = there.attempts("upsert") - before
    passes = is_fine_in_the_end(case.told)
    assert Told.of(payload) == (None if passes else case.told), payload
    if case.told is FINE or not passes:
        assert attempts == 1
    else:
        # A lost session is opened anew within the attempt.
        assert (1 if case.told == LOST_UNSENT else 2) <= attempts <= times + 1
    assert there.sick.executed("upsert").count(f"{times}") in range(1 if passes else 0, attempts + 1)


async def strikes(case: Case) -> None:
    first = case.moment == "start"
    order = (lambda sick: case.order(sick, times=1)) if first else lambda _sick: None
    options = {"timeouts": limits(case), "retry": replace(SPACED, server_faults=True), "idempotent": ["upsert"]}
    async with bench(case.transport, case.era, before=order, lazy=first, rng=lambda: 0.999, **options) as there:
        await begin(case, there, times=1)
        await once(case, there)
        if case in OVER:
            for times in (1, 2):
                await there.sick.recover()
                await there.served()
                case.order(there.sick, times=times)
                await again(case, there, times)


@pytest.mark.parametrize("cases", by_fault([*STRUCK, *(case for case in UNSENT if is_retried(case.told))]))
def test_a_call_is_tried_again_where_that_is_safe_and_then_succeeds_and_nowhere_else(cases):
    asyncio.run(each(cases, strikes))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"idempotent": ["upsert"]}, {}),
        ({"idempotent": ["*"]}, {}),
        ({"trusted": True}, {}),
        ({}, {"idempotent": True}),
    ],
    ids=["configured", "all configured", "trusted hint", "caller"],
)
def test_there_are_three_who_may_say_that_a_tool_may_be_repeated(options, told):
    async def main():
        async with bench("http", "modern", **options) as there:
            there.sick.fault("reset", times=2)
            assert await there.told("upsert", "again", **told) is None
            assert there.sick.executed("upsert") == ["again"] * 3

    asyncio.run(main())


@pytest.mark.parametrize(
    ("options", "told"),
    [({}, {}), ({"trusted": True}, {"idempotent": False}), ({"idempotent": ["write"]}, {})],
    ids=["hint of a server that nobody trusts", "caller says no", "another tool"],
)
def test_a_hint_alone_is_not_enough(options, told):
    async def main():
        async with bench("http", "modern", **options) as there:
            there.sick.fault("reset", times=1)
            error = await there.told("upsert", "again", **told)
            assert error is not None and error.code == "connection_lost"
            assert there.sick.executed("upsert") == ["again"]

    asyncio.run(main())
