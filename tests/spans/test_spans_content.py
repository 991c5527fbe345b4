"""What stands in a span: contents where that was wanted, no secret, and no more than is recorded."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import StatusCode
from spans_kit import echo, failing, sent_meta, traced

from recloser import Router, Server
from recloser.audit import AuditRecord
from recloser.spans import Spans, target_attributes, trace_ids
from recloser.spans.tracing import CONTENT
from support.peers import ALL, Peer, said
from support.traces import Traces


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
