"""Which connections a toxic strikes, and what is refused."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from proxy_kit import each_engine, now, peer, run, said, through

from recloser.testing.proxy import KINDS, FaultProxy

pytestmark = pytest.mark.thorough


# --- whom they strike


@each_engine
def test_the_toxicity_is_the_share_of_connections_that_are_struck(engine: str) -> None:
    async def main() -> None:
        async with through(engine, seed=3) as (proxy, _, connect):
            toxic = await proxy.add("limit_data", toxicity=0.5, bytes=0)
            ends = 0
            for _ in range(40):
                reader, writer = await connect()
                writer.write(b"x")
                ends += not await reader.read(1)
            assert 8 <= ends <= 32
            assert toxic.struck == (ends if engine == "asyncio" else 0)
            await toxic.update(toxicity=0)
            assert await said(await connect(), b"x") == b"x"
            assert toxic.toxicity == 0

    run(main, engine)


def test_the_same_seed_strikes_the_same_connections() -> None:
    def struck(seed: int) -> list[bool]:
        async def main() -> list[bool]:
            async with through("asyncio", seed=seed) as (proxy, _, connect):
                await proxy.add("limit_data", toxicity=0.5, bytes=0)
                found = []
                for _ in range(20):
                    reader, writer = await connect()
                    writer.write(b"x")
                    found.append(not await reader.read(1))
                return found

        return run(main, "asyncio")

    assert struck(1) == struck(1) != struck(2)


def test_a_toxic_that_comes_while_data_is_on_its_way_strikes_that_too() -> None:
    async def main() -> None:
        async with through("asyncio") as (proxy, _, connect):
            connection = await connect()
            await proxy.add("latency", latency=2)
            task = asyncio.create_task(said(connection, b"0123456789"))
            await asyncio.sleep(1)
            await proxy.add("limit_data", bytes=4)
            with pytest.raises(asyncio.IncompleteReadError) as caught:
                await task
            assert caught.value.partial == b"0123"

    run(main, "asyncio")


@each_engine
def test_several_toxics_strike_one_after_the_other(engine: str) -> None:
    async def main() -> None:
        async with through(engine) as (proxy, _, connect):
            names = [
                (await proxy.add("latency", latency=0.1)).name,
                (await proxy.add("latency", name="more", latency=0.1)).name,
                (await proxy.add("slicer", average_size=3, size_variation=1)).name,
                (await proxy.add("limit_data", bytes=20)).name,
            ]
            assert [toxic.name for toxic in proxy.toxics] == names
            reader, writer = await connect()
            begun = now()
            writer.write(b"x" * 50)
            assert await reader.read(-1) == b"x" * 20
            assert now() - begun >= 0.2

    run(main, engine)


# --- what is refused


@pytest.mark.parametrize(
    ("kind", "given", "says"),
    [
        ("latenzy", {}, "unknown toxic 'latenzy'; known: latency, bandwidth"),
        ("latency", {"delay": 1}, "latency has no attribute 'delay'; known: latency, jitter"),
        ("latency", {"latency": -1}, "latency.latency must not be negative"),
        ("latency", {"latency": float("inf")}, "latency.latency must not be negative"),
        ("limit_data", {"bytes": 1.5}, "limit_data.bytes must be a whole number of bytes"),
        ("slicer", {"average_size": 5, "size_variation": 5}, "size_variation must be less than average_size"),
        ("latency", {"toxicity": 1.5}, "toxicity must be between 0 and 1"),
        ("latency", {"stream": "sideways"}, "stream must be upstream or downstream, got 'sideways'"),
    ],
)
def test_a_toxic_that_makes_no_sense_is_refused_and_not_added(kind: Any, given: Any, says: str) -> None:
    async def main() -> None:
        async with through("asyncio") as (proxy, _, _):
            with pytest.raises(ValueError, match=says):
                await proxy.add(kind, **given)
            assert proxy.toxics == ()

    run(main, "asyncio")


def test_a_number_that_is_none_and_a_name_that_is_taken_are_refused() -> None:
    async def main() -> None:
        async with through("asyncio") as (proxy, _, _):
            with pytest.raises(TypeError, match=r"latency\.latency must be a number, got '1'"):
                await proxy.add("latency", latency="1")
            await proxy.add("latency")
            with pytest.raises(ValueError, match="there is a toxic 'latency_downstream' already"):
                await proxy.add("latency")

    run(main, "asyncio")


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "example.com", "::"])
def test_it_listens_on_this_machine_alone(host: str) -> None:
    with pytest.raises(ValueError, match="listens on this machine alone"):
        FaultProxy("127.0.0.1", 1, host=host)


def test_an_engine_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="engine must be asyncio, toxiproxy or auto, got 'steam'"):
        FaultProxy("127.0.0.1", 1, engine="steam")


def test_it_listens_on_the_other_loopback_address_too() -> None:
    async def main() -> None:
        async with peer() as (_, port), FaultProxy("127.0.0.1", port, host="::1") as proxy:
            assert proxy.address == f"[::1]:{proxy.port}"
            connection = await asyncio.open_connection("::1", proxy.port)
            assert await said(connection, b"six") == b"six"
            connection[1].close()
            await connection[1].wait_closed()

    run(main, "asyncio")


def test_it_does_nothing_before_it_was_started() -> None:
    async def main() -> None:
        with pytest.raises(RuntimeError, match="has not been started"):
            await FaultProxy("127.0.0.1", 1).add("latency")

    asyncio.run(main())


def test_every_number_of_every_kind_has_a_unit_or_says_what_it_counts() -> None:
    for facts in KINDS.values():
        assert facts.does
        assert all(attribute.does for attribute in facts.attributes.values())
