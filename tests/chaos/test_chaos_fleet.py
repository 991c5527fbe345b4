"""The fleets: real processes, real networks, and only what is marked is ever struck."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from chaos.chaos_kit import member, scenario
from recloser import Router
from recloser.errors import error_of
from recloser.options import Breaker, Timeouts
from recloser.testing.leaks import no_leaks
from recloser.testing.scenario import netspace, processes, web_member
from recloser.testing.scenario.fleets import BuiltFleet
from recloser.testing.scenario.records import Strike

pytestmark = [pytest.mark.thorough, pytest.mark.processes]

FACTS = {
    "timeouts": Timeouts(total=6.0, attempt=3.0, connect=1.0, start=6.0, shutdown=1.0),
    "breaker": Breaker(enabled=False),
}


def strike(kind: str, name: str, *servers: str, **facts) -> Strike:
    return Strike(kind=kind, name=name, servers=servers or ("a",), at=1.0, until=2.0, **facts)


@asynccontextmanager
async def running(*members, timeline=()) -> AsyncIterator[tuple[BuiltFleet, Router]]:
    async with no_leaks(grace=5.0):
        fleet = BuiltFleet(scenario(servers=members, timeline=timeline), seed=1)
        try:
            await fleet.start()
            async with Router(*fleet.servers) as router:
                await asyncio.gather(*(router.ready(each.name) for each in fleet.servers))
                yield fleet, router
        finally:
            await fleet.close()


async def told(router: Router, server: str, tool: str = "echo", timeout: float = 3.0, text: str = "x") -> str | None:
    error = error_of(await router.call_tool(f"{server}__{tool}", {"text": text}, timeout=timeout))
    return None if error is None else error.code


async def until_good(router: Router, server: str) -> None:
    async with asyncio.timeout(20):
        while await told(router, server) is not None:
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("transport", ["http", "stdio"])
def test_a_server_can_be_made_to_fail_and_to_be_well_again_in_every_way(transport):
    async def main():
        async with running(member("a", transport=transport, **FACTS)) as (fleet, router):
            fault = strike("fault", "jsonrpc_error", tool="write")
            other = strike("fault", "is_error_storm", tool="upsert")
            await fleet.strike(fault, "a", router)
            await fleet.strike(other, "a", router)
            assert await told(router, "a", "write") == "server_fault"
            assert await told(router, "a", "echo", text="counted") is None
            assert [fleet.struck(each, "a") for each in (fault, other)] == [1, 0]
            await fleet.heal(fault, "a")
            assert await told(router, "a", "write") is None
            assert (await router.call_tool("a__upsert", {"text": "x"})).is_error
            await fleet.heal(other, "a")
            assert [fleet.struck(each, "a") for each in (fault, other)] == [1, 1]

            dies = strike("fault", "exit_mid_call")
            await fleet.strike(dies, "a", router)
            assert await told(router, "a", "write") is not None
            await fleet.heal(dies, "a")
            # Counted for good, though its process and all that it knew is gone.
            assert [fleet.struck(each, "a") for each in (fault, other, dies)] == [1, 1, 1]
            await until_good(router, "a")

            kill = strike("action", "kill")
            await fleet.strike(kill, "a", router)
            await until_good(router, "a")
            await fleet.heal(kill, "a")

            down = strike("action", "down")
            await fleet.strike(down, "a", router)
            assert await told(router, "a", timeout=1.0) is not None
            await fleet.heal(down, "a")
            await until_good(router, "a")

            freeze = strike("action", "freeze")
            await fleet.strike(freeze, "a", router)
            assert await told(router, "a", timeout=0.2) == "timeout"
            await fleet.heal(freeze, "a")
            await until_good(router, "a")
            await fleet.strike(freeze, "a", router)  # it must not outlive the fleet, frozen or not

            memory = strike("action", "memory", arguments={"megabytes": 64})
            note = await fleet.strike(memory, "a", router)
            assert note == "64 MB more than it had" or not sys.platform.startswith("linux")
            await fleet.heal(memory, "a")
            assert [fleet.struck(each, "a") for each in (kill, down, freeze)] == [1, 1, 1]
            assert fleet.struck(memory, "a") == (None if processes.can_limit() else 0)

            assert "counted" in [done.label for done in fleet.executed()["a"]]
            assert (transport == "stdio") is (fleet.starts().get("a", 0) >= 2)
            assert (transport == "http") is ("a" in await fleet.cancels())
            if transport == "stdio":
                with pytest.raises(ValueError, match="there is no network to cut"):
                    await fleet.strike(strike("action", "partition"), "a", router)
            else:
                with pytest.raises(ValueError, match="set namespace = true"):
                    await fleet.strike(strike("action", "partition"), "a", router)
            with pytest.raises(ValueError, match="not a matter of the server"):
                await fleet._members["a"].strike(strike("policy", "Latency"))

    asyncio.run(main())


def test_what_is_done_to_a_server_that_is_gone_has_no_effect():
    async def main():
        async with running(member("a", **FACTS)) as (fleet, router):
            down = strike("action", "down")
            await fleet.strike(down, "a", router)
            for name in ("kill", "freeze", "memory"):
                one = strike("action", name)
                assert await fleet.strike(one, "a", router) == ""
                assert fleet.struck(one, "a") == 0
                await fleet.heal(one, "a")
            fault = strike("fault", "jsonrpc_error")
            await fleet.strike(fault, "a", router)
            await fleet.heal(down, "a")
            await asyncio.sleep(0)
            async with asyncio.timeout(20):
                # It is told of its faults when it starts.
                while await told(router, "a", "write") != "server_fault":
                    await asyncio.sleep(0.02)
        processes.signalled(2**22 + 1, 9)
        assert not processes.lives(2**22 + 1)

    asyncio.run(main())


@pytest.mark.parametrize("how", ["namespace", "no root", "no luck"])
def test_a_partition_loses_everything_and_tells_nobody(how, monkeypatch):
    if how == "namespace" and not netspace.can_cut():
        pytest.skip("needs Linux, ip, tc and root")
    if how == "no root":
        monkeypatch.setattr(web_member, "can_cut", lambda: False)
    if how == "no luck":
        monkeypatch.setattr(web_member, "can_cut", lambda: True)
        monkeypatch.setattr(netspace, "_run", refuse)

    async def main():
        async with running(member("a", namespace=True, **FACTS), member("b", **FACTS)) as (fleet, router):
            cut = strike("action", "partition")
            note = await fleet.strike(cut, "a", router)
            assert note == ("by a network namespace" if how == "namespace" else "by a proxy")
            assert bool(fleet.notes) is (how != "namespace")
            # Over a connection that was there the call goes out and is lost; without one it never leaves.
            assert await told(router, "a", timeout=0.3) in ("timeout", "unreachable")
            assert await told(router, "b") is None
            assert fleet.struck(cut, "a") == 1
            await fleet.heal(cut, "a")
            await until_good(router, "a")

    asyncio.run(main())


async def refuse(*words: str) -> None:
    raise netspace.CannotCutError("not here")


def test_what_cannot_be_run_cannot_cut():
    async def main():
        with pytest.raises(netspace.CannotCutError, match="cannot be run"):
            await netspace._run("/nowhere/ip")
        with pytest.raises(netspace.CannotCutError, match="exit"):
            await netspace._run(sys.executable, "-c", "import sys; sys.exit('exit')")

    asyncio.run(main())


@pytest.mark.parametrize("how", ["ends at once", "is too slow"])
def test_a_server_that_does_not_start_is_said_by_name(how, monkeypatch):
    if how == "ends at once":
        monkeypatch.setattr(web_member, "script", lambda *_: [sys.executable, "-c", ""])
    else:
        monkeypatch.setattr(web_member, "UP", 0.0)

    async def main():
        async with no_leaks(grace=5.0):
            fleet = BuiltFleet(scenario(servers=(member("a"),)), seed=1)
            try:
                with pytest.raises(ChildProcessError, match="the server a of the fleet did not start"):
                    await fleet.start()
            finally:
                await fleet.close()

    asyncio.run(main())


def test_a_server_that_ends_while_it_is_started_again_is_started_once_more(monkeypatch):
    started, wanted = [], web_member.script

    def at_second_try(*words: str) -> list[str]:
        started.append(words)
        return [sys.executable, "-c", ""] if len(started) == 1 else wanted(*words)

    async def main():
        async with running(member("a", **FACTS)) as (fleet, router):
            monkeypatch.setattr(web_member, "script", at_second_try)
            await fleet.strike(strike("action", "kill"), "a", router)
            await until_good(router, "a")
            assert len(started) == 2

    asyncio.run(main())


def test_a_server_over_http_ends_with_whoever_holds_its_stdin():
    process = subprocess.Popen(
        [sys.executable, "-m", "recloser.testing.faulty", "--transport", "http", "--until-stdin-closes"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline().startswith("http://127.0.0.1:")
    assert process.poll() is None
    process.stdin.close()
    assert process.wait(30) == 0
    process.stdout.close()


def test_memory_of_others_can_be_limited_on_linux_alone(monkeypatch):
    monkeypatch.setattr(processes.sys, "platform", "darwin")
    assert "cannot limit" in processes.limit_memory(os.getpid(), 3.0)
    assert not processes.can_limit()

    async def main():
        async with running(member("a", **FACTS)) as (fleet, router):
            memory = strike("action", "memory")
            assert "nothing was done" in await fleet.strike(memory, "a", router)
            assert fleet.struck(memory, "a") == 0

    asyncio.run(main())


def test_policies_and_toxics_strike_servers_of_the_fleet_too():
    policy, toxic, down = (
        strike("policy", "Fault", arguments={"code": "server_fault"}),
        strike("toxic", "timeout", "b", arguments={"timeout": 0, "stream": "downstream"}),
        strike("toxic", "down", "b"),
    )

    async def main():
        members = (member("a", **FACTS), member("b", **FACTS))
        async with running(*members, timeline=(policy, toxic, down)) as (fleet, router):
            await fleet.strike(policy, "a", router)
            assert await told(router, "a", "write") == "server_fault"
            await fleet.heal(policy, "a")
            assert await told(router, "a", "write") is None
            assert fleet.struck(policy, "a") == 1
            await fleet.strike(toxic, "b", router)
            assert await told(router, "b", timeout=0.3) == "timeout"
            await fleet.heal(toxic, "b")
            assert fleet.struck(toxic, "b") >= 1
            await until_good(router, "b")
            await fleet.strike(down, "b", router)
            assert await told(router, "b", timeout=0.5) is not None
            await fleet.heal(down, "b")
            assert fleet.struck(down, "b") == 1
            await until_good(router, "b")

    asyncio.run(main())
