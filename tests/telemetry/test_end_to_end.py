"""From a program through its router to servers in processes of their own, and from all of them to one collector.

Servers over stdio and HTTP, in both eras of the protocol, each with an SDK of its own; OTLP over the wire, decoded.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.otlp import OtlpReceiver

pytestmark = [pytest.mark.thorough, pytest.mark.processes]

TESTS = Path(__file__).parents[1]
SUPPORT = TESTS / "support"
TOKEN = "token-of-a-test"

STDIO = {"pipe_new": "modern", "pipe_old": "legacy"}
HTTP = {"web_new": "modern", "web_old": "legacy"}
SERVERS = [*STDIO, *HTTP]

Span = dict[str, Any]


def command(name: str, collector: OtlpReceiver, *words: str) -> list[str]:
    return [sys.executable, str(SUPPORT / "traced_server.py"), name, collector.url, *words]


@dataclass(frozen=True, kw_only=True)
class Rig:
    """A collector, and HTTP servers that send to it."""

    collector: OtlpReceiver
    urls: dict[str, str]
    token_files: dict[str, str]

    def run(self, mode: str, scenarios: list[str], **more: Any) -> Told:
        """Run a traced program against all servers, and return what it and the collector have to tell."""
        self.collector.clear()
        order = {
            "mode": mode,
            "collector": self.collector.url,
            "stdio": {name: command(name, self.collector, "--era", era) for name, era in STDIO.items()},
            "http": self.urls,
            "token_files": self.token_files,
            "token": TOKEN,
            "scenarios": scenarios,
        } | more
        done = subprocess.run(
            [sys.executable, str(SUPPORT / "traced_router.py"), json.dumps(order)],
            cwd=TESTS,
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return Told(answers=json.loads(done.stdout), collector=self.collector)


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    directory = tmp_path_factory.mktemp("tokens")
    with OtlpReceiver() as collector, ExitStack() as stack:
        urls, files = {}, {}
        running = {}
        for name, era in HTTP.items():
            file = directory / name
            file.write_text(TOKEN, encoding="utf-8")
            files[name] = str(file)
            words = ["--transport", "http", "--era", era, "--token-file", str(file), "--until-stdin-closes"]
            running[name] = stack.enter_context(
                subprocess.Popen(
                    command(name, collector, *words), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
                )
            )
        for name, process in running.items():
            assert process.stdout is not None
            urls[name] = process.stdout.readline().strip()
        yield Rig(collector=collector, urls=urls, token_files=files)


@dataclass(frozen=True, kw_only=True)
class Told:
    """What happened: what the program saw, and what the collector received."""

    answers: dict[str, Any]
    collector: OtlpReceiver

    def trace(self, scenario: str, *, servers: int = 0) -> list[Span]:
        """The spans of one scenario's trace, once `servers` spans of servers have arrived in it."""

        def spans(collector: OtlpReceiver) -> list[Span]:
            (root,) = collector.named(scenario)
            return collector.traces()[root["trace_id"]]

        self.collector.wait(lambda collector: sum(each["kind"] == "SERVER" for each in spans(collector)) >= servers)
        return spans(self.collector)


def tree(spans: list[Span], parent: Span | None = None) -> list[Any]:
    """The spans below one: name, kind, status, and what is below each."""
    parent_id = None if parent is None else parent["span_id"]
    return [
        (span["name"], span["kind"], span["status"], tree(spans, span))
        for span in spans
        if span["parent_id"] == parent_id
    ]


def one(spans: list[Span], name: str, **attributes: Any) -> Span:
    wanted = {key.replace("__", "."): value for key, value in attributes.items()}
    (found,) = [each for each in spans if each["name"] == name and wanted.items() <= each["attributes"].items()]
    return found


@pytest.fixture(scope="module")
def story(rig: Rig) -> Told:
    scenarios = ["success", "retried", "refused", "timed_out", "cancelled", "signed_out", "spread", "rejected"]
    return rig.run("ours", scenarios)


