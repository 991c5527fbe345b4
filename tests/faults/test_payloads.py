"""Each fault ends a call in time with exactly the payload of the table, alone, and is over when it is over."""

from __future__ import annotations

import asyncio

import pytest

from faults.bench import Bench, bench
from faults.table import CASES, LEFT_OUT, Case, Told, by_fault, each
from recloser.testing.faulty import FAULTS
from support.lag import measured_lag

pytestmark = pytest.mark.processes

SLACK = 1.0
"""Seconds past its deadline, less the loop's own lag, at which a call is late; `benchmarks` hold it to 50 ms."""


def test_every_fault_has_a_row_or_a_reason():
    assert {case.fault for case in CASES} | set(LEFT_OUT) == set(FAULTS)
    assert len({str(case) for case in CASES}) == len(CASES)


async def make_sick(case: Case, there: Bench) -> None:
    if case.moment == "start":
        return
    if case.moment == "calls":
        case.order(there.sick)
    elif case.moment == "parted":
        case.order(there.sick)
        await there.part()
    else:
        generation = there.generation()
        case.order(there.sick)
        assert await there.told(text="before") is None
        over = there.sick.is_over if case.transport == "http" else lambda: there.generation() > generation
        await there.until(over)


async def meet(case: Case) -> None:
    first = case.moment == "start"
    begin = case.order if first else lambda _sick: None
    options = {"before": begin, "lazy": first, "timeouts": case.timeouts}
    async with bench(case.transport, case.era, **options) as there, there.siblings(), measured_lag() as lag:
        await make_sick(case, there)
        loop = asyncio.get_running_loop()
        begun, lost = loop.time(), lag.lost
        payload = await there.told()
        assert loop.time() - begun - (lag.lost - lost) < case.timeouts.total + SLACK
        told = Told.of(payload)
        assert told == case.told, payload
        if payload is not None:
            assert (payload.server, payload.tool) == ("sick", "write")
            assert payload.elapsed - (lag.lost - lost) < case.timeouts.total + SLACK
        await there.sick.recover()
        await there.served()


@pytest.mark.parametrize("cases", by_fault(CASES))
def test_a_call_to_a_sick_server_ends_in_time_with_the_payload_of_the_table(cases):
    asyncio.run(each(cases, meet))


@pytest.mark.parametrize("transport", ["http", "stdio"])
@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_a_server_that_comes_back_with_its_sessions_lost_is_called_as_if_nothing_had_been(transport, era):
    async def main():
        async with bench(transport, era) as there, there.siblings():
            assert await there.told(text="before") is None
            await there.part()
            assert await there.told(text="after") is None
            assert there.sick.executed("write") == ["before", "after"]

    asyncio.run(main())
