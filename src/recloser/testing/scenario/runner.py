"""One run put together: a scenario, its servers, and who is driven."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, TypeAlias

from recloser.config import Settings
from recloser.options import Server
from recloser.testing.scenario.engine import Engine, MakeTarget, Progress
from recloser.testing.scenario.fleets import BuiltFleet, ConfigFleet, Fleet
from recloser.testing.scenario.observed import Run
from recloser.testing.scenario.planted import Planted
from recloser.testing.scenario.recorder import Recorder
from recloser.testing.scenario.records import Scenario
from recloser.testing.scenario.targets import RawTarget, RouterTarget, Target

__all__ = ["TargetName", "run_scenario"]

TargetName: TypeAlias = Literal["router", "raw"]


async def run_scenario(
    scenario: Scenario,
    *,
    seed: int,
    settings: Settings | None = None,
    target: TargetName = "router",
    kill: bool = False,
    change: Callable[[Server], Server] = lambda server: server,
    wrap: Callable[[Target], Target] = lambda target: target,
    watch: Callable[[Progress], None] = lambda _progress: None,
    stop: asyncio.Event | None = None,
) -> Run:
    """Run a scenario and return what was seen; `verdicts.judge` says what that means.

    Args:
        scenario: what is done.
        seed: what all random numbers begin with; the same seed makes the same calls and strikes.
        settings: a user's configuration, whose servers are used; None for the built-in fleet.
        target: who makes the calls: a router, or the SDK's own client.
        kill: whether processes of a user's servers may be killed.
        change: returns each server's options as the router gets them. For tests: the verdicts go by the scenario's.
        wrap: returns who is driven in place of the target. For tests that break a rule on purpose.
        watch: hears how far it is.
        stop: ends the load early when it is set.

    Raises:
        RefusedError: a server that is not marked for it was to be struck.
        ValueError: something of the scenario is not possible with these servers.
        ChildProcessError: a server of the fleet did not start.
    """
    planted = Planted(random.Random(f"{seed}:secrets")) if scenario.secrets else None  # noqa: S311 - repeatable
    if planted is not None:
        filled = [replace(each, arguments=planted.fill_in(each.arguments)) for each in scenario.timeline]
        scenario = replace(scenario, timeline=tuple(filled))
    fleet: Fleet
    if settings is None:
        fleet = BuiltFleet(scenario, seed=seed)
    else:
        fleet = ConfigFleet(scenario, settings.servers, settings.chaos_allowed, kill=kill, seed=seed)
    make = _maker(target, scenario, settings, change, seed)
    engine = Engine(
        scenario,
        fleet,
        lambda servers, recorder, options: wrap(make(servers, recorder, options)),
        seed=seed,
        planted=planted,
        watch=watch,
        stop=stop,
    )
    return await engine.run()


def _maker(
    name: TargetName, scenario: Scenario, settings: Settings | None, change: Callable[[Server], Server], seed: int
) -> MakeTarget:
    def router(servers: Sequence[Server], recorder: Recorder, options: Mapping[str, Any]) -> Target:
        known: dict[str, Any] = dict(options)
        if settings is not None:
            known["secrets"] = [secret.get_secret_value() for secret in settings.secrets]
        numbers = random.Random(f"{seed}:jitter")  # noqa: S311 - a run must be repeatable
        return RouterTarget(servers, recorder, change=change, callback=scenario.callback, rng=numbers.random, **known)

    def raw(servers: Sequence[Server], recorder: Recorder, _options: Mapping[str, Any]) -> Target:
        return RawTarget(servers, recorder, callback=scenario.callback)

    return raw if name == "raw" else router
