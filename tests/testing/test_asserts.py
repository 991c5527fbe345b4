"""Assertion helpers: each holds where it should, and fails, with a message for people, where it should not."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from typing import Any, cast

import pytest
from mcp.client import Client

from recloser.testing import asserts
from recloser.testing.asserts import at_most_once, by_deadline
from recloser.testing.clock import VirtualLoop, run_virtual
from recloser.testing.fake import FakeServer
from recloser.testing.faulty import FaultyHttp, FaultyStdio
from recloser.testing.leaks import no_leaks


def advance(seconds: float) -> None:
    """Hold up the loop."""
    cast("VirtualLoop", asyncio.get_running_loop()).advance(seconds)


# --- at most once


class Server:
    def __init__(self, **labels: list[str]) -> None:
        self.labels = labels

    def executed(self, tool: str | None = None, /) -> list[str]:
        return [label for name, found in self.labels.items() if tool in (None, name) for label in found]


@pytest.mark.parametrize("source", [Server(write=["a", "b"]), Counter(a=1, b=1), {"a": 0}, ["a", "b"], [], iter("ab")])
def test_executions_that_differ_are_fine(source: Any) -> None:
    at_most_once(source)


@pytest.mark.parametrize("source", [Server(write=["a", "b", "a"]), Counter(a=2, b=1), ["b", "a", "a"]])
def test_an_execution_too_many_is_named_with_how_often(source: Any) -> None:
    with pytest.raises(AssertionError, match=re.escape("executed more than once:\n- 'a': 2 times")):
        at_most_once(source)


def test_one_tool_may_be_looked_at_alone() -> None:
    server = Server(write=["a"], echo=["b", "b"])
    at_most_once(server, "write")
    with pytest.raises(AssertionError, match="'b': 2 times"):
        at_most_once(server, "echo")
    with pytest.raises(TypeError, match="only where a server tells"):
        at_most_once(["a"], "write")


def test_the_servers_of_this_kit_tell_their_executions() -> None:
    async def main() -> None:
        async with FakeServer("web") as fake, FaultyHttp() as http:
            at_most_once(fake, "web")
            at_most_once(http)

    asyncio.run(main())


def test_a_tool_that_a_server_never_had_is_an_error_and_no_success() -> None:
    async def main() -> None:
        async with FakeServer("web", name="f") as fake, FaultyHttp(extra=2) as http:
            with FaultyStdio() as faulty:
                for source, known in (
                    (fake, "web"),
                    (http, "echo, .*, extra_1 to extra_2"),
                    (faulty, "echo, .*, count$"),
                ):
                    with pytest.raises(ValueError, match=f"has no tool 'wbe'; known: {known}"):
                        at_most_once(source, "wbe")
                at_most_once(http, "extra_2")
                at_most_once(faulty, "write")
            with pytest.raises(ValueError, match="no tool 'extra_3'"):
                http.executions("extra_3")

    asyncio.run(main())


def test_a_tool_that_a_fake_server_had_once_may_still_be_asked_for() -> None:
    async def main() -> None:
        async with FakeServer("web") as fake:
            fake.tools = []
            at_most_once(fake, "web")
            fake.tools.append({"name": "late", "inputSchema": {"type": "object"}})
            at_most_once(fake, "late")
        async with FakeServer() as bare:
            with pytest.raises(ValueError, match="has no tool 'web'; known: none"):
                bare.executed("web")
            bare.on("web", "fine")
            async with Client(bare.connect()) as client:
                await client.call_tool("web", {"text": "a"})
            assert bare.executed("web") == ["a"]

    asyncio.run(main())


# --- by the deadline


def test_what_ends_in_time_is_fine_and_its_time_is_told() -> None:
    async def main() -> None:
        async with by_deadline(2) as timing:
            await asyncio.sleep(2.04)
        assert timing.elapsed == pytest.approx(2.04)
        assert timing.lag == pytest.approx(0)
        assert timing.overrun == pytest.approx(0.04)

    run_virtual(main)


def test_what_takes_too_long_fails_with_how_long_it_took() -> None:
    async def main() -> None:
        with pytest.raises(AssertionError, match=r"took 2\.500 s instead of 2 s: 0\.500 s too long"):
            async with by_deadline(2):
                await asyncio.sleep(2.5)
        with pytest.raises(AssertionError, match=r"at most 0\.2 s are allowed"):
            async with by_deadline(1, grace=0.2):
                await asyncio.sleep(1.3)
        async with by_deadline(1, grace=0.5):
            await asyncio.sleep(1.4)

    run_virtual(main)


def test_the_loops_own_lag_is_nobodys_fault() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(1.99, advance, 0.3)
        async with by_deadline(2) as timing:
            await asyncio.sleep(2)
        assert timing.elapsed == pytest.approx(2.29)
        assert timing.lag == pytest.approx(0.29)
        # Late after the deadline, too: what is held up may not be asked to be quicker than the loop.
        loop.call_later(1.02, advance, 0.3)
        async with by_deadline(1):
            await asyncio.sleep(1.03)

    run_virtual(main)


def test_lag_before_the_deadline_is_no_excuse() -> None:
    async def main() -> None:
        asyncio.get_running_loop().call_later(0.5, advance, 1)
        with pytest.raises(AssertionError, match=r"0\.200 s too long, beside 0\.000 s"):
            async with by_deadline(2):
                await asyncio.sleep(2.2)

    run_virtual(main)


def test_a_body_that_holds_up_the_loop_itself_is_measured_too() -> None:
    async def main() -> None:
        async with by_deadline(2) as timing:
            await asyncio.sleep(1.9)
            advance(1)
        assert timing.lag == pytest.approx(0.9)

    run_virtual(main)


def test_an_exception_goes_first_and_says_that_it_was_late() -> None:
    async def main() -> None:
        with pytest.raises(KeyError) as caught:
            async with by_deadline(1):
                await asyncio.sleep(3)
                raise KeyError("mine")
        assert "2.000 s too long" in caught.value.__notes__[0]
        with pytest.raises(KeyError) as caught:
            async with by_deadline(1):
                raise KeyError("mine")
        assert not hasattr(caught.value, "__notes__")

    run_virtual(main)


def test_on_real_time_the_lag_is_looked_at_again_and_again() -> None:
    class Late(asyncio.SelectorEventLoop):
        """A loop whose clock goes on with each look at it, so that every callback comes late."""

        looks = 0

        def time(self) -> float:
            self.looks += 1
            return self.looks / 1000

    async def main() -> tuple[float, float]:
        async with by_deadline(0, grace=100) as timing:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            once = timing.lag
            await asyncio.sleep(0.1)
        return once, timing.lag

    with asyncio.Runner(loop_factory=Late) as runner:
        once, often = runner.run(main())
    assert often > once > 0


def test_what_never_comes_is_told_on_virtual_time_and_does_not_hang() -> None:
    async def never() -> None:
        loop: Any = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        # Were there timers without end, this one would end the test and not the loop.
        loop.call_at(1000, lambda: loop._scheduled and task.cancel())
        async with by_deadline(2):
            await loop.create_future()

    with pytest.raises(RuntimeError, match=r"every task waits for something that never comes: .*never"):
        run_virtual(never, patience=0)


def test_it_leaves_no_alarm_behind() -> None:
    async def main() -> None:
        async with by_deadline(1):
            await asyncio.sleep(1.01)
        async with by_deadline(5):
            pass
        loop: Any = asyncio.get_running_loop()
        assert all(handle.cancelled() for handle in loop._scheduled)

    run_virtual(main)


def test_the_helpers_have_one_face() -> None:
    assert asserts.no_leaks is no_leaks
    assert set(asserts.__all__) >= {"at_most_once", "by_deadline", "no_leaks"}
