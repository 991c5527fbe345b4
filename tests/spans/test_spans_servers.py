"""What a server is told of a trace, and the traces of connecting to it."""

from __future__ import annotations

import asyncio

import pytest
from opentelemetry import baggage, trace
from opentelemetry import context as otel
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState
from spans_kit import QUICK, echo, failing, hangs, sent_meta, traced

from recloser import Breaker, Router
from recloser.testing.clock import run_virtual
from support.peers import Peer
from support.traces import Traces


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


THEIRS = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01", "tracestate": "vendor=theirs"}


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("state", [[], [("vendor", "ours")]])
def test_a_caller_s_tracestate_does_not_stand_beside_a_traceparent_of_ours(
    state: list[tuple[str, str]], legacy: bool
) -> None:
    traces = Traces()
    peer = Peer(modern=not legacy)

    async def calls(router: Router) -> None:
        caller = SpanContext(7, 8, is_remote=True, trace_flags=TraceFlags(1), trace_state=TraceState(state))
        token = otel.attach(trace.set_span_in_context(NonRecordingSpan(caller)))
        await router.call_tool("peer__echo", meta=THEIRS)
        otel.detach(token)

    traced(peer, calls, traces)
    meta = sent_meta(peer)
    assert meta["traceparent"].startswith(f"00-{7:032x}-")
    assert meta.get("tracestate") == ("vendor=ours" if state else None)


@pytest.mark.parametrize("legacy", [False, True])
def test_without_spans_the_trace_that_a_caller_writes_itself_is_left_as_it_is(legacy: bool) -> None:
    peer = Peer(modern=not legacy)

    async def main() -> None:
        async with Router(peer.server()) as router:
            await router.call_tool("peer__echo", meta=THEIRS)

    run_virtual(main)
    assert THEIRS.items() <= sent_meta(peer).items()


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


@pytest.mark.parametrize("method", ["server/discover", "initialize"])
def test_what_a_server_has_not_answered_when_its_start_is_over_has_timed_out(method: str) -> None:
    traces = Traces()
    peer = Peer(modern=False, on={method: hangs})

    async def main() -> None:
        async with Router(peer.server(), tracer_provider=traces.provider):
            await asyncio.sleep(30.1)

    run_virtual(main())
    connect = traces.named("recloser.connect")[0]
    assert (connect.status, connect["error.type"]) == ("ERROR", "unreachable")
    asked = connect.children[-1]
    assert (asked.name, asked.status, asked["error.type"]) == (method, "ERROR", "timeout")


def test_what_is_given_up_at_the_end_of_the_router_is_no_error() -> None:
    traces = Traces()
    peer = Peer(on={"server/discover": hangs})

    async def main() -> None:
        async with Router(peer.server(), tracer_provider=traces.provider):
            await asyncio.sleep(1)

    run_virtual(main())
    (asked,) = traces.named("server/discover")
    assert asked.status == "UNSET"


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
