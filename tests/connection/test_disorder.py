"""Whatever happens in whatever order: every call returns in time, nothing is left behind, nobody complains."""

import asyncio
import random

import pytest

from recloser import Breaker, Router, Timeouts, error_of
from recloser.testing.clock import run_virtual
from support.peers import Peer, Refusal, Silence, said, tool

TOTAL = 6.0


def whimsical(rng):
    """A server that answers, hangs, dies and refuses as it likes, in calls and while it starts."""

    async def whim(line):
        mood = rng.random()
        if mood < 0.3:
            await asyncio.sleep(rng.choice([0, 0.1, 1, 5]))
        elif mood < 0.36:
            line.end()
            raise Silence
        elif mood < 0.42:
            raise Silence
        elif mood < 0.48:
            raise Refusal(rng.choice([-32603, -32602, -32000, -32001]))
        elif mood < 0.52:
            asyncio.get_running_loop().call_soon(line.end)

    async def called(line, params):
        await whim(line)
        return said("done")

    async def listed(line, params):
        await whim(line)
        return {"tools": [tool("work")]}

    return Peer(modern=rng.random() < 0.5, on={"work": called, "tools/list": listed})


async def call(router, rng):
    for _ in range(rng.randrange(1, 6)):
        await asyncio.sleep(rng.choice([0, 0, 0.05, 1, 3]))
        begun = asyncio.get_running_loop().time()
        session = rng.choice([None, None, "alice"])
        calling = asyncio.ensure_future(router.call_tool("peer__work", idempotent=rng.random() < 0.5, session=session))
        if rng.random() < 0.15:
            await asyncio.sleep(rng.choice([0, 0.01, 1]))
            calling.cancel()
        [outcome] = await asyncio.gather(calling, return_exceptions=True)
        assert asyncio.get_running_loop().time() - begun <= TOTAL + 1e-6
        if isinstance(outcome, BaseException):
            assert isinstance(outcome, asyncio.CancelledError) or "not open" in str(outcome)
        elif (payload := error_of(outcome)) is not None:
            assert payload.code != "internal"


async def disturb(router, peer, rng):
    for _ in range(rng.randrange(12)):
        await asyncio.sleep(rng.choice([0, 0.01, 0.3, 1, 2, 6]))
        upstream = router._fleet.upstreams.get("peer")
        connection = None if upstream is None else upstream.endpoints[0].shared
        mood = rng.random()
        if mood < 0.4 and peer.lines:
            rng.choice(peer.lines).end()
        elif mood < 0.7:
            peer.down = ConnectionRefusedError() if mood < 0.5 else None
        elif mood < 0.85 and connection is not None:
            connection.renew()
        elif connection is not None and connection._current is not None:
            connection._current._session_lost()


@pytest.mark.parametrize("seed", range(60))
def test_disorder_leaves_nothing_behind(seed, caplog):
    rng = random.Random(seed)

    async def main():
        complaints = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        before = asyncio.all_tasks()
        peer = whimsical(rng)
        times = Timeouts(attempt=2, total=TOTAL, start=5, shutdown=1)
        router = Router(peer.server(timeouts=times, breaker=Breaker(open_for=1)), rng=rng.random)
        await router.open()
        tasks = [asyncio.ensure_future(call(router, rng)) for _ in range(6)]
        tasks.append(asyncio.ensure_future(disturb(router, peer, rng)))
        if rng.random() < 0.3:
            await asyncio.sleep(rng.choice([0, 1, 4, 10]))
            await router.close()
        await asyncio.gather(*tasks)
        await router.close()
        await asyncio.sleep(5)
        assert asyncio.all_tasks() == before
        assert complaints == []

    run_virtual(main)
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []
