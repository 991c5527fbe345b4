"""Many calls at once: one verdict."""

import asyncio
import copy
import pickle

import pytest

from recloser import fanout
from recloser.call import Call
from recloser.errors import CODES, AuthError, CriticalError, ErrorPayload, TransientError
from recloser.events import FanOutFinished
from recloser.fanout import FanOut, Reply, fan_out
from recloser.testing.clock import run_virtual
from support.fanouts import answer, calls, failure, nothing_is_left, sender


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


@pytest.mark.parametrize("copied", [lambda spread: pickle.loads(pickle.dumps(spread)), copy.copy, copy.deepcopy])
def test_a_verdict_can_be_pickled_and_copied_also_after_it_has_been_read(copied):
    async def main():
        spread = await fan_out(calls("a__x", "b__y"), sender(b__y=(0, failure("timeout"))))
        before = copied(spread)
        assert (list(spread.results), list(spread.errors), spread.met) == (["a__x"], ["b__y"], True)
        after = copied(spread)
        for each in (before, after):
            assert each == spread
            assert each.keys == spread.keys
            assert each.results == spread.results
            assert each.errors == spread.errors
            assert each.summary() == spread.summary()

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


@pytest.mark.parametrize("timeout", [0, -1.0, float("nan")])
def test_a_timeout_that_cannot_be_is_refused(timeout):
    with pytest.raises(ValueError, match="timeout must be a number of seconds above 0"):
        asyncio.run(fan_out(calls("a"), sender(), timeout=timeout))


def test_time_without_end_is_what_each_server_allows_as_for_a_single_call():
    given = []

    async def send(call):
        given.append(call.timeout)
        await asyncio.sleep(10_000)
        return answer(call.key)

    done = run_virtual(lambda: fan_out(calls("a"), send, timeout=float("inf")))

    assert (done.complete, given) == (True, [float("inf")])


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
