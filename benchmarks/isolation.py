"""What healthy servers feel while another one is sick: their slowest calls with the fault over those without it.

python benchmarks/isolation.py [--json] [--quick] [--faults hang_call,status_503] [--rounds 5] [--settle 1] [--control]

Three servers behind one router, each in a process of its own: one over stdio and one over HTTP stay well, and the third
has a fault, over each transport and in each era where the fault exists. A round calls both healthy servers 200 times
without the fault and 200 times with it, while callers keep asking the third one; it yields the p99 with the fault over
the p99 without. What counts is the median of the rounds, which take turns in what comes first.

Measuring begins when the fault has been there for a second: a server that dies is started a few times in a row before
its circuit opens, and each start takes a core for a tenth of a second, whoever starts it. `--settle 0` shows that too.

`--control` tells what of that is the router's: where the sick server's process was started while the others were
measured, they are measured once more while somebody else starts it as often, and the router has nothing to do with it.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import statistics
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from fixtures import ECHO, Action, http_echo, machine, percentile, report, timed
from sick import Faulty, faulty_http, faulty_stdio

from recloser import Router, Server, Timeouts
from recloser.testing.faulty import FAULTS as KNOWN

LIMIT = 1.25
CALLS = 200
ROUNDS = 5
CALLERS = 4
"""Callers that keep asking the sick server."""
PAUSE = 0.02
"""Seconds between two calls of one of them: it is the sick server that is looked at, not the load of its callers."""
SICK = Timeouts(total=0.4, attempt=0.2, start=9.0, connect=0.2, shutdown=0.5)
"""Short, so that much happens while the healthy servers are measured; but a start that hangs hangs as long as they are,
as it does with the default of 30 s: what is looked at is a server that hangs, not the start of its next process."""
FAULTS = (
    "hang_initialize",
    "hang_list",
    "hang_call",
    "exit_at_start",
    "exit_mid_call",
    "exit_idle",
    "session_lost",
    "restart",
    "reset",
    "garbage",
    "bad_byte",
    "status_500",
    "status_503",
    "status_429",
    "status_401",
    "wedged_stdin",
)
QUICK = ("hang_call", "exit_mid_call", "status_503")


@dataclass(frozen=True)
class Setting:
    """One fault in one place."""

    fault: str
    transport: str
    era: str

    def __str__(self) -> str:
        return f"{self.fault} {self.transport} {self.era}"


def settings(faults: Iterable[str]) -> list[Setting]:
    """Return every place in which the faults exist.

    Raises:
        ValueError: there is no such fault.
    """
    unknown = [fault for fault in faults if fault not in KNOWN]
    if unknown:
        raise ValueError(f"unknown fault {', '.join(unknown)}; known: {', '.join(KNOWN)}")
    return [
        Setting(fault, transport, era)
        for fault in faults
        for transport in sorted(KNOWN[fault].transports)
        for era in sorted(KNOWN[fault].eras)
    ]


@asynccontextmanager
async def asked(router: Router) -> AsyncIterator[None]:
    """Keep asking the sick server."""

    async def ask() -> None:
        while True:
            await router.call_tool("sick__echo", {"text": "tower"})
            await asyncio.sleep(PAUSE)

    asking = [asyncio.create_task(ask()) for _ in range(CALLERS)]
    try:
        yield
    finally:
        for task in asking:
            task.cancel()
        await asyncio.wait(asking)


async def slowest(actions: dict[str, Action], count: int) -> dict[str, float]:
    """Call each healthy server `count` times, both at once, and return the p99 of each in seconds."""
    took = await asyncio.gather(*(timed(action, count) for action in actions.values()))
    return {name: percentile(times, 0.99) for name, times in zip(actions, took, strict=True)}


def healthy(router: Router) -> dict[str, Action]:
    """Return a call to each of the healthy servers."""
    return {
        "stdio": lambda: router.call_tool("stdio__echo", {"text": "tower"}),
        "http": lambda: router.call_tool("http__echo", {"text": "tower"}),
    }


async def one_part(router: Router, third: Faulty, fault: str | None, *, count: int, settle: float) -> dict[str, float]:
    """Return the healthy servers' p99 while the third one, connected anew, has a fault or none.

    And, as `starts`, how often its process was started meanwhile, a second.
    """
    if "sick" in router.servers:
        await router.remove_server("sick")
    await third.behave(fault)
    # Not awaited: a server that hangs takes its time.
    adding = asyncio.create_task(router.add_server(third.options("sick", timeouts=SICK)))
    actions = healthy(router)
    try:
        await asyncio.sleep(0)
        async with asked(router):
            await asyncio.sleep(settle)
            await slowest(actions, 30)  # warm up
            gc.collect()
            begun, before = perf_counter(), third.starts
            p99 = await slowest(actions, count)
            return {**p99, "starts": (third.starts - before) / (perf_counter() - begun)}
    finally:
        await adding


async def control(router: Router, third: Faulty, rate: float, *, rounds: int) -> dict[str, float]:
    """Return the ratios for processes that somebody else starts so many times a second."""
    actions = healthy(router)
    pairs = []
    for _ in range(rounds):
        await slowest(actions, 30)
        gc.collect()
        well = await slowest(actions, CALLS)
        async with third.started_by_somebody_else(rate):
            await asyncio.sleep(0.5)
            await slowest(actions, 30)
            gc.collect()
            pairs.append((await slowest(actions, CALLS), well))
    return {name: round(statistics.median(ill[name] / well[name] for ill, well in pairs), 4) for name in actions}


async def measure(router: Router, setting: Setting, *, rounds: int, settle: float, controlled: bool) -> dict[str, Any]:
    """Return the ratio of one setting for each healthy server, and what it was made from."""
    parts: dict[bool, list[dict[str, float]]] = {False: [], True: []}
    async with (faulty_http if setting.transport == "http" else faulty_stdio)(setting.era) as third:
        for index in range(rounds):
            for ill in (False, True) if index % 2 == 0 else (True, False):
                fault = setting.fault if ill else None
                parts[ill].append(await one_part(router, third, fault, count=CALLS, settle=settle))
        await router.remove_server("sick")
        starts = statistics.median(part["starts"] for part in parts[True])
        elsewhere = await control(router, third, starts, rounds=rounds) if controlled and starts > 0 else None
    ratios = {
        name: statistics.median(ill[name] / well[name] for ill, well in zip(parts[True], parts[False], strict=True))
        for name in ("stdio", "http")
    }
    return {
        "fault": setting.fault,
        "transport": setting.transport,
        "era": setting.era,
        "ratios": {name: round(value, 4) for name, value in ratios.items()},
        "starts_per_s": round(starts, 2),
        "control": elsewhere,
        "p99_us": {
            kind: {name: [round(part[name] * 1e6, 1) for part in parts[ill]] for name in ratios}
            for kind, ill in (("without", False), ("with", True))
        },
    }


async def main(*, faults: Iterable[str], rounds: int, settle: float, controlled: bool, as_json: bool) -> int:
    """Measure every setting and print what came out; 1 if a limit was missed."""
    rows = []
    lines = [f"{'fault':34}{'stdio':>8}{'http':>8}   p99 with the fault over p99 without, limit {LIMIT:g}"]
    async with (
        http_echo() as url,
        Router(Server("stdio", command=sys.executable, args=[str(ECHO)]), Server("http", url)) as router,
    ):
        await asyncio.gather(router.ready("stdio"), router.ready("http"))
        for setting in settings(faults):
            row = await measure(router, setting, rounds=rounds, settle=settle, controlled=controlled)
            rows.append(row)
            lines.append(f"{setting!s:34}{row['ratios']['stdio']:8.3f}{row['ratios']['http']:8.3f}")
            if row["control"] is not None:
                lines[-1] += "   started elsewhere, {stdio:.3f} and {http:.3f}".format(**row["control"])
                lines[-1] += f" at {row['starts_per_s']:g} a second"
            if as_json:
                print(lines[-1], file=sys.stderr)
    worst = max(value for row in rows for value in row["ratios"].values())
    document = {
        "worst": worst,
        "limit": LIMIT,
        "passed": worst <= LIMIT,
        "rounds": rounds,
        "calls": CALLS,
        "settle": settle,
        "rows": rows,
        "machine": machine(),
    }
    report(document, [*lines, f"worst {worst:.3f}"], as_json=as_json)
    return 0 if worst <= LIMIT else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true", help="three faults, three rounds")
    parser.add_argument("--faults", type=lambda text: tuple(text.split(",")))
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--control", action="store_true", help="measure processes that somebody else starts, too")
    parser.add_argument("--settle", type=float, default=1.0, help="seconds between the fault and the measuring")
    options = parser.parse_args()
    with suppress(KeyboardInterrupt):
        sys.exit(
            asyncio.run(
                main(
                    faults=options.faults or (QUICK if options.quick else FAULTS),
                    rounds=options.rounds or (3 if options.quick else ROUNDS),
                    settle=options.settle,
                    controlled=options.control,
                    as_json=options.json,
                )
            )
        )
