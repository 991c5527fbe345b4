"""Many calls at once, and how they end: at one deadline, with their caller, reply by reply; nothing is left behind."""

import asyncio
from contextlib import aclosing

import pytest

from recloser import fanout
from recloser.call import Call
from recloser.fanout import fan_out, stream
from recloser.testing.clock import run_virtual
from support.fanouts import answer, calls, failure, nothing_is_left, sender


def test_stragglers_are_cut_off_at_the_deadline_and_reported():
    async def main():
        loop = asyncio.get_running_loop()
        ended = []
        spread = await fan_out(
            calls("a__x", "b__y", "c__z"), sender(ended=ended, b__y=(100, None), c__z=(200, None)), timeout=5
        )
        assert loop.time() <= 5.05
        assert spread.summary() == "1 of 3 answered; b: timed out after 5 s; c: timed out after 5 s"
        payload = spread.errors["b__y"]
        assert (payload.code, payload.type, payload.delivered) == ("timeout", "transient", "maybe")
        assert payload.message == "'b__y' has not answered within 5 s; ask again with more time, or go on without it"
        assert ended == ["a__x", "b__y", "c__z"]
        assert nothing_is_left()

    run_virtual(main())


def test_each_call_is_given_the_common_deadline_unless_its_own_is_shorter():
    async def main():
        begun = []
        await fan_out(
            [Call.tool("a"), Call.tool("b", timeout=1), Call.tool("c", timeout=9)], sender(begun=begun), timeout=5
        )
        assert [call.timeout for call in begun] == [5, 1, 5]
        begun.clear()
        await fan_out([Call.tool("a"), Call.tool("b", timeout=1)], sender(begun=begun))
        assert [call.timeout for call in begun] == [None, 1]

    run_virtual(main())


def test_a_call_that_ends_itself_at_the_deadline_says_why_better_than_we_could():
    async def main():
        own = failure("connection_lost", attempts=3)
        spread = await fan_out(calls("a__x", "b__y"), sender(b__y=(5, own)), timeout=5)
        assert spread.errors["b__y"] == own.payload

    run_virtual(main())


def test_a_call_that_will_not_be_cancelled_keeps_nobody_waiting():
    async def main():
        loop = asyncio.get_running_loop()

        async def stubborn(call):
            for _ in range(3):
                try:
                    await asyncio.sleep(100)
                except asyncio.CancelledError:
                    await asyncio.sleep(1)
            return answer()

        spread = await fan_out(calls("a__x"), stubborn, quorum=0, timeout=5)
        assert spread.errors["a__x"].code == "timeout"
        assert loop.time() <= 5.05
        assert len(fanout._UNWINDING) == 1
        await asyncio.sleep(1000)
        assert nothing_is_left()

    run_virtual(main())


def test_what_a_cut_off_call_still_raises_disturbs_nobody():
    async def main():
        async def bitter(call):
            try:
                await asyncio.sleep(100)
            finally:
                await asyncio.sleep(1)
                raise RuntimeError("late")

        spread = await fan_out(calls("a__x"), bitter, quorum=0, timeout=5)
        assert spread.errors["a__x"].code == "timeout"
        await asyncio.sleep(10)
        assert nothing_is_left()

    run_virtual(main())


@pytest.mark.parametrize("timeout", [None, 50])
def test_a_callers_cancellation_cancels_every_call_and_goes_out(timeout):
    async def main():
        ended = []
        task = asyncio.create_task(
            fan_out(calls("a", "b"), sender(ended=ended, a=(100, None), b=(100, None)), timeout=timeout)
        )
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert sorted(ended) == ["a", "b"]
        assert nothing_is_left()

    run_virtual(main())


def test_a_callers_cancellation_does_not_wait_for_a_call_that_will_not_be_cancelled():
    async def main():
        loop = asyncio.get_running_loop()

        async def stubborn(call):
            try:
                await asyncio.sleep(100)
            finally:
                await asyncio.sleep(30)

        task = asyncio.create_task(fan_out(calls("a"), stubborn))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert loop.time() <= 1.05
        await asyncio.sleep(100)
        assert nothing_is_left()

    run_virtual(main())


