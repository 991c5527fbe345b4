"""What a router that closes leaves behind: nothing, and a word on each of its calls."""

import asyncio

from recloser import Bulkhead, Router
from recloser.testing.clock import run_virtual
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
            assert [record.outcome for record in audited] == ["connection_lost"] * 3
            assert sum(record.attempts for record in audited) == 3

    run_virtual(main)