@pytest.mark.parametrize("server", SERVERS)
def test_a_call_that_succeeds_is_one_trace_across_processes(story: Told, server: str) -> None:
    spans = story.trace(f"success {server}", servers=1)
    served = ("tools/call echo", "SERVER", "UNSET", [])
    attempt = ("tools/call echo", "CLIENT", "UNSET", [served])
    call = ("execute_tool echo", "INTERNAL", "UNSET", [attempt])
    assert tree(spans) == [(f"success {server}", "INTERNAL", "UNSET", [call])]
    told = {span["kind"]: span["resource"]["service.name"] for span in spans}
    assert told == {"INTERNAL": "router", "CLIENT": "router", "SERVER": server}
    call_span, attempt_span = one(spans, "execute_tool echo"), next(each for each in spans if each["kind"] == "CLIENT")
    assert call_span["attributes"]["recloser.outcome"] == "success"
    assert call_span["attributes"]["recloser.attempt.count"] == 1
    assert attempt_span["attributes"]["recloser.server.name"] == server
    assert attempt_span["attributes"]["recloser.attempt.number"] == 1
    assert attempt_span["attributes"]["network.transport"] == ("pipe" if server in STDIO else "tcp")
    version = attempt_span["attributes"]["mcp.protocol.version"]
    assert version == next(each for each in spans if each["kind"] == "SERVER")["attributes"]["mcp.protocol.version"]
    assert (version >= "2026") is server.endswith("new")
    assert "error.type" not in call_span["attributes"] | attempt_span["attributes"]


@pytest.mark.parametrize("server", SERVERS)
def test_a_call_that_succeeds_at_the_second_try_is_no_error(story: Told, server: str) -> None:
    spans = story.trace(f"retried {server}", servers=2)
    assert story.answers[f"retried {server}"] == "done"
    name = "tools/call fail_once"
    first = (name, "CLIENT", "ERROR", [(name, "SERVER", "ERROR", [])])
    second = (name, "CLIENT", "UNSET", [(name, "SERVER", "UNSET", [])])
    call = ("execute_tool fail_once", "INTERNAL", "UNSET", [first, second])
    assert tree(spans) == [(f"retried {server}", "INTERNAL", "UNSET", [call])]
    told = one(spans, "execute_tool fail_once")["attributes"]
    assert (told["recloser.attempt.count"], told["recloser.retry.count"], told["recloser.outcome"]) == (2, 1, "success")
    attempts = [each["attributes"] for each in spans if each["kind"] == "CLIENT"]
    assert [each["recloser.attempt.number"] for each in attempts] == [1, 2]
    assert [each["recloser.attempt.kind"] for each in attempts] == ["primary", "retry"]
    assert attempts[0]["error.type"] == attempts[0]["rpc.response.status_code"] == "-32603"
    assert attempts[0]["recloser.retry.decision"] == "retry"
    assert "error.type" not in told | attempts[1]


@pytest.mark.parametrize("server", SERVERS)
def test_an_error_of_the_tool_itself_is_an_answer(story: Told, server: str) -> None:
    spans = story.trace(f"refused {server}", servers=1)
    assert story.answers[f"refused {server}"] is True
    served = ("tools/call refuse", "SERVER", "ERROR", [])
    attempt = ("tools/call refuse", "CLIENT", "ERROR", [served])
    call = ("execute_tool refuse", "INTERNAL", "UNSET", [attempt])
    assert tree(spans) == [(f"refused {server}", "INTERNAL", "UNSET", [call])]
    assert one(spans, "execute_tool refuse")["attributes"]["recloser.result.is_error"] is True
    assert next(each for each in spans if each["kind"] == "CLIENT")["attributes"]["error.type"] == "tool_error"


@pytest.mark.parametrize("server", SERVERS)
def test_the_span_of_an_attempt_that_timed_out_ends_at_the_timeout(story: Told, server: str) -> None:
    spans = story.trace(f"timed_out {server}", servers=1)
    assert story.answers[f"timed_out {server}"] == "timeout"
    call, attempt = one(spans, "execute_tool slow"), next(each for each in spans if each["kind"] == "CLIENT")
    assert (call["kind"], call["status"], attempt["status"]) == ("INTERNAL", "ERROR", "ERROR")
    assert call["attributes"]["error.type"] == attempt["attributes"]["error.type"] == "timeout"
    assert attempt["attributes"]["recloser.retry.decision"] == "not_safe"
    assert attempt["parent_id"] == call["span_id"]
    assert call["start"] <= attempt["start"] <= attempt["end"] <= call["end"]
    (served,) = [each for each in spans if each["kind"] == "SERVER"]
    assert served["parent_id"] == attempt["span_id"]


