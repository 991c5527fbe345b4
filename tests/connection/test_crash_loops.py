"""Servers that are well when asked and end soon after: their next start may not take all the machine."""

import asyncio
import itertools

import pytest
from connection_kit import run, watched

from recloser import Server
from recloser.connection.supervisor import CRASHES, REST
from recloser.testing.clock import run_virtual
from recloser.testing.faulty import FaultyStdio
from support.peers import Peer


@pytest.mark.processes
def test_a_process_that_ends_after_every_call_is_started_for_a_third_of_the_time_at_the_most():
    async def main():
        with FaultyStdio() as faulty:
            faulty.fault("exit_idle", delay=0.0)
            async with watched(Server("peer", command=faulty.command, args=faulty.args)) as seen:
                for number in range(CRASHES + 3):
                    assert await seen.call(arguments={"text": "hello"}) == "hello"
                    await seen.until("connecting", 2 * number + 2)  # it has ended
        told = list(zip(seen.states, seen.times, strict=True))
        # A life: it is started, it is ready, it has ended.
        lives = [[time for _, time in told[at : at + 3]] for at in range(0, 3 * (CRASHES + 3), 3)]
        assert seen.states[: 3 * len(lives)] == ["connecting", "ready", "connecting"] * len(lives)
        for number, (life, after) in enumerate(itertools.pairwise(lives), start=1):
            if number >= CRASHES:
                assert after[0] - life[2] >= REST * (life[1] - life[0]) - 0.01

    run(main)


def test_a_session_without_a_process_is_not_put_off_however_long_its_start_takes():
    async def slow(line, params):
        await asyncio.sleep(10)
        return {"tools": []}

    async def main():
        peer = Peer(on={"tools/list": slow})
        async with watched(peer.server(), jitter=0.0) as seen:
            for number in range(CRASHES + 2):
                before = asyncio.get_running_loop().time()
                generation = await seen.connection.ready()
                assert asyncio.get_running_loop().time() - before == pytest.approx(10)
                generation.retire()
                await seen.until("connecting", 2 * number + 2)

    run_virtual(main)
