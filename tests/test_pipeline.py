"""A pipeline is its policies in order, composed once."""

import asyncio

import pytest

from recloser.call import Call
from recloser.pipeline import compose

CALL = Call(method="tools/call", key="search__web")


def noting(name, seen):
    async def policy(call, call_next):
        seen.append(f"{name} in")
        try:
            return await call_next(call.replace(name=call.name + name))
        finally:
            seen.append(f"{name} out")

    return policy


async def send(call):
    return call.name


def test_without_policies_the_sender_itself_comes_back():
    assert compose([], send) is send


def test_the_first_policy_is_the_outermost():
    seen = []

    result = asyncio.run(compose([noting("a", seen), noting("b", seen)], send)(CALL))

    assert result == "ab"
    assert seen == ["a in", "b in", "b out", "a out"]


def test_changing_the_sequence_later_changes_nothing():
    seen = []
    policies = [noting("a", seen)]
    chain = compose(policies, send)

    policies.clear()

    assert asyncio.run(chain(CALL)) == "a"


def test_a_policy_may_answer_without_the_rest_or_ask_it_twice():
    async def cached(call, call_next):
        return "kept"

    async def twice(call, call_next):
        return [await call_next(call), await call_next(call)]

    assert asyncio.run(compose([twice, cached], send)(CALL)) == ["kept", "kept"]


def test_an_error_comes_out_as_it_is():
    error = LookupError("mine")

    async def failing(call):
        raise error

    with pytest.raises(LookupError) as caught:
        asyncio.run(compose([noting("a", [])], failing)(CALL))

    assert caught.value is error
