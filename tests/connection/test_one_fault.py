"""The end of one session is one fault, however many calls it hits."""

from __future__ import annotations

import asyncio

import pytest

from recloser import Breaker, CircuitOpen, Router, Server, error_of
from recloser.testing.faulty import FaultyStdio


def crashed_under_ten_calls(server: FaultyStdio, options: Server, *, idempotent: bool) -> tuple[list[str], int]:
    """Kill the server while ten calls wait for it; return how each ended, and how many failures its circuit counts."""

    async def main() -> tuple[list[str], int]:
        async with Router(options) as router:
            await router.ready("s")
            calls = [
                asyncio.create_task(router.call_tool("s__sleep", {"seconds": 0.5}, idempotent=idempotent))
                for _ in range(10)
            ]
            while server.executions("sleep") < 10:
                await asyncio.sleep(0.01)
            server.kill()
            answers = await asyncio.gather(*calls)
            errors = [error_of(answer) for answer in answers]
            circuit = router.health()["s"].endpoints[0].circuit
            return ["ok" if error is None else error.code for error in errors], circuit.failures

    return asyncio.run(main())


@pytest.mark.processes
def test_a_crash_under_many_calls_counts_as_one_failure() -> None:
    with FaultyStdio() as server:
        ended, failures = crashed_under_ten_calls(
            server, Server("s", command=server.command, args=server.args), idempotent=False
        )

    assert ended == ["connection_lost"] * 10
    assert failures == 1


@pytest.mark.processes
def test_a_crash_under_many_calls_does_not_keep_them_from_being_made_again() -> None:
    with FaultyStdio() as server:
        ended, _ = crashed_under_ten_calls(
            server, Server("s", command=server.command, args=server.args), idempotent=True
        )

    assert ended == ["ok"] * 10


@pytest.mark.processes
def test_a_server_that_crashes_in_every_call_still_opens_its_circuit() -> None:
    async def main() -> list[str]:
        with FaultyStdio() as server:
            server.fault("exit_mid_call")
            options = Server(
                "s", command=server.command, args=server.args, breaker=Breaker(consecutive=3, open_for=60, open_cap=60)
            )
            async with Router(options) as router:
                seen = []
                while "circuit_open" not in seen and len(seen) < 10:
                    error = error_of(await router.call_tool("s__write", {"text": "x"}))
                    seen.append("ok" if error is None else error.code)
                with pytest.raises(CircuitOpen):
                    await router.call_tool("s__write", {"text": "x"}, raise_on_error=True)
                return seen

    assert asyncio.run(main()) == ["connection_lost"] * 3 + ["circuit_open"]
