"""What an audit says about a call: all that happened, and nothing of what was said."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import fields
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from audit_kit import BEGAN, KEY, attempt, call, finished

from recloser.audit import AuditedArguments, AuditedResult, AuditGap, Auditor, AuditPolicy, AuditRecord
from recloser.redact import MASK, Redactor


def audited(done: Any = None, made: Any = None, result: Any = None, *, tries: Any = (), **options: Any) -> AuditRecord:
    kept: list[AuditRecord] = []
    Auditor(kept.append, **{"key": KEY} | options)(
        finished() if done is None else done, call() if made is None else made, result, BEGAN, tries
    )
    (one,) = kept
    return one


def hash_of(text: str, key: bytes = KEY) -> str:
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def test_a_record_says_who_what_when_and_how_it_ended() -> None:
    done = finished(
        outcome="error",
        code="timeout",
        type="transient",
        attempts=2,
        retries=1,
        delay=0.05,
        circuit_before="closed",
        circuit_after="open",
        trace_id="0" * 31 + "1",
        span_id="0" * 15 + "2",
    )
    tries = [
        attempt(code="server_error", jsonrpc_code=-32603),
        attempt(attempt=2, kind="retry", code="timeout", protocol_version="2026-07-28"),
    ]
    told = audited(done, call(timeout=5.0, safe=True), tries=tries).to_dict()
    assert told == {
        "schema": "recloser.audit/1",
        "event": "call",
        "call_id": "c-1",
        "method": "tools/call",
        "started": "2026-11-21T09:00:00.123456Z",
        "ended": "2026-11-21T09:00:01.623456Z",
        "duration": 1.5,
        "caller": "alice",
        "caller_id": hash_of("alice"),
        "server": "search",
        "tool": "web",
        "known": True,
        "outcome": "error",
        "code": "timeout",
        "error_class": "transient",
        "attempts": [
            {
                "n": 1,
                "kind": "primary",
                "endpoint": "search/0",
                "duration": 0.25,
                "code": "server_error",
                "jsonrpc_code": -32603,
            },
            {
                "n": 2,
                "kind": "retry",
                "endpoint": "search/0",
                "duration": 0.25,
                "code": "timeout",
                "jsonrpc_code": None,
            },
        ],
        "retries": 1,
        "delay": 0.05,
        "circuit_before": "closed",
        "circuit_after": "open",
        "protocol_version": "2026-07-28",
        "trace_id": "0" * 31 + "1",
        "span_id": "0" * 15 + "2",
        "policy": {"timeout": 5.0, "safe": True},
        "arguments": {"hmac_sha256": hash_of('{"q":"tower"}'), "bytes": 13},
        "result": None,
    }


@pytest.mark.parametrize(
    "kind",
    [AuditRecord, AuditGap, AuditPolicy, AuditedArguments, AuditedResult],
    ids=lambda k: k.__name__,
)
def test_every_field_of_a_record_is_in_its_line(kind: Any) -> None:
    told = {
        AuditRecord: lambda: audited(result={"content": []}),
        AuditGap: lambda: AuditGap(lost=1, since=BEGAN, until=BEGAN),
        AuditPolicy: lambda: audited().policy,
        AuditedArguments: lambda: audited().arguments,
        AuditedResult: lambda: audited(result={"content": []}).result,
    }[kind]()
    assert [name for name in told.to_dict() if name != "ended"] == [field.name for field in fields(kind)]


@pytest.mark.parametrize(("given", "shown"), [(5, "5.0"), (5.0, "5.0"), (None, "None")])
def test_the_timeout_is_a_number_of_one_kind(given: float | None, shown: str) -> None:
    assert str(AuditPolicy(timeout=given, safe=True).to_dict()["timeout"]) == shown


def test_a_moment_of_any_time_zone_is_told_in_utc() -> None:
    kept: list[AuditRecord] = []
    there = datetime(2026, 11, 21, 4, 0, tzinfo=timezone(timedelta(hours=-5)))
    Auditor(kept.append)(finished(duration=0.0), call(), None, there, ())
    told = kept[0].to_dict()
    assert told["started"] == told["ended"] == "2026-11-21T09:00:00.000000Z"


def test_a_rejected_call_is_audited_with_its_arguments() -> None:
    done = finished(outcome="error", code="circuit_open", type="transient", attempts=0)
    told = audited(done)
    assert (told.attempts, told.code, told.error_class) == ((), "circuit_open", "transient")
    assert told.arguments.hmac_sha256 == hash_of('{"q":"tower"}')


def test_an_unknown_tool_is_audited_by_the_name_that_the_caller_used() -> None:
    done = finished(server=None, name="", key="serch__web", known=False, outcome="error", code="unknown_tool")
    told = audited(done)
    assert (told.server, told.tool, told.known) == (None, "serch__web", False)


def test_nobody_asked() -> None:
    told = audited(finished(caller=None))
    assert (told.caller, told.caller_id) == (None, None)


# --- names


@pytest.mark.parametrize("name", ["ghp_abcdefghij0123456789", "token=abcdef", "https://u:p4ssw0rd@h/x"])
def test_a_name_that_looks_like_a_secret_is_hidden(name: str) -> None:
    told = audited(finished(caller=name, name=name))
    assert MASK in told.tool
    assert told.caller == told.tool
    assert told.caller_id == hash_of(name)


def test_a_secret_of_the_configuration_is_hidden_in_a_name_and_so_is_one_that_comes_later() -> None:
    current = Redactor(["hunter2hunter2"])
    kept: list[AuditRecord] = []
    auditor = Auditor(kept.append, redactor=lambda: current)
    for name in ("say hunter2hunter2", "say correcthorse"):
        auditor(finished(caller=name), call(), None, BEGAN, ())
    current = Redactor(["correcthorse"])
    auditor(finished(caller="say correcthorse"), call(), None, BEGAN, ())
    assert [one.caller for one in kept] == [f"say {MASK}", "say correcthorse", f"say {MASK}"]


def test_a_long_name_is_cut_and_told_apart_by_its_hash() -> None:
    one, other = (audited(finished(caller="x" * 1000 + end, name="y" * 1000)) for end in "ab")
    assert one.caller == other.caller == "x" * 255 + "…"
    assert one.tool == "y" * 255 + "…"
    assert one.caller_id != other.caller_id


def test_a_name_cannot_forge_a_line() -> None:
    told = audited(finished(caller='a\n{"event":"call"}\x1b[31m\u2028\ud800'))
    assert len(json.dumps(told.to_dict()).splitlines()) == 1
    assert told.caller == 'a\n{"event":"call"}\ufffd'


# --- arguments


def test_equal_arguments_have_equal_hashes_whatever_their_order() -> None:
    def hashed(arguments: Any, **options: Any) -> str | None:
        return audited(made=call(params={"name": "web", "arguments": arguments}), **options).arguments.hmac_sha256

    assert hashed({"a": 1, "b": [True, None]}) == hashed({"b": [True, None], "a": 1})
    assert hashed({"a": 1}) != hashed({"a": 2})
    assert hashed({"a": 1}) != hashed({"a": 1}, key=b"another key of 16 bytes")
    assert hashed({"a": 1}, key=None) != hashed({"a": 1}, key=None)


def test_the_size_of_arguments_is_that_of_their_canonical_json_in_utf_8() -> None:
    told = audited(made=call(params={"name": "web", "arguments": {"ä": "🙂"}})).arguments
    assert told == AuditedArguments(hmac_sha256=hash_of('{"ä":"🙂"}'), bytes=len('{"ä":"🙂"}'.encode()))


@pytest.mark.parametrize(
    ("params", "hashed"),
    [
        ({"name": "brief", "arguments": {"a": "b"}}, '{"a":"b"}'),
        ({"uri": "note://1"}, "{}"),
        ({"ref": {"name": "x"}, "argument": {"name": "n", "value": "v"}}, '{"argument":{"name":"n","value":"v"}}'),
    ],
)
def test_the_arguments_of_every_method_are_hashed_without_the_name_of_the_thing(params: Any, hashed: str) -> None:
    assert audited(made=call(params=params)).arguments.hmac_sha256 == hash_of(hashed)


class Odd(Mapping[str, Any]):
    def __getitem__(self, key: str) -> Any:
        raise RuntimeError("no")

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError("no")

    def __len__(self) -> int:
        raise RuntimeError("no")


REFUSED = {"outcome": "error", "code": "unknown_tool", "type": "critical", "attempts": 0, "known": False}


@pytest.mark.parametrize(
    ("arguments", "least"),
    [
        ({"q": object()}, 5),
        ({"q": {1, 2}}, 5),
        ({"q": "x" * 2_000_000}, 2_000_000),
        ({"q": 1, 2: 3}, 13),
        (Odd(), 0),
        ([[]] * 1000, 2000),
    ],
    ids=["no JSON", "a set", "too large", "names of two kinds", "hostile", "too many"],
)
def test_what_was_refused_and_never_sent_may_be_anything(arguments: Any, least: int) -> None:
    told = audited(finished(**REFUSED), call(params={"name": "web", "arguments": arguments})).arguments
    assert told.hmac_sha256 is None
    assert told.bytes >= least


def test_what_was_refused_is_hashed_where_it_is_json() -> None:
    made = call(params={"name": "web", "arguments": {"q": "\ud800"}})
    told = audited(finished(**REFUSED), made).arguments
    assert told.hmac_sha256 is not None


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ValueError, match="the audit's key must have at least 16 bytes, got 15"):
        Auditor(print, key=b"x" * 15)


# --- a sink that fails


def test_a_sink_that_raises_fails_no_call_and_is_told_once_a_burst(caplog: pytest.LogCaptureFixture) -> None:
    broken = True
    kept: list[AuditRecord] = []

    def sink(one: AuditRecord) -> None:
        if broken:
            raise OSError("no")
        kept.append(one)

    auditor = Auditor(sink)
    with caplog.at_level(logging.INFO):
        for broken, calls in ((True, 50), (False, 20), (True, 7), (False, 150), (True, 2)):  # noqa: B007 - the sink reads it
            for _ in range(calls):
                auditor(finished(), call(), None, BEGAN, ())
    assert [one.getMessage() for one in caplog.records] == [
        "the audit failed; this is said once, until it works again",
        "the audit works again; 57 records were lost",
        "the audit failed; this is said once, until it works again",
    ]
    assert len(kept) == 170
