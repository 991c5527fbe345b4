"""Every knob checks itself and names the wrong value."""

from __future__ import annotations

import pickle
import re
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest
from mcp import StdioServerParameters

from recloser import Breaker, Bulkhead, Limits, Retry, Server, Timeouts
from recloser.checks import MismatchError
from recloser.options import is_loopback

WRONG: list[tuple[Any, dict[str, Any], type[Exception], str]] = [
    (Timeouts, {"total": 0}, ValueError, "timeouts.total must be more than 0, got 0"),
    (Timeouts, {"attempt": -1.0}, ValueError, "timeouts.attempt must be more than 0, got -1.0"),
    (Timeouts, {"connect": "5"}, TypeError, "timeouts.connect must be a number, got '5'"),
    (Timeouts, {"start": True}, TypeError, "timeouts.start must be a number, got True"),
    (Timeouts, {"callback": float("nan")}, TypeError, "timeouts.callback must be a number, got nan"),
    (Timeouts, {"ceiling": 0}, ValueError, "timeouts.ceiling must be more than 0, got 0"),
    (Timeouts, {"total": 5, "attempt": 6}, ValueError, "timeouts.attempt must not exceed timeouts.total, got 6 and 5"),
    (Retry, {"attempts": 0}, ValueError, "retry.attempts must be at least 1, got 0"),
    (Retry, {"attempts": 2.5}, TypeError, "retry.attempts must be a whole number, got 2.5"),
    (Retry, {"budget": -1}, ValueError, "retry.budget must be at least 0, got -1"),
    (Retry, {"backoff": -0.1}, ValueError, "retry.backoff must be at least 0, got -0.1"),
    (Breaker, {"rate": 1.5}, ValueError, "breaker.rate must be at most 1, got 1.5"),
    (Breaker, {"rate": 0}, ValueError, "breaker.rate must be more than 0, got 0"),
    (Breaker, {"probes": True}, TypeError, "breaker.probes must be a whole number, got True"),
    (Breaker, {"open_for": 9, "open_cap": 8}, ValueError, "breaker.open_for must not exceed breaker.open_cap"),
    (Bulkhead, {"limit": 0}, ValueError, "bulkhead.limit must be at least 1, got 0"),
    (Timeouts, {"total": 10**400}, ValueError, "timeouts.total must be a number, got a whole number beyond any float"),
    (Retry, {"server_faults": "no"}, TypeError, "retry.server_faults must be True or False, got 'no'"),
    (Breaker, {"enabled": 0}, TypeError, "breaker.enabled must be True or False, got 0"),
    (Limits, {"message": 1}, ValueError, "limits.message must be at least 1024, got 1"),
    (Limits, {"stderr_tail": -1}, ValueError, "limits.stderr_tail must be at least 0, got -1"),
]


@pytest.mark.parametrize(("options", "given", "kind", "said"), WRONG)
def test_a_wrong_value_is_refused_by_name(options: Any, given: Any, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=re.escape(said)):
        options(**given)


BAD_SERVERS: list[tuple[tuple[Any, ...], dict[str, Any], type[Exception], str]] = [
    ((7, "http://127.0.0.1"), {}, TypeError, "a server's name must be a string, got 7"),
    (("a__b",), {"command": "x"}, ValueError, "may not contain '__'"),
    (("-a",), {"command": "x"}, ValueError, "begins and ends with a letter or digit"),
    (("a",), {}, ValueError, "exactly one of target, url and command, got none of them"),
    (("a",), {"url": "http://127.0.0.1", "command": "x"}, ValueError, "got url and command"),
    (("a",), {"command": "x", "transport": "sse"}, ValueError, "transport 'sse' needs a url"),
    (("a", "http://127.0.0.1"), {"transport": "stdio"}, ValueError, "needs a command, not a url"),
    (("a", "ftp://host/x?token=secret"), {}, ValueError, "must begin with http:// or https://, got 'ftp://host/x'"),
    (("a", "http://me:secret@host/x"), {}, ValueError, "http://host/x would send everything in plain text"),
    (("a", "HTTP://me:secret@host/x"), {}, ValueError, "HTTP://host/x would send everything in plain text"),
    (("a", "https://host"), {"required": True, "lazy": True}, ValueError, "cannot be both required and lazy"),
    (("a", "https://host"), {"tags": "finance"}, TypeError, "tags must be a set of strings, got 'finance'"),
    (("a", "https://host"), {"breaker": Breaker(window=10)}, ValueError, "at least twice timeouts.attempt"),
]


