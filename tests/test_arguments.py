"""What a caller hands in, checked before anything is sent."""

import math
import re

import pytest

from recloser import Call, CriticalError
from recloser.arguments import check, checked_name, checked_timeout, wire_meta, wire_params
from recloser.call import mapping_of

LIMIT = 1024


def wire(params, limit=LIMIT):
    return wire_params(params, server="s", what="web", limit=limit)


@pytest.mark.parametrize("timeout", [None, 1, 0.5, math.inf])
def test_a_timeout_is_a_number_of_seconds(timeout):
    assert checked_timeout(timeout) == timeout


@pytest.mark.parametrize("timeout", ["5", True, [], 5j])
def test_a_timeout_that_is_no_number_is_a_mistake(timeout):
    with pytest.raises(TypeError, match="timeout must be a number of seconds"):
        checked_timeout(timeout)


@pytest.mark.parametrize("timeout", [0, -1, -0.0, math.nan, -math.inf])
def test_a_timeout_that_leaves_no_time_is_a_mistake(timeout):
    with pytest.raises(ValueError, match="more than 0 seconds"):
        checked_timeout(timeout)


@pytest.mark.parametrize("timeout", [10**400, -(10**400), 10**5000], ids=["large", "negative", "unprintable"])
def test_a_timeout_beyond_any_float_is_a_mistake(timeout):
    with pytest.raises(ValueError, match="timeout must be a number of seconds, got a whole number beyond any float"):
        checked_timeout(timeout)


@pytest.mark.parametrize("flag", ["no", "", 0, 1, []])
def test_a_flag_that_would_only_count_as_a_yes_or_a_no_is_a_mistake(flag):
    with pytest.raises(TypeError, match=f"idempotent must be True or False, got {re.escape(repr(flag))}"):
        check(Call.tool("web", {}, idempotent=flag))


def test_a_call_whose_every_option_is_right_passes():
    async def progress(done, total, message): ...

    call = Call.tool("s__web", {"a": 1}, timeout=1, idempotent=False, caller="me", meta={}, progress=progress)
    check(call.replace(session="one", server="s"))
    check(Call(method="resources/read", key="a://b"))


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"key": 5}, "a call's name must be a string, got 5"),
        ({"params": None}, "params must be a mapping, got NoneType"),
        ({"params": {"arguments": [1]}}, "arguments must be a mapping of names to JSON values, got list"),
        ({"timeout": "5"}, "timeout must be a number of seconds, got '5'"),
        ({"idempotent": "no"}, "idempotent must be True or False, got 'no'"),
        ({"caller": 5}, "caller must be a string, got 5"),
        ({"meta": [1]}, "meta must be a mapping of names to JSON values, got list"),
        ({"progress": 5}, "progress must be a function that is awaited with each report, got 5"),
        ({"server": 5}, "server_name must be a string, got 5"),
        ({"session": [1]}, "session must be a string, got [1]"),
    ],
)
def test_a_call_with_an_option_of_a_wrong_type_is_refused_by_name(wrong, named):
    with pytest.raises(TypeError, match=re.escape(named)):
        check(Call.tool("s__web").replace(**wrong))


def test_a_name_is_a_string():
    assert checked_name("a") == "a"
    with pytest.raises(TypeError, match="a tool's name must be a string, got 5"):
        checked_name(5)
    with pytest.raises(TypeError, match="server_name must be a string"):
        checked_name(b"x", "server_name")


def test_arguments_are_a_mapping_or_none():
    assert mapping_of(None) == {}
    assert mapping_of({"a": 1}) == {"a": 1}
    with pytest.raises(TypeError, match="arguments must be a mapping of names to JSON values, got list"):
        mapping_of([1])
    with pytest.raises(TypeError, match="meta must be"):
        mapping_of("x", "meta")


@pytest.mark.parametrize(
    "value",
    [None, True, 1, -1.5, "text", "ünïcode \U0001f600", [1, [2, {"a": None}]], {"deep": {"er": []}}, 10**30],
)
def test_json_values_are_sent_as_they_are(value):
    assert wire({"a": value}) == {"a": value}


def test_what_has_an_obvious_form_in_json_is_sent_in_it():
    from datetime import UTC, datetime
    from uuid import UUID

    given = {"at": datetime(2026, 1, 2, 3, 4, tzinfo=UTC), "id": UUID(int=1), "pair": (1, 2), 1: "n"}
    assert wire(given) == {
        "at": "2026-01-02T03:04:00Z",
        "id": "00000000-0000-0000-0000-000000000001",
        "pair": [1, 2],
        "1": "n",
    }


def circle():
    values = []
    values.append(values)
    return values


def depth(levels):
    value = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, -math.inf, object(), "\ud800", b"\xff", {"a": {"b": math.nan}}, circle(), depth(5000), print],
    ids=["nan", "inf", "-inf", "object", "surrogate", "bytes", "nested-nan", "circle", "deep", "function"],
)
def test_what_is_no_json_is_refused_and_named(value):
    with pytest.raises(CriticalError) as caught:
        wire({"a": value}, limit=1 << 30)
    payload = caught.value.payload
    assert (payload.code, payload.delivered, payload.server) == ("invalid_request", "no", "s")
    assert payload.message.startswith("the arguments of 'web' for server 's' cannot be sent as JSON")
    assert caught.value.__cause__ is not None


def test_a_key_that_cannot_be_written_is_refused_too():
    with pytest.raises(CriticalError):
        wire({"\udcff": 1})


def test_arguments_beyond_the_limit_are_refused_with_both_numbers():
    assert wire({"a": "x" * (LIMIT - len('{"a":""}'))})
    with pytest.raises(CriticalError, match=r"takes 1025 bytes, more than the 1024 that limits\.arguments allows"):
        wire({"a": "x" * (LIMIT + 1 - len('{"a":""}'))})


def test_what_goes_along_is_checked_alike_and_named_for_what_it_is():
    assert wire_meta({"a": 1}, server="s", what="web", limit=LIMIT) == {"a": 1}
    with pytest.raises(CriticalError, match="`meta` for 'web' for server 's' cannot be sent as JSON"):
        wire_meta({"a": object()}, server="s", what="web", limit=LIMIT)