@pytest.mark.parametrize("server", SERVERS)
def test_a_caller_s_cancellation_is_no_error(story: Told, server: str) -> None:
    spans = story.trace(f"cancelled {server}", servers=1)
    assert story.answers[f"cancelled {server}"] == "CancelledError"
    call, attempt = one(spans, "execute_tool slow"), next(each for each in spans if each["kind"] == "CLIENT")
    assert (call["status"], attempt["status"]) == ("UNSET", "UNSET")
    assert call["attributes"]["recloser.outcome"] == "cancelled"
    assert "error.type" not in call["attributes"] | attempt["attributes"]


@pytest.mark.parametrize("server", HTTP)
def test_a_server_that_asks_for_credentials_is_tried_once(story: Told, server: str) -> None:
    spans = story.trace(f"signed_out {server}")
    assert story.answers[f"signed_out {server}"] == "unauthenticated"
    attempt = ("tools/call echo", "CLIENT", "ERROR", [])
    call = ("execute_tool echo", "INTERNAL", "ERROR", [attempt])
    assert tree(spans) == [(f"signed_out {server}", "INTERNAL", "UNSET", [call])]
    told = one(spans, "execute_tool echo")["attributes"]
    assert (told["error.type"], told["recloser.error.class"]) == ("unauthenticated", "auth")
    assert one(spans, "tools/call echo")["attributes"]["error.type"] == "unauthenticated"


@pytest.mark.parametrize("server", SERVERS)
def test_a_call_that_an_open_circuit_rejects_has_no_attempt(story: Told, server: str) -> None:
    spans = story.trace(f"rejected {server}")
    assert story.answers[f"rejected {server}"] == "circuit_open"
    call = ("execute_tool echo", "INTERNAL", "ERROR", [])
    before = (f"before {server}", "INTERNAL", "UNSET", [])
    assert tree(spans) == [(f"rejected {server}", "INTERNAL", "UNSET", [before, call])]
    told = one(spans, "execute_tool echo")["attributes"]
    assert (told["error.type"], told["recloser.attempt.count"]) == ("circuit_open", 0)
    assert told["recloser.circuit_breaker.state"] == "open"


@pytest.mark.parametrize("server", SERVERS)
def test_many_calls_at_once_are_one_trace_and_degraded_is_no_error(story: Told, server: str) -> None:
    spans = story.trace(f"spread {server}", servers=4)
    assert story.answers[f"spread {server}"] == {"degraded": True, "answered": 3}
    (root,) = tree(spans)
    (fan_out,) = root[3]
    assert fan_out[:3] == ("recloser.fan_out", "INTERNAL", "UNSET")
    calls = sorted(each[:3] for each in fan_out[3])
    assert calls == [("execute_tool echo", "INTERNAL", "UNSET")] * 3 + [("execute_tool slow", "INTERNAL", "ERROR")]
    for _, _, _, attempts in fan_out[3]:
        assert [(kind, [below[1] for below in served]) for _, kind, _, served in attempts] == [("CLIENT", ["SERVER"])]
    told = one(spans, "recloser.fan_out")["attributes"]
    assert told["recloser.degraded"] is True
    assert (told["recloser.fan_out.size"], told["recloser.fan_out.answered"]) == (4, 3)
    assert (told["recloser.fan_out.quorum"], told["recloser.fan_out.result"]) == (1, "degraded")


@pytest.mark.parametrize("server", SERVERS)
def test_connecting_is_a_trace_of_its_own_that_the_server_joins(story: Told, server: str) -> None:
    connects = [each for each in story.collector.named("recloser.connect") if each["parent_id"] is None]
    (connect,) = [each for each in connects if each["attributes"]["recloser.server.name"] == server]
    spans = story.collector.traces()[connect["trace_id"]]
    requests = [each for each in spans if each["parent_id"] == connect["span_id"]]
    assert {each["kind"] for each in requests} == {"CLIENT"}
    assert "tools/list" in {each["name"] for each in requests}
    (listed,) = [each for each in requests if each["name"] == "tools/list"]
    below = [each for each in spans if each["parent_id"] == listed["span_id"]]
    assert [(each["name"], each["kind"]) for each in below] == [("tools/list", "SERVER")]