def test_a_programming_mistake_ends_all_and_goes_out():
    async def main():
        ended = []
        with pytest.raises(TypeError, match="wrong"):
            await fan_out(calls("a", "b"), sender(ended=ended, a=(1, TypeError("wrong")), b=(100, None)))
        assert ended == ["a", "b"]
        assert nothing_is_left()

    run_virtual(main())


def test_a_call_that_is_cancelled_from_inside_is_reported_as_a_fault():
    async def main():
        async def send(call):
            if call.key == "a__x":
                raise asyncio.CancelledError
            return answer()

        spread = await fan_out(calls("a__x", "b__y"), send)
        payload = spread.errors["a__x"]
        assert (payload.code, payload.cause.exception) == ("internal", "asyncio.CancelledError")
        assert spread.degraded

    run_virtual(main())


def test_replies_come_in_the_order_of_completion():
    async def main():
        plan = {"a": (3, None), "b": (1, failure("timeout")), "c": (2, None)}
        came = [(reply.index, reply.error is None) async for reply in stream(calls(*plan), sender(**plan))]
        assert came == [(1, False), (2, True), (0, True)]
        assert nothing_is_left()

    run_virtual(main())


def test_replies_that_come_while_the_caller_is_busy_are_not_lost_at_the_deadline():
    async def main():
        plan = {"a": (1, None), "b": (2, None), "c": (3, None), "d": (100, None)}
        came = []
        async for reply in stream(calls(*plan), sender(**plan), timeout=4):
            came.append((reply.call.key, reply.error is None))
            await asyncio.sleep(5)
        assert came == [("a", True), ("b", True), ("c", True), ("d", False)]
        assert nothing_is_left()

    run_virtual(main())


def test_the_deadline_holds_while_the_caller_is_busy_and_no_answer_is_thrown_away():
    async def main():
        plan = {"a": (1, None), "b": (4, None), "c": (100, None), "d": (5, failure("timeout"))}
        came = []
        ended = []
        async for reply in stream(calls(*plan), sender(ended=ended, **plan), timeout=5):
            came.append((reply.call.key, reply.error is None, reply.elapsed))
            if reply.call.key == "a":
                await asyncio.sleep(7)
                assert ended == ["a", "b", "d", "c"]
        assert came == [("a", True, 1), ("b", True, 4), ("d", False, 5), ("c", False, 5 + fanout.SLACK)]

    run_virtual(main())


def test_leaving_the_loop_early_cancels_what_still_runs():
    async def main():
        ended = []
        plan = {"a": (1, None), "b": (100, None), "c": (100, None)}
        async for reply in stream(calls(*plan), sender(ended=ended, **plan)):
            assert reply.call.key == "a"
            break
        await asyncio.sleep(0.1)
        assert sorted(ended) == ["a", "b", "c"]
        assert nothing_is_left()

    run_virtual(main())


def test_closing_the_stream_waits_for_what_it_cancels():
    async def main():
        ended = []
        plan = {"a": (1, None), "b": (100, None), "c": (1, TypeError("wrong"))}
        async with aclosing(stream(calls(*plan), sender(ended=ended, **plan))) as incoming:
            async for _ in incoming:
                break
        assert sorted(ended) == ["a", "b", "c"]
        assert nothing_is_left()

    run_virtual(main())


def test_a_stream_that_is_never_read_starts_nothing():
    async def main():
        begun = []
        await stream(calls("a"), sender(begun=begun)).aclose()
        assert begun == []

    run_virtual(main())


def test_a_thousand_calls_are_one_thousand_replies():
    async def main():
        keys = [f"s{number}__x" for number in range(1000)]
        spread = await fan_out(calls(*keys), sender())
        assert list(spread.results) == keys

    run_virtual(main())
