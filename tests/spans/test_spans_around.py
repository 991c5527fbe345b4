"""Where spans meet the rest of a program: code without a loop, and what the SDK records by itself."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from typing import Any

import pytest
from opentelemetry import trace

from recloser import Server, SyncRouter
from recloser.events import Emitter
from recloser.observer import Observer
from recloser.spans import Spans
from support.peers import Peer
from support.traces import Traces


def test_the_router_for_code_without_a_loop_keeps_the_callers_span() -> None:
    traces = Traces()
    with SyncRouter(Peer().server(), tracer_provider=traces.provider) as router:
        router.ready("peer")
        with traces.tracer.start_as_current_span("agent"):
            router.call_tool("peer__echo")
    assert traces.one("agent").children[0].name == "execute_tool echo"


def kind_of_attempts(setup: str, *, server: str = "Server('echo', command='x')", provider: str = "None") -> str:
    """What attempts are in a program that has set up OpenTelemetry in some way."""
    program = f"""
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
        {setup}
        from recloser import Server
        from recloser.spans import Spans
        spans = Spans({provider})
        spans.begin()
        print(spans.active, spans._kind({server}).name)
    """
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.strip()


OWNED = "trace.set_tracer_provider(TracerProvider())"
SILENCED = """
        from opentelemetry.sdk.trace import _TracerConfig
        quiet = lambda scope: _TracerConfig(is_enabled=scope.name != 'mcp-python-sdk')
        trace.set_tracer_provider(TracerProvider(_tracer_configurator=quiet))
"""
# Each of them would be told in the output, if a span were begun to see what is on.
WATCHED = """
        from opentelemetry.sdk.trace import SpanProcessor, sampling
        class Watching(SpanProcessor):
            def on_start(self, span, parent_context=None): print('begun', span.name)
        provider = TracerProvider(sampler=sampling.ALWAYS_ON)
        provider.add_span_processor(Watching())
        trace.set_tracer_provider(provider)
"""
BROKEN_SAMPLER = """
        from opentelemetry.sdk.trace import sampling
        class Broken(sampling.Sampler):
            def should_sample(self, *args, **options): raise ValueError
            def get_description(self): return 'broken'
        trace.set_tracer_provider(TracerProvider(sampler=Broken()))
"""
DISABLED = """
        import os
        os.environ['OTEL_SDK_DISABLED'] = 'true'
        trace.set_tracer_provider(TracerProvider())
"""


@pytest.mark.processes
@pytest.mark.parametrize(
    ("setup", "server", "expected"),
    [
        ("", "Server('echo', command='x')", "False CLIENT"),
        (OWNED, "Server('echo', command='x')", "True INTERNAL"),
        (OWNED, "Server('echo', 'https://example.org/mcp')", "True INTERNAL"),
        # Within one process the SDK has no dispatcher, and so no span.
        (OWNED, "Server('echo', object())", "True CLIENT"),
        (OWNED, "Server('echo', object(), era='legacy')", "True INTERNAL"),
        (SILENCED, "Server('echo', command='x')", "True CLIENT"),
        (WATCHED, "Server('echo', command='x')", "True INTERNAL"),
        (BROKEN_SAMPLER, "Server('echo', command='x')", "True INTERNAL"),
        (DISABLED, "Server('echo', command='x')", "True CLIENT"),
    ],
)
def test_an_attempt_is_the_only_client_span_whoever_owns_the_provider(setup: str, server: str, expected: str) -> None:
    assert kind_of_attempts(setup, server=server) == expected


@pytest.mark.processes
@pytest.mark.parametrize(
    ("provider", "expected"),
    [("TracerProvider()", "True CLIENT"), ("trace.get_tracer_provider()", "True INTERNAL")],
    ids=["another", "the same"],
)
def test_where_the_sdk_s_spans_go_to_another_provider_than_the_router_s_an_attempt_is_the_client_span_there(
    provider: str, expected: str
) -> None:
    assert kind_of_attempts(OWNED, provider=provider) == expected


def test_a_provider_that_fails_keeps_no_router_from_opening(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(trace.TracerProvider):
        def get_tracer(self, *_: Any, **__: Any) -> trace.Tracer:
            raise RuntimeError("broken")

    with SyncRouter(Peer().server(), tracer_provider=Broken()) as router:
        router.ready("peer")
        assert not router.call_tool("peer__echo").is_error
    assert [one.getMessage() for one in caplog.records if one.name == "recloser"] == [
        "no spans are recorded, since their provider failed"
    ]


def test_nobody_watches_where_nobody_listens() -> None:
    assert not Observer(emit=Emitter(())).watching
    assert Observer(emit=Emitter([print])).watching
    spans = Spans(Traces().provider)
    spans.begin()
    assert Observer(emit=Emitter(()), spans=spans).watching


def test_a_listener_can_come_and_go() -> None:
    heard: list[object] = []
    emit = Emitter(())
    emit.add(heard.append)
    assert emit
    assert not trace.get_current_span().is_recording()


@pytest.mark.parametrize("wish", ["trace", "none"])
def test_a_server_says_how_much_of_the_trace_it_is_told(wish: str) -> None:
    assert Server("a", command="x", propagate=wish).propagate == wish


def test_a_router_without_a_loop_asks_for_a_sign_of_life_too() -> None:
    peer = Peer()
    with SyncRouter(peer.server()) as router:
        router.ready("peer")
        router.probe("peer")
    assert peer.methods[-1] == "server/discover"