@pytest.mark.parametrize(("given", "more", "kind", "said"), BAD_SERVERS)
def test_a_server_that_cannot_be_is_refused_with_what_is_wrong_and_without_its_secrets(
    given: tuple[Any, ...], more: dict[str, Any], kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind, match=re.escape(said)) as caught:
        Server(*given, **more)

    assert "secret" not in str(caught.value)


URL = {"url": "https://host/mcp"}
COMMAND = {"command": "x"}
UNUSABLE: list[tuple[dict[str, Any], str]] = [
    ({**URL, "headers": {"X": "secret\n"}}, "the header 'X' ends with a line end, as what comes from a file"),
    ({**URL, "headers": {"X": "secret\r\n"}}, "the header 'X' ends with a line end"),
    ({**URL, "headers": {"X": "secret\r\nY: 1"}}, "the header 'X' holds a line end"),
    ({**URL, "headers": {"X": "secret\rY"}}, "the header 'X' holds a line end"),
    ({**URL, "headers": {"X": "secret\0"}}, "the header 'X' holds a character that is no visible one of ASCII"),
    ({**URL, "headers": {"X": "secrét"}}, "the header 'X' holds a character that is no visible one of ASCII"),
    ({**URL, "headers": {"X": " secret"}}, "the header 'X' begins or ends with a blank"),
    ({**URL, "headers": {"X": "secret\t"}}, "the header 'X' begins or ends with a blank"),
    ({**URL, "headers": {"": "secret"}}, "a header must have a name"),
    ({**URL, "headers": {"A b": "secret"}}, "the header 'A b' cannot have this name"),
    ({**URL, "headers": {"A:": "secret"}}, "the header 'A:' cannot have this name"),
    ({**URL, "headers": {"X\n": "secret"}}, "the header 'X\\n' cannot have this name"),
    ({**URL, "headers": {"Content-length": "5"}}, "the header 'Content-length' is set for each request; leave it out"),
    ({"url": "https://host/secret\n"}, "url ends with a line end, as what comes from a file or a variable often does"),
    ({"url": "https://ho st/secret"}, "url holds a blank, a line end or a control character"),
    ({"url": "https://host/\tsecret"}, "url holds a blank"),
    ({"url": "https://host/\u2028secret"}, "url holds a blank"),
    ({"url": "https://host/\ud800secret"}, "url holds half of a character"),
    ({"url": "https:///secret"}, "url must name a host, and a port only by its number"),
    ({"url": "https://:80/secret"}, "url must name a host"),
    ({"url": "https://host:secret/"}, "url must name a host"),
    ({"url": "https://host:0/secret"}, "url must name a host"),
    ({"url": "https://.secret.example/"}, "url must name a host"),
    ({"url": "https://secret..example/"}, "url must name a host"),
    ({"url": f"https://{'secret' * 11}.example/"}, "url must name a host"),
    ({"url": "https://1.2.3.999/secret"}, "url must name a host"),
    ({"url": "https://[secret/"}, "url must name a host"),
    ({"command": ""}, "command must not be empty"),
    ({"command": " "}, "command must not be empty"),
    ({"command": "secret\0"}, "command holds a NUL character"),
    ({"command": "secret\ud800"}, "command holds half of a character"),
    ({**COMMAND, "args": ["a", "secret\0"]}, "args[1] holds a NUL character"),
    ({**COMMAND, "cwd": "secret\0"}, "cwd holds a NUL character"),
    ({**COMMAND, "env": {"": "secret"}}, "an environment variable must have a name"),
    ({**COMMAND, "env": {"A=secret": ""}}, "the environment variable 'A' has a '=' in its name"),
    ({**COMMAND, "env": {"A\0": "secret"}}, "the name of an environment variable holds a NUL character"),
    ({**COMMAND, "env": {"A": "secret\0"}}, "the environment variable 'A' holds a NUL character"),
    ({"target": StdioServerParameters(command="x", args=["secret\0"])}, "args[0] holds a NUL character"),
    ({"target": StdioServerParameters(command="")}, "command must not be empty"),
]


