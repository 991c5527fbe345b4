"""Many calls at once: one verdict, one deadline, nothing left behind."""

import asyncio
from contextlib import aclosing

import mcp_types as types
import pytest

from recloser import fanout
from recloser.call import Call
from recloser.errors import CODES, AuthError, CriticalError, ErrorPayload, TransientError, error_for
from recloser.events import FanOutFinished
from recloser.fanout import FanOut, Reply, fan_out, stream
from recloser.testing.clock import run_virtual


def calls(*keys, **options):
    return [Call.tool(key, **options) for key in keys]


def answer(text="ok", **more):
    return types.CallToolResult(content=[types.TextContent(text=text)], **more)


def failure(code, **facts):
    return error_for(code, "it failed", **facts)


def sender(*, begun=None, ended=None, **plan):
    """Return a `send` that does as planned for each key: waits so many seconds, then answers, or raises."""

    async def send(call):
        seconds, outcome = plan.get(call.key, (0, None))
        if begun is not None:
            begun.append(call)
        try:
            await asyncio.sleep(seconds)
        finally:
            if ended is not None:
                ended.append(call.key)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome if outcome is not None else answer(call.key)

    return send


def nothing_is_left():
    return asyncio.all_tasks() == {asyncio.current_task()} and not fanout._UNWINDING


def test_all_answers_are_gathered_in_the_order_of_the_calls():
    async def main():
        spread = await fan_out(calls("a__x", "b__y", "c__z"), sender(a__x=(3, None), b__y=(1, None), c__z=(2, None)))
        assert [reply.call.key for reply in spread.replies] == ["a__x", "b__y", "c__z"]
        assert [reply.index for reply in spread.replies] == [0, 1, 2]
        assert [reply.elapsed for reply in spread.replies] == [3, 1, 2]
        assert {key: result.content[0].text for key, result in spread.results.items()} == {
            "a__x": "a__x",
            "b__y": "b__y",
            "c__z": "c__z",
        }
        assert not spread.errors
        assert spread.complete
        assert not spread.degraded
        assert spread.elapsed == 3
        assert spread.summary() == "3 of 3 answered"
        assert nothing_is_left()

    run_virtual(main())


def test_a_failure_is_its_calls_alone_and_the_verdict_is_degraded():
    async def main():
        heard = []
        spread = await fan_out(
            calls("slack__list", "jira__search", "calendar__today"),
            sender(jira__search=(5, failure("timeout", server="jira", elapsed=5.0))),
            emit=heard.append,
        )
        assert spread.summary() == "2 of 3 answered; jira: timed out after 5 s"
        assert list(spread.results) == ["slack__list", "calendar__today"]
        assert spread.errors["jira__search"].code == "timeout"
        assert spread.degraded
        assert not spread.complete
        assert heard == [FanOutFinished(size=3, answered=2, quorum=1, outcome="degraded", duration=5)]

    run_virtual(main())


def test_an_answer_that_says_it_is_an_error_is_an_answer():
    async def main():
        spread = await fan_out(calls("a__x"), sender(a__x=(0, answer("no such row", is_error=True))))
        assert spread.complete
        assert spread.results["a__x"].is_error

    run_virtual(main())


def test_the_same_tool_can_be_asked_twice():
    async def main():
        spread = await fan_out(
            [*calls("a__x", "a__x", "a__x#2", "b__y"), *calls("a__x")], sender(b__y=(0, failure("circuit_open")))
        )
        assert list(spread.results) == ["a__x", "a__x#2", "a__x#2#2", "a__x#3"]
        assert list(spread.errors) == ["b__y"]

    run_virtual(main())


def test_results_cannot_be_changed():
    spread = FanOut(replies=(), quorum=0, elapsed=0.0)
    with pytest.raises(TypeError):
        spread.results["a"] = answer()


@pytest.mark.parametrize(
    ("codes", "kind", "action", "retryable", "delivered"),
    [
        (["timeout", "circuit_open"], TransientError, "retry_later", True, "maybe"),
        (["circuit_open", "circuit_open"], TransientError, "retry_later", True, "no"),
        (["timeout", "unauthenticated"], AuthError, "reauthenticate", False, "maybe"),
        (["server_fault", "unauthenticated"], CriticalError, "use_other_tool", False, "maybe"),
    ],
)
def test_too_few_answers_are_an_error_of_the_type_of_the_worst(codes, kind, action, retryable, delivered):
    async def main():
        heard = []
        plan = {f"s{number}__x": (1, failure(code, attempts=2)) for number, code in enumerate(codes)}
        with pytest.raises(kind) as caught:
            await fan_out(calls(*plan), sender(**plan), emit=heard.append)
        payload = caught.value.payload
        assert (payload.code, payload.next_action) == ("quorum_missed", action)
        assert (payload.retryable, payload.delivered) == (retryable, delivered)
        assert payload.message.startswith("0 of 2 answered; s0: ")
        assert payload.message.endswith("; 1 were needed")
        assert (payload.attempts, payload.elapsed) == (4, 1)
        assert caught.value.evidence is False
        assert heard[0].outcome == "failed"

    run_virtual(main())