def test_a_connection_that_dies_under_a_call_is_made_anew_in_a_trace_of_its_own_with_a_link(
    rig: Rig, tmp_path: Path
) -> None:
    pipes = {name: command(name, rig.collector, "--era", era) for name, era in STDIO.items()}
    for name, words in pipes.items():
        told = rig.run("ours", ["killed"], stdio={name: words}, http={}, mark=str(tmp_path / name))
        assert told.answers == {f"killed {name}": "done"}
        spans = told.trace(f"killed {name}", servers=1)
        attempts = [each for each in spans if each["kind"] == "CLIENT"]
        assert [(each["status"], each["attributes"].get("error.type")) for each in attempts] == [
            ("ERROR", "connection_lost"),
            ("UNSET", None),
        ]
        assert {each["name"] for each in spans if each["kind"] == "CLIENT"} == {"tools/call die_once"}
        assert one(spans, "execute_tool die_once")["status"] == "UNSET"
        first, again = told.collector.named("recloser.connect")
        assert first["links"] == []
        assert again["parent_id"] is None
        assert again["attributes"]["recloser.generation"] == 2
        assert [each["trace_id"] for each in again["links"]] == [spans[0]["trace_id"]]


def test_looking_whether_a_server_is_back_is_no_part_of_the_call_that_waits_for_it(rig: Rig) -> None:
    breaker = {"window": 120, "consecutive": 3, "open_for": 0.1, "open_cap": 0.2}
    told = rig.run("ours", ["recovered"], breakers=breaker)
    for server in SERVERS:
        assert told.answers[f"recovered {server}"] == "back"
        spans = told.trace(f"recovered {server}", servers=1)
        (served,) = [each for each in spans if each["kind"] == "SERVER"]
        names = {each["name"] for each in spans if each["kind"] == "CLIENT"}
        assert names == {"tools/call echo"}, (server, names)
        assert served["name"] == "tools/call echo"
        probes = [
            each
            for each in told.collector.named("recloser.probe")
            if each["attributes"]["recloser.server.name"] == server
        ]
        assert all(each["parent_id"] is None for each in probes)
        assert spans[0]["trace_id"] in {link["trace_id"] for each in probes for link in each["links"]}


def test_no_span_of_ours_holds_a_text_of_a_server(story: Told) -> None:
    everything = json.dumps([span for span in story.collector.spans() if span["scope"] == "recloser"])
    for text in ("not this time", "these are not the arguments", "hello", TOKEN):
        assert text not in everything


@pytest.mark.parametrize("mode", ["ours", "host", "host-quiet"])
def test_an_attempt_has_exactly_one_client_span_whoever_owns_the_provider(rig: Rig, mode: str) -> None:
    told = rig.run(mode, ["success"])
    for server in SERVERS:
        spans = told.trace(f"success {server}", servers=1)
        (client,) = [each for each in spans if each["kind"] == "CLIENT"]
        (served,) = [each for each in spans if each["kind"] == "SERVER"]
        assert served["parent_id"] == client["span_id"], server
        (attempt,) = [each for each in spans if each["name"] == "tools/call echo" and each["scope"] == "recloser"]
        assert attempt["kind"] == ("INTERNAL" if mode == "host" else "CLIENT")
        assert (client is attempt) is (mode != "host")
        assert client["scope"] == ("mcp-python-sdk" if mode == "host" else "recloser")
        requests = [
            each for each in told.collector.spans() if each["name"] == "tools/list" and each["kind"] == "SERVER"
        ]
        clients = {each["span_id"] for each in told.collector.spans() if each["kind"] == "CLIENT"}
        assert requests
        assert {each["parent_id"] for each in requests} <= clients


@pytest.mark.parametrize("mode", ["ours", "host"])
def test_a_server_is_told_of_the_trace_but_not_of_baggage_unless_that_is_switched_on(rig: Rig, mode: str) -> None:
    more = {"pipe_new": {"propagate": "none"}, "web_new": {"propagate": "trace+baggage"}}
    told = rig.run(mode, ["told"], more=more)
    keys = {
        server: sorted({"traceparent", "baggage"} & set(told.answers[f"told {server}"] or {})) for server in SERVERS
    }
    assert keys == {
        "pipe_new": [],
        "pipe_old": ["traceparent"],
        "web_new": ["baggage", "traceparent"],
        "web_old": ["traceparent"],
    }
    assert told.answers["told web_new"]["baggage"] == "tenant=acme"
