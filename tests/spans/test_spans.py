"""What a trace of a call looks like, whatever becomes of the call."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from opentelemetry import baggage, trace
from opentelemetry import context as otel
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import NonRecordingSpan, SpanContext, StatusCode, TraceFlags

from recloser import Breaker, Call, Retry, Router, RouterError, Server, Timeouts, error_of
from recloser.audit import AuditRecord
from recloser.errors import error_for
from recloser.spans import Spans, target_attributes, trace_ids
from recloser.spans.tracing import CONTENT
from recloser.testing.clock import run_virtual
from support.peers import ALL, Peer, Refusal, Silence, said
from support.traces import Traces

QUICK = Timeouts(total=20, attempt=2)


async def hangs(line: Any, params: Any) -> Any:
    raise Silence


def failing(times: int, code: str = "server_error", **facts: Any) -> Any:
    """A policy that fails the first attempts."""
    left = [times]

    async def policy(call: Any, call_next: Any) -> Any:
        if left[0]:
            left[0] -= 1
            raise error_for(code, "on purpose", server=call.server, **facts)
        return await call_next(call)

    return policy


def traced(peer: Peer, calls: Any, traces: Traces, *, servers: tuple[Server, ...] = (), **options: Any) -> Any:
    """Run calls against a router of one server."""
    more = {
        key: options.pop(key)
        for key in ("audit", "capture_content", "attempt_span_kind", "raise_on_error", "secrets")
        if key in options
    }

    async def main() -> Any:
        made = peer.server(**{"timeouts": QUICK, **options})
        async with Router(made, *servers, tracer_provider=traces.provider, rng=lambda: 0.5, **more) as router:
            await router.ready("peer")
            return await calls(router)

    return run_virtual(main())


def echo(router: Router) -> Any:
    return router.call_tool("peer__echo", {"text": "hello"}, idempotent=True)


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


def sent_meta(peer: Peer) -> dict[str, Any]:
    (request,) = [one for line in peer.lines for one in line.seen if one.method == "tools/call"]
    return dict((request.params or {}).get("_meta") or {})


@pytest.mark.parametrize("legacy", [False, True])
def test_the_server_is_told_the_attempts_ids_and_no_baggage(legacy: bool) -> None:
    traces = Traces()
    peer = Peer(modern=not legacy)

    async def calls(router: Router) -> None:
        token = otel.attach(baggage.set_baggage("tenant", "acme"))
        await echo(router)
        assert baggage.get_baggage("tenant") == "acme"
        otel.detach(token)

    traced(peer, calls, traces)
    trace_id, span_id = traces.one("tools/call echo").ids
    meta = sent_meta(peer)
    assert meta["traceparent"].startswith(f"00-{trace_id:032x}-{span_id:016x}-")
    assert "baggage" not in meta


@pytest.mark.parametrize("legacy", [False, True])
def test_without_spans_a_server_is_told_of_the_callers_trace_and_no_baggage_either(legacy: bool) -> None:
    peer = Peer(modern=not legacy)

    async def main() -> None:
        caller = SpanContext(trace_id=7, span_id=8, is_remote=True, trace_flags=TraceFlags(1))
        async with Router(peer.server()) as router:
            within = trace.set_span_in_context(NonRecordingSpan(caller))
            token = otel.attach(baggage.set_baggage("tenant", "acme", within))
            await echo(router)
            otel.detach(token)

    run_virtual(main)
    assert "traceparent" in sent_meta(peer)
    assert "baggage" not in sent_meta(peer)


def test_baggage_travels_where_that_was_asked_for() -> None:
    traces = Traces()
    peer = Peer()

    async def calls(router: Router) -> None:
        token = otel.attach(baggage.set_baggage("tenant", "acme"))
        await echo(router)
        otel.detach(token)

    traced(peer, calls, traces, propagate="trace+baggage")
    assert sent_meta(peer)["baggage"] == "tenant=acme"


@pytest.mark.parametrize("legacy", [False, True])
def test_a_server_that_is_to_know_nothing_is_told_nothing(legacy: bool) -> None:
    traces = Traces()
    peer = Peer(modern=not legacy)
    traced(peer, echo, traces, propagate="none")
    assert not {"traceparent", "tracestate", "baggage"} & sent_meta(peer).keys()
    with pytest.raises(ValueError, match="propagate must be"):
        Peer().server(propagate="all")


def test_connecting_is_a_trace_of_its_own_with_what_was_asked() -> None:
    traces = Traces()
    traced(Peer(), echo, traces)
    connect = traces.one("recloser.connect")
    assert connect.shape == ["recloser.connect UNSET", ["server/discover UNSET"], ["tools/list UNSET"]]
    assert connect["recloser.generation"] == 1
    assert [child.kind for child in connect.children] == ["CLIENT", "CLIENT"]
    assert connect.span.parent is None


def test_connecting_for_a_call_is_linked_to_it_and_not_below_it() -> None:
    traces = Traces()

    async def calls(router: Router) -> None:
        with traces.tracer.start_as_current_span("agent"):
            await router.call_tool("lazy__echo")

    traced(Peer(), calls, traces, servers=(Peer(modern=False).server("lazy", lazy=True),))
    (connect,) = [node for node in traces.named("recloser.connect") if node["recloser.server.name"] == "lazy"]
    attempt = traces.one("agent").children[0].children[0]
    assert [(link.context.trace_id, link.context.span_id) for link in connect.span.links] == [attempt.ids]
    assert "initialize UNSET" in str(connect.shape)
    assert connect.ids[0] != attempt.ids[0]


def test_a_failed_connect_says_why() -> None:
    traces = Traces()
    peer = Peer()
    peer.down = ConnectionRefusedError("no route")

    async def main() -> None:
        async with Router(peer.server(timeouts=QUICK), tracer_provider=traces.provider):
            pass

    run_virtual(main())
    connect = traces.named("recloser.connect")[0]
    assert (connect.status, connect["error.type"]) == ("ERROR", "unreachable")


def test_looking_for_a_server_that_is_gone_is_linked_to_the_call_that_opened_its_circuit() -> None:
    traces = Traces()

    async def calls(router: Router) -> None:
        await router.call_tool("peer__echo")
        await asyncio.sleep(3)

    traced(Peer(), calls, traces, chaos=[failing(9)], breaker=Breaker(consecutive=1))
    probe = traces.named("recloser.probe")[0]
    assert probe.shape == ["recloser.probe UNSET", ["server/discover UNSET"]]
    call = traces.one("execute_tool echo")
    assert [(link.context.trace_id, link.context.span_id) for link in probe.span.links] == [call.ids]


def test_a_look_that_finds_nothing_is_an_error() -> None:
    traces = Traces()
    peer = Peer(modern=False)

    async def calls(router: Router) -> None:
        peer.on["ping"] = hangs
        await router.call_tool("peer__echo")
        await asyncio.sleep(3)

    traced(peer, calls, traces, chaos=[failing(9)], breaker=Breaker(consecutive=1))
    probe = traces.named("recloser.probe")[0]
    assert (probe.status, probe["error.type"]) == ("ERROR", "timeout")
    assert probe.children[0].name == "ping"


def test_content_stands_in_a_span_only_where_it_was_switched_on_and_then_redacted() -> None:
    async def answers(line: Any, params: Any) -> Any:
        return said("the key is sk-ant-REDACTED1234567890abcdef and more")

    def text_of(**options: Any) -> str:
        traces = Traces()
        peer = Peer(on={"echo": answers})
        traced(
            peer,
            lambda router: router.call_tool("peer__echo", {"city": "Oslo", "password": "hunter2hunter2"}),
            traces,
            **options,
        )
        return str([node.span.to_json() for node in traces.named("execute_tool echo")])

    assert "Oslo" not in text_of()
    told = text_of(capture_content=True)
    assert "Oslo" in told
    assert "the key is" in told
    assert "hunter2" not in told
    assert "REDACTED1234567890abcdef" not in told


def test_of_a_huge_result_only_as_much_is_looked_at_as_is_shown() -> None:
    async def answers(line: Any, params: Any) -> Any:
        content = [{"type": "text", "text": "x" * 1000} for _ in range(5000)]
        return {"content": content, "structuredContent": {"n": 10**5000}, "isError": False}

    traces = Traces()
    traced(Peer(on={"echo": answers}), echo, traces, capture_content=True)
    told = traces.one("execute_tool echo")["gen_ai.tool.call.result"]
    assert len(told) == CONTENT
    assert told.startswith('{"content": [{"type": "text", "text": "xxx')


@pytest.mark.parametrize(("moment", "what"), [("on_start", "started"), ("on_end", "ended")])
def test_a_processor_of_spans_that_fails_fails_no_call(
    moment: str, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(SpanProcessor):
        def _fail(self, *_: Any, **__: Any) -> None:
            raise RuntimeError("foreign")

    setattr(Broken, moment, Broken._fail)
    traces = Traces()
    traces.provider.add_span_processor(Broken())
    peer = Peer()
    answer = traced(peer, echo, traces)
    assert answer.content[0].text == "hello"
    assert f"a span could not be {what}" in caplog.text


def test_a_resources_uri_counts_as_content() -> None:
    async def resources(line: Any, params: Any) -> Any:
        return {"resources": [{"uri": "mem://place", "name": "x"}]}

    async def read(line: Any, params: Any) -> Any:
        return {"contents": []}

    peer = Peer(on={"resources/list": resources, "resources/read": read})
    peer.capabilities = ALL
    traces = Traces()
    traced(peer, lambda router: router.read_resource("mem://place"), traces, capture_content=True)
    assert traces.one("read_resource")["mcp.resource.uri"] == "mem://place"


def test_a_uri_that_its_server_does_not_list_is_a_callers_text_in_spans_and_audit() -> None:
    async def resources(line: Any, params: Any) -> Any:
        return {"resources": [{"uri": "mem://place", "name": "x"}]}

    async def templates(line: Any, params: Any) -> Any:
        return {"resourceTemplates": [{"uriTemplate": "row://{number}", "name": "x"}]}

    async def read(line: Any, params: Any) -> Any:
        return {"contents": []}

    async def calls(router: Router) -> None:
        for uri in ("mem://place", "row://1", "mem://private-text"):
            await router.read_resource(f"peer:{uri}")

    peer = Peer(on={"resources/list": resources, "resources/templates/list": templates, "resources/read": read})
    peer.capabilities = ALL
    traces = Traces()
    audited: list[AuditRecord] = []
    traced(peer, calls, traces, capture_content=True, audit=audited.append)
    assert [one.known for one in audited] == [True, True, False]
    told = [node.attributes.get("mcp.resource.uri") for node in traces.trees() if node.name == "read_resource"]
    assert told == ["mem://place", "row://1", None]


def test_what_is_not_sampled_costs_no_attributes_and_still_tells_servers_so() -> None:
    traces = Traces(ALWAYS_OFF)
    peer = Peer()
    result = traced(peer, echo, traces, chaos=[failing(1)])
    assert not result.is_error
    assert traces.trees() == []
    assert sent_meta(peer)["traceparent"].endswith(("-00", "-02"))


def test_the_kind_of_attempts_can_be_fixed() -> None:
    traces = Traces()
    traced(Peer(), echo, traces, attempt_span_kind="internal")
    assert traces.one("tools/call echo").kind == "INTERNAL"
    with pytest.raises(ValueError, match="attempt_span_kind"):
        Spans(kind="server")  # type: ignore[arg-type]


def test_a_span_of_nobody_has_no_ids() -> None:
    assert trace_ids(trace.INVALID_SPAN) == (None, None)


def test_without_a_provider_nothing_is_begun() -> None:
    spans = Spans()
    spans.begin()
    assert not spans.active


def test_a_router_that_was_closed_records_nothing_more() -> None:
    spans = Spans(Traces().provider)
    spans.begin()
    assert spans.active
    spans.end()
    assert not spans.active


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        (Server("a", command="x"), {"network.transport": "pipe"}),
        (Peer().server(), {}),
        (
            Server("a", "https://user:pw@example.org/mcp?key=1"),
            {
                "network.transport": "tcp",
                "network.protocol.name": "http",
                "server.address": "example.org",
                "server.port": 443,
            },
        ),
        (
            Server("a", "http://127.0.0.1:8123/mcp"),
            {
                "network.transport": "tcp",
                "network.protocol.name": "http",
                "server.address": "127.0.0.1",
                "server.port": 8123,
            },
        ),
    ],
)
def test_a_servers_place_is_told_without_what_is_secret_in_its_url(server: Server, expected: Any) -> None:
    assert target_attributes(server) == expected


def test_no_span_is_left_open() -> None:
    begun: list[Any] = []
    traces = Traces()
    start = traces.provider.get_tracer

    class Counting:
        def __init__(self, tracer: Any) -> None:
            self.tracer = tracer

        def start_span(self, *args: Any, **options: Any) -> Any:
            span = self.tracer.start_span(*args, **options)
            begun.append(span)
            return span

    traces.provider.get_tracer = lambda *args, **options: Counting(start(*args, **options))  # type: ignore[method-assign]

    async def calls(router: Router) -> None:
        await echo(router)
        await router.call_tool("peer__echo")
        await router.call_tool("nothing")

    traced(Peer(), calls, traces, chaos=[failing(5)])
    assert begun
    assert all(span.end_time for span in begun)
    assert all(span.status.status_code in (StatusCode.UNSET, StatusCode.ERROR) for span in begun)


def test_a_server_that_says_it_is_an_older_one_has_answered_and_not_failed() -> None:
    traces = Traces()
    traced(Peer(modern=False), echo, traces)
    connect = traces.one("recloser.connect")
    assert connect.shape == [
        "recloser.connect UNSET",
        ["server/discover UNSET"],
        ["initialize UNSET"],
        ["tools/list UNSET"],
    ]


def test_a_server_held_to_the_newer_era_that_refuses_it_has_failed() -> None:
    traces = Traces()

    async def main() -> None:
        async with Router(Peer(modern=False).server(era="modern"), tracer_provider=traces.provider):
            pass

    run_virtual(main())
    (asked,) = traces.named("server/discover")[:1]
    assert (asked.status, asked["error.type"]) == ("ERROR", "-32601")
