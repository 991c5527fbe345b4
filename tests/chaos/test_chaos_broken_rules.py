"""Every rule is broken on purpose, and the scenario that judges it turns red; unbroken, the same one is green."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pytest

from chaos.chaos_kit import FAULT, FakeTarget, imagined, scenario
from chaos.quick_kit import SHORT, quick, verdicts
from recloser.options import Server
from recloser.policies.breaker import CircuitBreaker
from recloser.testing.scenario import judge, load_scenario
from recloser.testing.scenario.records import Load
from recloser.testing.scenario.rules import GOALS, RULES
from recloser.testing.scenario.shipped import shipped
from recloser.testing.scenario.targets import Target

pytestmark = pytest.mark.thorough

LOADS = (Load(name="a", rate=140, tools={"echo": 1, "write": 1}),)


class Late(FakeTarget):
    """Rule 1: returns too late."""

    async def call(self, order):
        told = await super().call(order)
        if not told.good:
            await asyncio.sleep(order.timeout + 0.06)
        return told


class Spreads(FakeTarget):
    """Rule 2: while one server has a fault, calls to the others take longer."""

    async def call(self, order):
        if self.fleet.bad:
            await asyncio.sleep(0.3)
        return await super().call(order)


class Twice(FakeTarget):
    """Rule 3: what failed is sent again, whatever it is."""

    def failure(self, order, code):
        self.execute(order)
        self.execute(order)
        return super().failure(order, code)


class Clings(FakeTarget):
    """Rule 4: a call that was given up goes on for a while."""

    takes = 0.5

    async def call(self, order):
        try:
            return await super().call(order)
        except asyncio.CancelledError:
            await asyncio.sleep(0.2)
            raise


class Leaves(FakeTarget):
    """Rule 7: leaves a task behind."""

    async def close(self):
        self.left = asyncio.create_task(asyncio.sleep(3600), name="left behind")
        await asyncio.sleep(0)


class Vague(FakeTarget):
    """Rule 10: tells a failure without its class."""

    def failure(self, order, code):
        return replace(super().failure(order, code), kind=None)


class Forgets(FakeTarget):
    """Rule 11: a server that is down has no tools any more."""

    async def offered(self):
        return {name: [] if name in self.fleet.bad else tools for name, tools in (await super().offered()).items()}


class Never(FakeTarget):
    """The goals: a server that had a fault once is not used again."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.shunned = set()

    async def call(self, order):
        self.shunned |= set(self.fleet.bad)
        if order.server in self.shunned:
            return self.failure(order, "unreachable")
        return await super().call(order)


CRIMES: list[tuple[str, Callable[..., FakeTarget]]] = [
    ("1", Late),
    ("2", Spreads),
    ("3", Twice),
    ("4", Clings),
    ("7", Leaves),
    ("10", Vague),
    ("11", Forgets),
    ("answered", Never),
    ("recovery", Never),
]


class Patient(FakeTarget):
    takes = 0.5


@pytest.mark.parametrize(("rule", "crime"), CRIMES)
def test_a_client_that_breaks_a_rule_is_seen(rule, crime):
    cancels = 0.5 if rule == "4" else 0.0
    loads = tuple(replace(load, cancel=cancels) for load in LOADS)
    what = scenario(rule, loads=loads, timeline=(FAULT,))
    what = replace(what, limits=replace(what.limits, answered=0.6))
    (good,) = judge(imagined(what, Patient if rule == "4" else FakeTarget))
    assert good.held, good
    (bad,) = judge(imagined(what, crime))
    assert bad.state == "broke", bad


# --- real servers and a real router, with one thing wrong


def open_handed(server: Server) -> Server:
    """Let retries cost nothing."""
    return replace(server, retry=replace(server.retry, cost=0, attempts=4))


@pytest.mark.processes
def test_a_router_that_repeats_what_must_not_be_repeated_and_pays_nothing_for_it_is_seen(tmp_path):
    what = quick(tmp_path, "3, 6", fault='fault = "reset"\non = "tools/call"\narguments = { executes = true }')
    good = verdicts(what)
    assert good["3"].held, good
    assert good["6"].held, good
    bad = verdicts(what, change=lambda server: replace(open_handed(server), idempotent=("*",)))
    assert bad["3"].state == "broke", bad
    assert any(f"ran {times} times" in bad["3"].cases[0] for times in (2, 3, 4))
    assert bad["6"].state == "broke", bad


@pytest.mark.processes
def test_a_router_whose_open_circuit_lets_calls_through_is_seen(tmp_path, monkeypatch):
    what = quick(tmp_path, "5", breaker=SHORT, tools="{ echo = 1 }")
    good = verdicts(what)
    assert good["5"].held, good
    monkeypatch.setattr(CircuitBreaker, "would_admit", lambda self, now: True)
    bad = verdicts(what)
    assert bad["5"].state == "broke", bad


@pytest.mark.processes
def test_a_router_that_speaks_to_a_server_in_an_older_era_is_seen(tmp_path):
    what = quick(tmp_path, "12", transport="stdio", until="", fault='action = "kill"', tools="{ echo = 1 }")
    what = replace(what, timeline=(replace(what.timeline[0], until=None),))
    good = verdicts(what)
    assert good["12"].held, good
    bad = verdicts(what, change=lambda server: replace(server, era="legacy"))
    assert bad["12"].state == "broke", bad
    assert "handshake era" in bad["12"].cases[0]


class Hurries:
    """Rule 13: the clock of a call goes on while its server waits for our side."""

    def __init__(self, target: Target) -> None:
        self._target = target

    def __getattr__(self, name):
        return getattr(self._target, name)

    async def call(self, order):
        with suppress(TimeoutError):
            async with asyncio.timeout(order.timeout):
                return await self._target.call(order)
        raise TimeoutError


@pytest.mark.processes
def test_a_clock_that_does_not_stand_still_is_seen(tmp_path):
    what = quick(
        tmp_path, "13", more="callback = 0.6", tools="{ ask = 1 }", timeout=0.5, until="", fault='action = "kill"'
    )
    what = replace(what, timeline=(), duration=1.0)
    good = verdicts(what)
    assert good["13"].held, good
    bad = verdicts(what, wrap=Hurries)
    assert bad["13"].state == "broke", bad


@pytest.mark.processes
def test_a_router_that_is_not_told_what_is_secret_is_seen(tmp_path):
    told = 'fault = "jsonrpc_error"\narguments = { code = -32603, message = "no: Bearer {token}" }'
    what = quick(tmp_path, "8", more="secrets = true", fault=told)
    good = verdicts(what)
    assert good["8"].held, good
    bad = verdicts(what, target="raw")
    assert bad["8"].state == "broke", bad


# --- the shipped scenarios as a whole


def test_every_rule_and_goal_is_judged_by_a_shipped_scenario():
    named = {rule for path in shipped().values() for rule in load_scenario(path).rules}
    assert named == set(RULES) | set(GOALS)


def test_a_dozen_scenarios_ship_each_shorter_than_twenty_seconds_and_with_something_to_say():
    scenarios = [load_scenario(path) for path in shipped().values()]
    assert len(scenarios) >= 12
    for each in scenarios:
        assert each.duration <= 15, each.name
        assert each.proves.endswith("."), each.name
        assert len(each.proves) <= 130, each.name
        assert each.raw_holds is None or len(each.raw_holds) > 20, each.name


def test_each_rule_is_broken_by_a_test_here():
    # The goal of evidence: in the tests of retries that are broken.
    broken = {rule for rule, _ in CRIMES} | {"3", "5", "6", "8", "12", "13", "evidence"}
    assert broken == set(RULES) | set(GOALS)
