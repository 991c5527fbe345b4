"""The engine: opens, loads, strikes, looks on, closes, and hands over what was seen; it knows no report, no command."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from recloser.options import Server
from recloser.testing.leaks import Snapshot, adopting, snapshot
from recloser.testing.scenario.caller import Caller
from recloser.testing.scenario.fleets import Fleet
from recloser.testing.scenario.fronts import aims_at
from recloser.testing.scenario.leftovers import STEP, leftovers, processes_beyond
from recloser.testing.scenario.load import drive, specs_for
from recloser.testing.scenario.observed import Executed, Run, Struck
from recloser.testing.scenario.planted import Planted
from recloser.testing.scenario.recorder import Recorder
from recloser.testing.scenario.records import OURSELVES, Scenario, Strike
from recloser.testing.scenario.surroundings import Surroundings
from recloser.testing.scenario.targets import Target
from recloser.testing.scenario.tools import READ_ONLY
from recloser.testing.scenario.watchers import known_tools, look_at_health, watch_health, watch_lag, watch_listing

__all__ = ["Engine", "MakeTarget", "Progress"]

MakeTarget = Callable[[Sequence[Server], Recorder, Mapping[str, Any]], Target]
"""Makes who is driven: of the servers, the notes, and further arguments that only a router takes."""

LATE: Final = 2.0
"""Seconds beyond the longest call's limit after which a call counts as hung."""
GRACE: Final = 3.0
"""Seconds that what is closed gets to be gone."""
SHOWN: Final = 0.1
"""Seconds between two reports of progress."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a run is, for whoever watches it."""

    phase: str
    now: float
    recorder: Recorder
    active: Sequence[Struck] = ()


