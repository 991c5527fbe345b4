"""What a trace of a call looks like, whatever becomes of the call."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from opentelemetry import trace
from spans_kit import QUICK, echo, failing, hangs, traced

from recloser import Breaker, Call, Retry, Router, RouterError, error_of
from support.peers import ALL, Peer, Refusal, said
from support.traces import Traces


def test_a_call_is_one_span_and_its_attempt_another_below_it() -> None:
    traces = Traces()
    result = traced(Peer(), echo, traces)
    assert not result.is_error
    call = traces.one("execute_tool echo")
    assert call.shape == ["execute_tool echo UNSET", ["tools/call echo UNSET"]]
    assert call.kind == "INTERNAL"
    assert call.attributes | {"recloser.call.id": "-"} == {
        "mcp.method.name": "tools/call",
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "echo",
        "gen_ai.tool.type": "extension",
        "recloser.server.name": "peer",
        "recloser.call.id": "-",
        "recloser.circuit_breaker.state": "closed",
        "recloser.timeout": 20,
        "recloser.outcome": "success",
        "recloser.attempt.count": 1,
        "recloser.retry.count": 0,
        "recloser.result.is_error": False,
    }
    (attempt,) = call.children
    assert attempt.kind == "CLIENT"
    assert attempt.attributes == {
        "mcp.method.name": "tools/call",
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "echo",
        "gen_ai.tool.type": "extension",
        "mcp.protocol.version": "2026-07-28",
        "recloser.server.name": "peer",
        "recloser.endpoint.name": "peer/0",
        "recloser.attempt.number": 1,
        "recloser.attempt.kind": "primary",
        "recloser.circuit_breaker.state": "closed",
    }


def test_seconds_are_doubles_whatever_kind_of_number_they_were_given_as() -> None:
    traces = Traces()

    async def calls(router: Router) -> None:
        await router.call_tool("peer__echo", idempotent=True, timeout=5)

    traced(Peer(), calls, traces, chaos=[failing(1, "overloaded", retry_after=2)])
    call = traces.one("execute_tool echo")
    told = [call["recloser.timeout"], call["recloser.retry.delay"], call.children[1]["recloser.retry.delay"]]
    assert told == [5, 2, 2]
    assert {type(each) for each in told} == {float}


def test_a_call_that_succeeded_after_a_retry_is_no_error_though_its_first_attempt_is() -> None:
    traces = Traces()
    traced(Peer(), echo, traces, chaos=[failing(1)])
    call = traces.one("execute_tool echo")
    assert call.shape == ["execute_tool echo UNSET", ["tools/call echo ERROR"], ["tools/call echo UNSET"]]
    first, second = call.children
    assert (call["recloser.attempt.count"], call["recloser.retry.count"]) == (2, 1)
    assert call["error.type"] is None
    assert (first["error.type"], first["recloser.retry.decision"]) == ("server_error", "retry")
    assert (second["recloser.attempt.number"], second["recloser.attempt.kind"]) == (2, "retry")
    assert second["recloser.retry.delay"] == call["recloser.retry.delay"] == 0.025
    assert second["recloser.retry.decision"] is None


@pytest.mark.parametrize(
    ("chaos", "options", "decision"),
    [
        (failing(9), {}, "max_attempts"),
        (failing(9), {"retry": Retry(budget=0)}, "budget"),
        (failing(9, "overloaded", retry_after=90.0), {"retry": Retry(retry_after_slack=90)}, "deadline"),
        (failing(9, "invalid_request"), {}, "not_retryable"),
    ],
)
def test_the_last_attempt_says_why_no_other_followed(chaos: Any, options: Any, decision: str) -> None:
    traces = Traces()
    traced(Peer(), echo, traces, chaos=[chaos], **options)
    last = traces.one("execute_tool echo").children[-1]
    assert (last.status, last["recloser.retry.decision"]) == ("ERROR", decision)


def test_a_failed_call_is_an_error_with_its_code_and_class() -> None:
    traces = Traces()
    result = traced(Peer(), echo, traces, chaos=[failing(9, "forbidden")])
    call = traces.one("execute_tool echo")
    assert call.status == "ERROR"
    assert call.span.status.description == "forbidden"
    assert [call[key] for key in ("error.type", "recloser.error.class", "recloser.delivered", "recloser.outcome")] == [
        "forbidden", "auth", "no", "error",
    ]  # fmt: skip
    error = error_of(result)
    assert error is not None
    assert error.trace_id == f"{call.ids[0]:032x}"


def test_a_timed_out_attempt_ends_at_its_timeout() -> None:
    traces = Traces()
    peer = Peer(on={"echo": hangs})
    traced(peer, lambda router: router.call_tool("peer__echo"), traces)
    (attempt,) = traces.one("execute_tool echo").children
    assert (attempt["error.type"], attempt["recloser.retry.decision"]) == ("timeout", "not_safe")


def test_a_call_that_an_open_circuit_rejects_has_no_attempt() -> None:
    traces = Traces()

    async def calls(router: Router) -> None:
        for _ in range(2):
            await router.call_tool("peer__echo")

    traced(Peer(), calls, traces, chaos=[failing(9)], breaker=Breaker(consecutive=1))
    rejected = traces.named("execute_tool echo")[1]
    assert rejected.shape == ["execute_tool echo ERROR"]
    assert (rejected["error.type"], rejected["recloser.circuit_breaker.state"]) == ("circuit_open", "open")
    assert rejected["recloser.attempt.count"] == 0


@pytest.mark.parametrize(
    ("name", "code"), [("peer__no-such", "unknown_tool"), ("sk-ant-1234567890abcdef", "unknown_tool")]
)
def test_a_tool_that_does_not_exist_is_seen_without_its_name(name: str, code: str) -> None:
    traces = Traces()
    traced(Peer(), lambda router: router.call_tool(name), traces)
    call = traces.one("execute_tool _OTHER")
    assert call["error.type"] == code
    assert name not in str(call.attributes)


def test_a_callers_cancellation_is_no_error() -> None:
    traces = Traces()

    async def cancelled(router: Router) -> None:
        task = asyncio.create_task(router.call_tool("peer__echo"))
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    traced(Peer(on={"echo": hangs}), cancelled, traces)
    call = traces.one("execute_tool echo")
    assert call.shape == ["execute_tool echo UNSET", ["tools/call echo UNSET"]]
    assert call["recloser.outcome"] == "cancelled"
    assert call["error.type"] is None


def test_a_tools_own_error_marks_the_attempt_as_the_conventions_say_and_the_call_as_answered() -> None:
    async def refuses(line: Any, params: Any) -> Any:
        return said("no such city", isError=True)

    traces = Traces()
    traced(Peer(on={"echo": refuses}), echo, traces)
    call = traces.one("execute_tool echo")
    assert call.shape == ["execute_tool echo UNSET", ["tools/call echo ERROR"]]
    assert call["recloser.result.is_error"] is True
    assert call.children[0]["error.type"] == "tool_error"


def test_a_json_rpc_error_has_its_code_on_the_attempt_and_ours_on_the_call() -> None:
    async def refuses(line: Any, params: Any) -> Any:
        raise Refusal(-32602, "token=hunter2hunter2")

    traces = Traces()
    traced(Peer(on={"echo": refuses}), echo, traces)
    call = traces.one("execute_tool echo")
    (attempt,) = call.children
    assert (attempt["error.type"], attempt["rpc.response.status_code"]) == ("-32602", "-32602")
    assert call["error.type"] == "invalid_request"
    assert "hunter2" not in str([node.span.to_json() for node in (call, attempt)])


def test_resources_prompts_and_completions_are_seen_too_but_no_uri() -> None:
    async def resources(line: Any, params: Any) -> Any:
        return {"resources": [{"uri": "mem://secret-place", "name": "x"}]}

    async def read(line: Any, params: Any) -> Any:
        return {"contents": [{"uri": "mem://secret-place", "text": "."}]}

    async def prompts(line: Any, params: Any) -> Any:
        return {"prompts": [{"name": "greet"}]}

    async def get(line: Any, params: Any) -> Any:
        return {"messages": []}

    async def completions(line: Any, params: Any) -> Any:
        return {"completion": {"values": []}}

    on = {"resources/list": resources, "resources/read": read, "prompts/list": prompts, "prompts/get": get}
    peer = Peer(on=on | {"completion/complete": completions})
    peer.capabilities = ALL
    traces = Traces()

    async def calls(router: Router) -> None:
        import mcp_types as types

        await router.read_resource("mem://secret-place")
        await router.get_prompt("peer__greet")
        await router.complete(types.PromptReference(type="ref/prompt", name="peer__greet"), {"name": "a", "value": "b"})

    traced(peer, calls, traces)
    assert traces.one("read_resource").shape == ["read_resource UNSET", ["resources/read UNSET"]]
    assert traces.one("get_prompt greet").shape == ["get_prompt greet UNSET", ["prompts/get greet UNSET"]]
    assert traces.one("get_prompt greet")["gen_ai.prompt.name"] == "greet"
    assert traces.one("complete").shape == ["complete UNSET", ["completion/complete UNSET"]]
    assert "secret-place" not in str([node.attributes for node in traces.trees()])


def test_a_fan_out_is_the_parent_of_its_calls_and_says_whether_it_is_degraded() -> None:
    traces = Traces()
    other = Peer(on={"echo": hangs})

    async def calls(router: Router) -> None:
        spread = await router.fan_out([Call.tool("peer__echo"), Call.tool("other__echo")], timeout=1)
        assert spread.degraded

    traced(Peer(), calls, traces, servers=(other.server("other", timeouts=QUICK),))
    top = traces.one("recloser.fan_out")
    assert [child.name for child in top.children] == ["execute_tool echo"] * 2
    assert top.attributes == {
        "recloser.fan_out.size": 2,
        "recloser.fan_out.answered": 1,
        "recloser.fan_out.quorum": 1,
        "recloser.fan_out.result": "degraded",
        "recloser.degraded": True,
    }
    assert (top.status, top.kind) == ("UNSET", "INTERNAL")


def test_a_fan_out_below_its_quorum_is_an_error() -> None:
    traces = Traces()

    async def calls(router: Router) -> None:
        with pytest.raises(RouterError):
            await router.fan_out([Call.tool("peer__echo")])

    traced(Peer(), calls, traces, chaos=[failing(9, "forbidden")])
    top = traces.one("recloser.fan_out")
    assert (top.status, top["error.type"], top["recloser.fan_out.result"]) == ("ERROR", "quorum_missed", "failed")


@pytest.mark.parametrize(("broken", "expected"), [(0, "complete"), (1, "degraded"), (2, "failed")])
def test_a_stream_has_such_a_span_too_which_is_not_current_between_replies(broken: int, expected: str) -> None:
    traces = Traces()

    async def calls(router: Router) -> None:
        async for _ in router.stream([Call.tool("peer__echo"), Call.tool("peer__echo")]):
            assert not trace.get_current_span().get_span_context().is_valid

    traced(Peer(), calls, traces, chaos=[failing(broken, "forbidden")])
    top = traces.one("recloser.fan_out")
    assert (top["recloser.fan_out.result"], len(top.children)) == (expected, 2)


def test_a_stream_that_is_left_early_ends_its_span_without_a_verdict() -> None:
    traces = Traces()

    async def calls(router: Router) -> None:
        stream = router.stream([Call.tool("peer__echo"), Call.tool("peer__echo")])
        async for _ in stream:
            break
        await stream.aclose()

    traced(Peer(), calls, traces)
    assert traces.one("recloser.fan_out")["recloser.fan_out.result"] is None


def test_the_callers_own_span_is_the_parent() -> None:
    traces = Traces()

    async def calls(router: Router) -> None:
        with traces.tracer.start_as_current_span("agent"):
            await echo(router)

    traced(Peer(), calls, traces)
    assert traces.one("agent").shape == ["agent UNSET", ["execute_tool echo UNSET", ["tools/call echo UNSET"]]]