def test_a_missed_quorum_says_when_all_may_be_back():
    async def main():
        plan = {
            "a__x": (0, failure("circuit_open", server="a", retry_after=4.0)),
            "b__x": (0, failure("overloaded", server="b", retry_after=12.0)),
        }
        with pytest.raises(TransientError) as caught:
            await fan_out(calls("a__x", "b__x", "c__x"), sender(**plan), quorum=2)
        payload = caught.value.payload
        assert payload.retry_after == 12.0
        assert payload.delivered == "maybe"
        assert payload.message == (
            "1 of 3 answered; a: has failed too often and is being spared, try again in 4 s; "
            "b: is overloaded, try again in 12 s; 2 were needed"
        )

    run_virtual(main())


def test_with_a_quorum_of_zero_even_nothing_is_a_verdict():
    async def main():
        spread = await fan_out(calls("a__x"), sender(a__x=(0, failure("forbidden"))), quorum=0)
        assert spread.degraded
        assert spread.summary() == "0 of 1 answered; a: does not permit this"

    run_virtual(main())


def test_no_calls_are_no_failure():
    async def main():
        heard = []
        spread = await fan_out([], sender(), timeout=1, emit=heard.append)
        assert spread.complete
        assert spread.summary() == "0 of 0 answered"
        assert heard[0].outcome == "complete"

    run_virtual(main())


@pytest.mark.parametrize("quorum", [-1, 3])
def test_a_quorum_that_cannot_be_is_refused(quorum):
    with pytest.raises(ValueError, match="between 0 and the number of calls, 2"):
        asyncio.run(fan_out(calls("a", "b"), sender(), quorum=quorum))


@pytest.mark.parametrize("timeout", [0, -1.0, float("nan"), float("inf")])
def test_a_timeout_that_cannot_be_is_refused(timeout):
    with pytest.raises(ValueError, match="timeout must be a number of seconds above 0"):
        asyncio.run(fan_out(calls("a"), sender(), timeout=timeout))


def test_failures_of_one_kind_are_told_together():
    async def main():
        down = failure("unreachable", server="jira")
        spread = await fan_out(
            calls("jira__a", "x__y", "jira__b"), sender(jira__a=(0, down), jira__b=(1, down)), quorum=0
        )
        assert spread.summary() == "1 of 3 answered; jira (2 calls): could not be reached"

    run_virtual(main())


@pytest.mark.parametrize("code", CODES)
def test_every_code_is_told_in_words(code):
    reply = Reply(index=0, call=Call.tool("a__x"), error=failure(code).payload, elapsed=0.257)
    said = FanOut(replies=(reply,), quorum=0, elapsed=1.0).summary()
    assert said.startswith("0 of 1 answered; a: ")
    assert "_" not in said
    assert code != "timeout" or said.endswith("timed out after 0.26 s")


def test_who_was_asked_is_the_server_where_it_is_known():
    def who(call, **facts):
        return Reply(index=0, call=call, error=failure("timeout", **facts).payload, elapsed=0.0).who

    assert who(Call.tool("web"), server="search") == "search"
    assert who(Call.tool("web", server_name="search")) == "search"
    assert who(Call.tool("search__web")) == "search"
    assert Reply(index=0, call=Call.tool("web"), result=answer(), elapsed=0.0).who == "web"


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


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.0, "0 s"), (0.004, "0 s"), (0.254, "0.25 s"), (1.04, "1 s"), (1.25, "1.2 s"), (5.025, "5 s"), (12.6, "13 s")],
)
def test_seconds_are_said_as_people_say_them(seconds, said):
    assert fanout._duration(seconds) == said


def test_a_reply_keeps_the_payload_as_it_came():
    payload = ErrorPayload(type="auth", code="forbidden", message="no", server="x")

    async def main():
        spread = await fan_out(calls("x__y"), sender(x__y=(0, failure("forbidden", server="x"))), quorum=0)
        assert spread.errors["x__y"].code == payload.code
        assert spread.replies[0].who == "x"

    run_virtual(main())