class Engine:
    """One run of one scenario; everything that changes is in its recorder and its own fields, on one loop."""

    def __init__(
        self,
        scenario: Scenario,
        fleet: Fleet,
        make_target: MakeTarget,
        *,
        seed: int,
        planted: Planted | None = None,
        watch: Callable[[Progress], None] = lambda _progress: None,
        stop: asyncio.Event | None = None,
    ) -> None:
        """Prepare a run.

        Args:
            scenario: what is done, and judged later.
            fleet: the servers.
            make_target: makes who is driven.
            seed: what all random numbers begin with.
            planted: the secrets that are planted and looked for.
            watch: hears how far it is.
            stop: ends the load early when it is set; what was seen so far is handed over.
        """
        self._scenario = scenario
        self._fleet = fleet
        self._make_target = make_target
        self._seed = seed
        self._watch = watch
        self._stop = stop or asyncio.Event()
        self._surroundings = Surroundings(scenario, None if planted is None else planted.look)
        self._recorder = Recorder(asyncio.get_running_loop().time)
        self._planted = planted
        self._target_name = ""
        self._known: Mapping[str, frozenset[str]] = {}
        self._over = 0.0
        """When nobody called any more."""

    async def run(self) -> Run:
        """Run it; whatever happens, everything that was started is closed.

        Raises:
            ValueError: something of the scenario is not possible with these servers.
            ChildProcessError: a server of the fleet did not start.
        """
        # A user's server may have daemons of its own, whose parents are gone on purpose; ours have none.
        with adopting() if self._scenario.fleet == "built-in" else nullcontext():
            if self._planted is None:
                return await self._between(snapshot())
            with self._planted as planted:
                self._recorder.events = []
                before = snapshot()
                seen = await self._between(before)
                return replace(seen, leaks=self._leaks(planted), telemetry=self._surroundings.looked_at)

    def _random(self, what: str) -> random.Random:
        return random.Random(f"{self._seed}:{what}")  # noqa: S311 - a run must be repeatable, not unguessable

    async def _between(self, before: Snapshot) -> Run:
        self._tell("starting servers")
        target: Target | None = None
        facts: dict[str, Any] = {}
        try:
            await self._fleet.start()
            servers = list(self._fleet.servers)
            options: dict[str, Any] = dict(await self._surroundings.start())
            if self._planted is not None:
                servers = self._planted.plant(servers)
                options["secrets"] = [self._planted.token]
            target = self._make_target(servers, self._recorder, options)
            self._target_name = target.name
            for strike in self._scenario.timeline:
                if strike.at == 0:
                    await self._begin(strike, target)
            self._tell("connecting")
            await target.open(struck=self._struck_from_the_start())
            await self._load(target)
            facts["in_flight"] = await self._quiet(target)
            facts["cancels"] = await self._fleet.cancels()
            if self._planted is not None:
                look_at_health(target, self._planted.look)
        finally:
            executed, outlived = await self._close(target, before, facts)
        left = await leftovers(lambda: snapshot().beyond(before), GRACE)
        return self._seen(executed=executed, leftovers=tuple(dict.fromkeys((*outlived, *left))), **facts)

    async def _close(
        self, target: Target | None, before: Snapshot, facts: dict[str, Any]
    ) -> tuple[Mapping[str, Any] | None, Sequence[str]]:
        """Close everything, whatever fails; return what the servers say they have run, and processes that were left."""
        loop = asyncio.get_running_loop()
        self._tell("closing")
        begun = loop.time()
        try:
            if target is not None:
                await target.close()
            facts["closing"] = loop.time() - begun
        finally:
            try:
                await self._surroundings.close()
                executed, facts["starts"] = self._fleet.executed(), self._fleet.starts()
                self._count_strikes()
                # Looked for before the servers are closed, who end what they have started themselves.
                outlived = await leftovers(lambda: processes_beyond(before, self._fleet.processes()), GRACE)
            finally:
                await self._fleet.close()
                facts["audited"] = await self._look_at_the_audit()
        return executed, outlived

    # --- the load

    async def _load(self, target: Target) -> None:
        scenario, recorder = self._scenario, self._recorder
        known = self._known = await known_tools(target)
        names = [server.name for server in self._fleet.servers]
        offered = await target.offered() if any(READ_ONLY in load.tools for load in scenario.loads) else {}
        problems = target.problems()
        specs = [specs_for(load, names, self._fleet.marked, offered, problems) for load in scenario.loads]
        recorder.begin()
        begun = asyncio.get_running_loop().time()
        caller = Caller(target, recorder, scenario=scenario, seed=self._seed, planted=self._planted)
        looking = [self._spawn(watch_lag(recorder)), self._spawn(watch_listing(recorder, target, known))]
        if self._planted is not None:
            looking.append(self._spawn(watch_health(target, self._planted.look)))
        timeline = [self._spawn(self._strike(strike, target)) for strike in scenario.timeline]
        driving = [
            self._spawn(
                drive(
                    load,
                    some,
                    partial(caller.call, load),
                    numbers=self._random(load.name),
                    over=scenario.duration,
                    begun=begun,
                )
            )
            for load, some in zip(scenario.loads, specs, strict=True)
        ]
        try:
            await self._until_over(driving, timeline)
        finally:
            self._over = recorder.now
            await self._end_of(timeline)
            await self._end_of(driving)
            await self._end_of(looking)
            recorder.close()
        for task in (*timeline, *driving):
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return asyncio.get_running_loop().create_task(work)

    async def _until_over(self, driving: Sequence[asyncio.Task[None]], timeline: Sequence[asyncio.Task[None]]) -> None:
        """Wait for the loads to end, or for the scenario's end and the last call's; those that hang are left."""
        scenario, recorder = self._scenario, self._recorder
        longest = max(load.timeout for load in scenario.loads) + (scenario.callback or 0.0) + LATE
        while any(not task.done() for task in driving):
            if self._stop.is_set() or recorder.now > scenario.duration + longest:
                return
            if any(task.done() and task.exception() is not None for task in (*driving, *timeline)):
                return
            self._tell("running")
            await asyncio.wait(driving, timeout=SHOWN)

    @staticmethod
    async def _end_of(tasks: Sequence[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()
        if tasks:
            # Not for ever: a client that swallows its cancellation must not keep the report from being made.
            await asyncio.wait(tasks, timeout=LATE)

    # --- the timeline

    async def _strike(self, strike: Strike, target: Target) -> None:
        recorder = self._recorder
        if strike.at > 0:
            await asyncio.sleep(strike.at - recorder.now)
            await self._begin(strike, target)
        if strike.until is not None:
            await asyncio.sleep(strike.until - recorder.now)
            await self._end(strike)

    async def _begin(self, strike: Strike, target: Target) -> None:
        recorder = self._recorder
        if strike.name in OURSELVES:
            began = recorder.now
            note = await self._surroundings.strike(strike)
            self._struck(strike, None, began, note)
            return
        for server in self._struck_by(strike):
            began = recorder.now
            self._struck(strike, server, began, await self._fleet.strike(strike, server, target))

    def _struck(self, strike: Strike, server: str | None, began: float, note: str) -> None:
        # What happens once is over when it has happened; its server is back when it answers again.
        ended = self._recorder.now if strike.name == "kill" else None
        self._recorder.struck.append(Struck(strike=strike, server=server, began=began, ended=ended, note=note))
        if note:
            self._recorder.note(f"{_named(strike, server)}: {note}")

    def _struck_from_the_start(self) -> frozenset[str]:
        """Return the servers of the built-in fleet that have a fault by now; of a user's, the tools must be known."""
        if self._scenario.fleet == "config":
            return frozenset()
        return frozenset(each.server for each in self._recorder.struck if each.server is not None)

    def _struck_by(self, strike: Strike) -> list[str]:
        return [each.name for each in self._fleet.servers if aims_at(strike, each.name, self._fleet.marked)]

    async def _end(self, strike: Strike) -> None:
        recorder = self._recorder
        if strike.name in OURSELVES:
            await self._surroundings.heal(strike)
        else:
            for server in self._struck_by(strike):
                await self._fleet.heal(strike, server)
        recorder.struck = [
            replace(each, ended=recorder.now) if each.strike is strike and each.ended is None else each
            for each in recorder.struck
        ]

    def _count_strikes(self) -> None:
        """Write down how often each fault has struck, and which of them have struck nothing."""
        recorder = self._recorder
        for index, each in enumerate(recorder.struck):
            if each.server is None:
                times: int | None = self._surroundings.struck(each.strike)
            else:
                times = self._fleet.struck(each.strike, each.server)
            recorder.struck[index] = replace(each, times=times)
            if times == 0:
                recorder.note(f"{_named(each.strike, each.server)} struck nothing, so that no rule is judged by it")

    # --- the end

    async def _quiet(self, target: Target) -> Mapping[str, int]:
        """Return what is still in flight once nobody calls any more; what is abandoned may take a moment to go."""
        loop = asyncio.get_running_loop()
        until = loop.time() + GRACE
        while any(target.in_flight().values()) and loop.time() < until:  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(STEP)
        return dict(target.in_flight())

    async def _look_at_the_audit(self) -> tuple[int, int] | None:
        disk = self._surroundings.disk
        lines = None if disk is None else disk.lines()
        if disk is not None:
            if self._planted is not None and lines is not None:
                self._planted.look("the audit log", disk.text())
            await self._surroundings.remove()
        return None if lines is None else (lines, self._surroundings.lost)

    def _leaks(self, planted: Planted) -> tuple[str, ...]:
        for event in self._recorder.events or ():
            planted.look(f"an event {type(event).__name__}", repr(event))
        return planted.found

    def _seen(self, *, executed: Mapping[str, Any] | None, **facts: Any) -> Run:
        recorder, scenario = self._recorder, self._scenario
        for note in self._fleet.notes:
            recorder.note(note)
        return Run(
            scenario=scenario,
            target=self._target_name,
            seed=self._seed,
            ended=max(min(scenario.duration, self._over), 0.001),
            interrupted=self._stop.is_set(),
            options={server.name: server for server in self._fleet.servers},
            known={server: len(tools) for server, tools in self._known.items()},
            samples=tuple(sorted(recorder.samples, key=lambda each: each.began)),
            attempts=tuple(recorder.attempts),
            circuits=tuple(recorder.circuits),
            connections=tuple(recorder.connections),
            listings=tuple(recorder.listings),
            lags=tuple(recorder.lags),
            struck=tuple(recorder.struck),
            notes=tuple(recorder.notes),
            executed=None
            if executed is None
            else tuple(
                Executed(server=server, tool=done.tool, label=done.label, at=recorder.since(done.at))
                for server, entries in executed.items()
                for done in entries
            ),
            **facts,
        )

    def _tell(self, phase: str) -> None:
        recorder = self._recorder
        active = [each for each in recorder.struck if each.ended is None]
        self._watch(Progress(phase=phase, now=recorder.now, recorder=recorder, active=active))


def _named(strike: Strike, server: str | None) -> str:
    return strike.name if server is None else f"{strike.name} of {server}"
