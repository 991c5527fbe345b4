"""What one server suffers is its own: other servers, other calls and the host's tasks know nothing of it.

How much slower the healthy ones become is measured in `benchmarks/isolation.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from faults.bench import BETWEEN_SESSIONS, GUARD, LONG, OF_CALLS, RETRY, SHORT, Sick, bench
from faults.table import CASES, FINE, Case, by_fault, each
from recloser import Breaker, Call, Router, Server
from recloser.errors import error_of
from recloser.testing.faulty import FaultyHttp, FaultyStdio

pytestmark = pytest.mark.processes

CALLS = 20
HEALTHY = ("well-http", "well-stdio")
FIRST = ("hang_initialize", "hang_call", "exit_mid_call", "garbage", "status_503")
THE_LIST = {*BETWEEN_SESSIONS, *OF_CALLS}
LISTED = [case for case in CASES if case.fault in THE_LIST and case.on is None and not set(case.arguments) - {"down"}]
ALONE = [
    case
    for case in CASES
    if case.moment == "calls"
    and case.fault
    not in {"flapping", "slow_drip", "partial_line", "wedged_stdin", "restart", "session_lost", "status_404"}
    and not case.fault.startswith(("exit_", "forks_"))
]
"""Faults that strike one message and not the whole process, session or pipe."""


@asynccontextmanager
async def trio(sick: Sick, **options: object) -> AsyncIterator[Router]:
    with FaultyStdio() as piped:
        async with FaultyHttp() as served:
            servers = (
                sick.options("sick", timeouts=SHORT, **options),
                Server("well-http", served.url, timeouts=LONG, retry=RETRY),
                Server("well-stdio", command=piped.command, args=piped.args, timeouts=LONG, retry=RETRY),
            )
            async with asyncio.timeout(GUARD), Router(*servers) as router:
                yield router


async def in_turn(router: Router, server: str) -> None:
    for number in range(CALLS):
        result = await router.call_tool(f"{server}__write", {"text": f"{number}"})
        assert error_of(result) is None, result
        assert result.content[0].text == f"{number}"


async def three_servers(case: Case) -> None:
    async with Sick(case.transport, case.era) as sick:
        if case.moment == "start":
            case.order(sick)
        async with trio(sick) as router:
            case.order(sick)
            if case.moment == "parted" and case.transport == "stdio":
                sick.kill()
            elif case.moment == "parted":
                sick.forget_sessions()
            sick.keep_up()
            suffering = [asyncio.create_task(router.call_tool("sick__echo", {"text": "x"})) for _ in range(10)]
            await asyncio.gather(*(in_turn(router, server) for server in HEALTHY))
            await asyncio.gather(*suffering)
            task = asyncio.current_task()
            assert task is not None
            assert task.cancelling() == 0


@pytest.mark.parametrize("cases", by_fault(LISTED, first=FIRST))
def test_two_healthy_servers_answer_every_call_while_the_third_is_sick(cases):
    asyncio.run(each(cases, three_servers))


async def one_of_ten(case: Case) -> None:
    timeouts = replace(SHORT, attempt=1.5, total=3.0, start=LONG.start) if case.silent else LONG
    async with bench(case.transport, case.era, timeouts=timeouts) as there:
        case.order(there.sick, times=1)
        results = await asyncio.gather(*(there.told("write", f"call {number}") for number in range(10)))
        # One that was refused before it ran has been sent again.
        assert sum(error is not None for error in results) <= (case.told is not FINE), results
        assert there.generation() == 1


@pytest.mark.parametrize("cases", by_fault(ALONE, first=FIRST))
def test_a_call_that_fails_fails_alone_on_its_connection(cases):
    asyncio.run(each(cases, one_of_ten))


@pytest.mark.parametrize("transport", ["http", "stdio"])
@pytest.mark.parametrize("fault", ["hang_initialize", "hang_list"])
def test_nobody_waits_for_a_server_that_does_not_start(transport, fault):
    async def main():
        async with Sick(transport, "legacy") as sick:
            sick.fault(fault)
            async with trio(sick) as router:
                await asyncio.gather(*(in_turn(router, server) for server in HEALTHY))
                health = router.health()
                assert not health["sick"].available or health["sick"].state == "connecting"
                assert all(health[server].available for server in HEALTHY)

    asyncio.run(main())


def test_a_known_tool_of_a_server_that_is_down_stays_listed():
    async def main():
        async with Sick("http", "modern") as sick, trio(sick, lazy=False) as router:
            await router.ready("sick")
            before = [tool.name for tool in await router.list_tools()]
            await sick.stop()
            assert error_of(await router.call_tool("sick__write", {"text": "x"})).code == "unreachable"
            assert [tool.name for tool in await router.list_tools()] == before

    asyncio.run(main())


def test_a_fan_out_gives_what_the_healthy_servers_say():
    async def main():
        async with Sick("stdio", "modern") as sick, trio(sick) as router:
            sick.fault("hang_call")
            calls = [Call.tool(f"{server}__echo", {"text": server}) for server in ("sick", *HEALTHY)]
            spread = await router.fan_out(calls, quorum=2)
            assert spread.degraded
            assert set(spread.results) == {f"{server}__echo" for server in HEALTHY}
            assert {key: payload.code for key, payload in spread.errors.items()} == {"sick__echo": "timeout"}

    asyncio.run(main())


def test_a_task_group_of_the_host_lives_through_the_death_of_a_server():
    async def main():
        async with Sick("http", "legacy") as sick, trio(sick) as router:
            done = asyncio.Event()

            async def something_else() -> str:
                await done.wait()
                return "never cancelled"

            async with asyncio.TaskGroup() as group:
                other = group.create_task(something_else())
                sick.fault("exit_mid_call")
                for _ in range(5):
                    await router.call_tool("sick__write", {"text": "x"})
                done.set()
            assert other.result() == "never cancelled"

    asyncio.run(main())


def test_a_server_that_dies_of_every_call_is_not_started_as_often_as_calls_come():
    async def main():
        async with bench("stdio", "modern", breaker=Breaker()) as there:
            there.sick.fault("exit_mid_call")
            for _ in range(100):
                assert await there.told() is not None
                await asyncio.sleep(0.02)
            # Some until the circuit opens, and then at growing distances.
            assert there.sick.starts <= 12

    asyncio.run(main())