@pytest.mark.parametrize(("given", "said"), UNUSABLE)
def test_what_no_server_could_ever_be_reached_by_is_refused_without_being_shown(
    given: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(f"server 'a': {said}")) as caught:
        Server("a", **given)

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "given",
    [
        {**URL, "headers": {"X": "", "x-api_key!": "a\tb c~", "Authorization": "Bearer a.b-c="}},
        {"url": "https://exämple.com./ü%20x?a=b#c"},
        {"url": "http://127.0.0.1:8080"},
        {"url": "https://[2001:db8::1]:1/"},
        {"url": "https://u:p%40ss@a_b.example/"},
        {"command": Path("x"), "args": (Path("y"), ""), "env": {"A": "a=b\n", "É": Path("z")}, "cwd": Path()},
        {"command": "x\udcff"},
        {"target": StdioServerParameters(command="x", cwd=Path())},
    ],
)
def test_what_a_server_can_be_reached_by_is_taken(given: dict[str, Any]) -> None:
    assert Server("a", **given)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"trusted": "no"}, "trusted must be True or False, got 'no'"),
        ({"allow_plaintext": 1}, "allow_plaintext must be True or False, got 1"),
        ({"idempotent": "*"}, "idempotent must be a list of strings, got str"),
        ({"include": True}, "include must be a list of strings, got bool"),
        ({"args": ["a", 5]}, "args[1] must be a string, got int"),
        ({"env": ["A=secret"]}, "env must be a mapping of names to strings, got list"),
        ({"env": {"A": 5}}, "env['A'] must be a string, got int"),
        ({"headers": {5: "secret"}}, "headers: each name must be a string, got int"),
        ({"headers": {"X": b"secret"}}, "headers['X'] must be a string, got bytes"),
        ({"command": ["secret"]}, "command must be a string, got list"),
        ({"command": None, "url": Path("secret")}, "url must be a string, got PosixPath"),
    ],
)
def test_a_value_of_a_wrong_type_is_refused_by_name_before_it_counts_as_something_else(
    wrong: dict[str, Any], said: str
) -> None:
    with pytest.raises(TypeError, match=re.escape(said)) as caught:
        Server("a", **{**COMMAND, **wrong})

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"transport": "ws"}, "transport must be 'stdio', 'http' or 'sse', got 'ws'"),
        ({"era": "new"}, "era must be 'auto', 'legacy' or 'modern', got 'new'"),
        ({"propagate": "all"}, "propagate must be 'trace', 'trace+baggage' or 'none', got 'all'"),
    ],
)
def test_a_word_that_is_not_known_is_refused_with_those_that_are(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        Server("a", **URL, **wrong)


def test_values_that_do_not_fit_each_other_are_named_also_in_another_process() -> None:
    with pytest.raises(MismatchError) as caught:
        Timeouts(attempt=61)
    copy = pickle.loads(pickle.dumps(caught.value))

    assert (copy.fields, str(copy)) == (("attempt", "total"), str(caught.value))


def test_options_are_frozen_and_the_window_need_not_fit_a_breaker_that_is_off() -> None:
    server = Server("a", "https://host", breaker=Breaker(enabled=False, window=1), tags={"x"})  # type: ignore[arg-type]

    assert server.tags == frozenset({"x"})
    with pytest.raises(FrozenInstanceError):
        server.name = "b"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("server", "kind"),
    [
        (Server("a", "https://host/mcp"), "http"),
        (Server("a", url="https://host/sse?x=1"), "sse"),
        (Server("a", "https://host/mcp", transport="sse"), "sse"),
        (Server("a", "https://host/sse", transport="http"), "http"),
        (Server("a", command="x"), "stdio"),
    ],
)
def test_a_server_knows_how_it_is_reached(server: Server, kind: str) -> None:
    assert server.kind == kind


def test_a_server_shows_nothing_that_may_be_secret() -> None:
    remote = Server("a", "https://host/mcp?key=secret", headers={"Authorization": "secret"})
    local = Server("b", command="x", args=["--token", "secret"], env={"TOKEN": "secret"})

    assert "secret" not in repr(remote) + repr(local)


@pytest.mark.parametrize(("asked", "given"), [(None, 60.0), (5, 5), (90, 60.0)])
def test_a_caller_gets_what_he_asks_for_up_to_the_total(asked: float | None, given: float) -> None:
    assert Timeouts().budget(asked) == given


def test_a_ceiling_lets_a_caller_ask_for_more_than_the_total_or_for_less() -> None:
    assert Timeouts(ceiling=120).budget(90) == 90
    assert Timeouts(ceiling=10).budget(None) == 10


@pytest.mark.parametrize("url", ["http://localhost:1/x", "http://127.8.9.1", "http://[::1]:80/", "http://a.localhost"])
def test_this_machine_is_known_by_its_names(url: str) -> None:
    assert is_loopback(url)


@pytest.mark.parametrize("url", ["http://host", "http://127.0.0.1.host", "http://localhost@host/", "http://10.0.0.1"])
def test_other_machines_are_not_taken_for_this_one(url: str) -> None:
    assert not is_loopback(url)
