"""The driver's protocol, with a peer that does what it is told."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from benchmarks.scoreboard.hosting import Gone, Hosted, hosted
from benchmarks.scoreboard.peers import Peer

pytestmark = pytest.mark.processes
PATIENCE = 30.0
CALL = {"server": "s", "tool": "echo", "timeout": 0.05, "safe": True}


class Fake:
    name = "fake"
    adapter = Path(__file__).with_name("fake_adapter.py")


@asynccontextmanager
async def fake(servers: list[str] | None = None) -> AsyncIterator[Hosted]:
    async with hosted(cast("Peer", Fake()), sys.executable) as host:
        await host.send("open", servers=servers or [], deadline=1.0, tuned=False)
        yield host


async def opened(host: Hosted) -> None:
    await host.wait("opened", within=PATIENCE)


async def asked(host: Hosted, text: str, number: int = 1) -> list[Any]:
    await host.send("call", number=number, text=text, **CALL)
    found: list[Any] = (await host.wait("called", number=number, within=PATIENCE))["outcome"]
    return found


def test_a_call_tells_when_it_began_and_ended_and_what_came_of_it() -> None:
    async def main() -> None:
        async with fake() as host:
            assert host.versions == {"fake": "1.0"}
            await opened(host)
            begun, ended, succeeded, said, cut = await asked(host, "tower")
            assert begun <= ended
            assert (succeeded, said, cut) == (True, "", False)
            assert (await asked(host, "wrong"))[2:] == [False, "another answer", False]
            assert (await asked(host, "raise"))[2:] == [False, "ValueError: the first of them", False]

    asyncio.run(main())


def test_a_call_that_never_comes_back_is_cut_off() -> None:
    async def main() -> None:
        async with fake() as host:
            await opened(host)
            begun, ended, succeeded, said, cut = await asked(host, "hang")
            assert (succeeded, said, cut) == (False, "never came back", True)
            assert ended - begun > CALL["timeout"]

    asyncio.run(main())


def test_a_load_goes_on_until_it_is_stopped() -> None:
    async def main() -> None:
        async with fake() as host:
            await opened(host)
            await host.send("load", name="a", pause=0.0, **CALL)
            at = None
            while at is None:
                await host.send("served", name="a", since=0.0)
                at = (await host.wait("served", within=PATIENCE))["at"]
            await host.send("stop", name="a")
            outcomes = (await host.wait("stopped", name="a", within=PATIENCE))["outcomes"]
            assert outcomes[0][1] == at
            assert all(outcome[2] for outcome in outcomes)
            await host.send("stop", name="never begun")
            await host.wait("unknown", within=PATIENCE)

    asyncio.run(main())


def test_a_peer_that_cancels_its_host_is_seen_to() -> None:
    async def main() -> None:
        async with fake() as host:
            await opened(host)
            await host.send("call", number=1, text="die", **CALL)
            with pytest.raises(Gone, match="CancelledError"):
                await host.wait("never", within=PATIENCE)
            await host.send("call", number=2, text="tower", **CALL)
            answer = await host.wait("called", number=2, within=PATIENCE, living=False)
            assert answer["outcome"][3] == "the host is dead"

    asyncio.run(main())


def test_a_peer_that_cannot_start_is_gone() -> None:
    async def main() -> None:
        async with fake(["refused"]) as host:
            with pytest.raises(Gone, match="OSError: it cannot start"):
                await opened(host)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("text", "what"), [("tower", []), ("leave a task", ["task"]), ("leave a pipe", ["file", "file"])]
)
def test_what_a_peer_leaves_behind_is_told(text: str, what: list[str]) -> None:
    async def main() -> None:
        async with fake() as host:
            await opened(host)
            await asked(host, text)
            ending = await host.end(within=PATIENCE)
            assert ending["closed"] is not None
            assert [line.split(" ")[0] for line in ending["left"]] == what

    asyncio.run(main())


def test_what_is_no_adapter_is_said_with_what_it_printed() -> None:
    class Broken:
        name = "broken"
        adapter = Path(__file__).with_name("no_such_file.py")

    async def main() -> None:
        with pytest.raises(RuntimeError, match=r"(?s)broken does not start.*no_such_file"):
            async with hosted(cast("Peer", Broken()), sys.executable):
                raise AssertionError("unreachable")

    asyncio.run(main())


def test_a_whole_piece_is_played_with_recloser_itself() -> None:
    from benchmarks.scoreboard.figures import figures
    from benchmarks.scoreboard.peers import PEERS
    from benchmarks.scoreboard.piece import DEADLINE, Pace, play
    from benchmarks.scoreboard.scenarios import SCENARIOS

    pace = Pace(calm=0.1, blips=1, outage=0.1, after=0.05)
    playing = play(
        PEERS["recloser"],
        SCENARIOS["exit_mid_call"],
        tuned=True,
        era="legacy",
        pace=pace,
        python=sys.executable,
    )
    found = figures(asyncio.run(playing), deadline=DEADLINE)
    assert (found["start"], found["ended"], found["survived"]) == ("ok", "closed", True)
    assert found["recoverable"][1] == 1
    assert found["healthy"][1] > 0
    assert found["duplicates"] == 0
