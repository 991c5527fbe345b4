"""What a router that closes leaves behind: nothing, and a word on each of its calls."""

import asyncio

from recloser import Bulkhead, Router, Server, Timeouts
from recloser.testing.clock import run_virtual
from recloser.testing.faulty import FaultyHttp
from recloser.testing.leaks import no_leaks
from support.peers import Peer, Silence


async def hangs(line, params):
    raise Silence


def test_calls_that_wait_when_a_router_closes_are_over_and_audited_when_it_is_closed():
    audited = []

    async def main():
        async with no_leaks():
            server = Peer(on={"hangs": hangs}).server("a", bulkhead=Bulkhead(limit=1))
            async with Router(server, audit=audited.append) as router:
                calls = [asyncio.ensure_future(router.call_tool("a__hangs", idempotent=True)) for _ in range(3)]
                await asyncio.sleep(1)
            assert all(call.done() for call in calls)
            assert [record.code for record in audited] == ["connection_lost"] * 3
            assert [len(record.attempts) for record in audited] == [1, 1, 1]

    run_virtual(main)


def test_a_server_that_does_not_take_leave_is_left_within_the_time_for_that():
    async def main():
        async with FaultyHttp(era="legacy") as server:
            server.fault("delete_hang")
            async with Router(Server("s", server.url, timeouts=Timeouts(shutdown=0.1))) as router:
                await router.ready("s")
            left = [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("recloser:")]
            assert left == []

    asyncio.run(main())
