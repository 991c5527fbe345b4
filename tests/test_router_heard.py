"""What is heard of a router: by its listeners, in its audit, and in metrics."""

import asyncio
import json
import threading
from urllib.parse import urlsplit

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

from recloser import Router, error_of
from recloser.events import CallFinished, ConnectionChanged
from recloser.testing.clock import run_virtual
from recloser.testing.faulty import FaultyHttp
from support.metering import Metered
from support.peers import Peer, Refusal
from support.routers import hangs, text


@pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError])
def test_listeners_hear_everything_and_one_that_fails_disturbs_nothing(error, caplog):
    async def main():
        events = []

        def bad(event):
            raise error("no")

        async with Router(Peer().server(), listeners=[bad, events.append]) as router:
            assert text(await router.call_tool("peer__echo", {"text": "hi"}, caller="me")) == "hi"
        [told] = [event for event in events if isinstance(event, CallFinished)]
        assert (told.key, told.server, told.name, told.caller) == ("peer__echo", "peer", "echo", "me")
        assert (told.outcome, told.code, told.attempts, told.method) == ("success", None, 1, "tools/call")
        states = [event.state for event in events if isinstance(event, ConnectionChanged)]
        assert states == ["connecting", "ready", "closed"]

    run_virtual(main)
    assert "a listener failed on CallFinished" in caplog.text


def test_whoever_listens_and_fails_while_a_call_fails_puts_no_text_of_a_server_into_the_log(caplog):
    def bad(_):
        raise ValueError("no")

    async def refuses(line, params):
        raise Refusal(-32000, "a patient's name")

    class Broken(SpanProcessor):
        def on_start(self, span, parent_context=None):
            raise ValueError("no")

    async def main():
        provider = TracerProvider()
        provider.add_span_processor(Broken())
        peer = Peer(on={"echo": refuses})
        async with Router(peer.server(), listeners=[bad], audit=bad, tracer_provider=provider) as router:
            assert error_of(await router.call_tool("peer__echo")) is not None

    run_virtual(main)
    for told in ("a listener failed on AttemptFinished", "a span could not be started", "the audit failed"):
        assert told in caplog.text
    assert "ValueError: no" in caplog.text
    assert "in bad" in caplog.text
    assert "patient" not in caplog.text


def test_a_caller_who_leaves_is_nobodys_failure():
    async def main():
        events = []
        peer = Peer(on={"hangs": hangs})
        async with Router(peer.server(), listeners=[events.append]) as router:
            before = asyncio.all_tasks()
            call = asyncio.ensure_future(router.call_tool("peer__hangs"))
            await asyncio.sleep(1)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            await asyncio.sleep(0.01)
            assert peer.cancelled == 1
            assert asyncio.all_tasks() == before
            told = events[-1]
            assert (told.outcome, told.code, told.duration) == ("cancelled", None, 1)
            health = router.health()["peer"].endpoints[0]
            assert (health.in_flight, health.circuit.failures, health.last_failure) == (0, 0, None)

    run_virtual(main)


def test_nothing_is_made_for_nobody_to_hear():
    async def main():
        async with Router(Peer().server()) as router:
            assert text(await router.call_tool("peer__echo", {"text": "hi"})) == "hi"

    run_virtual(main)


def test_a_file_for_the_audit_gets_a_line_for_every_call_over_several_lives(tmp_path):
    file = tmp_path / "audit.jsonl"

    async def main():
        router = Router(Peer().server(), audit=file)
        for _ in range(2):
            async with router:
                await router.call_tool("peer__echo", {"text": "hello"}, caller="alice")
                await router.call_tool("nothing")

    asyncio.run(main())
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["code"] for line in lines] == [None, "unknown_tool"] * 2
    assert "hello" not in file.read_text()


def test_a_configuration_says_where_the_audit_goes(tmp_path):
    file = tmp_path / "audit.jsonl"
    servers = {"a": {"url": "http://127.0.0.1:9/mcp"}}
    source = {"mcpServers": servers, "recloser": {"telemetry": {"audit": str(file)}}}

    async def main():
        for overrides in ({}, {"audit": None}):
            async with Router.from_config(source, **overrides) as router:
                await router.call_tool("nothing")

    asyncio.run(main())
    assert len(file.read_text().splitlines()) == 1


@pytest.mark.parametrize(("told", "alike"), [({"audit_key": "a-key-of-sixteen-bytes"}, True), ({}, False)])
def test_hashes_of_two_routers_can_be_compared_where_they_have_one_key(tmp_path, told, alike):
    file = tmp_path / "audit.jsonl"
    servers = {"a": {"url": "http://127.0.0.1:9/mcp"}}
    source = {"mcpServers": servers, "recloser": {"telemetry": {"audit": str(file)} | told}}

    async def main():
        for _ in range(2):
            async with Router.from_config(source) as router:
                await router.call_tool("nothing", {"q": "x"}, caller="alice")

    asyncio.run(main())
    one, other = (json.loads(line) for line in file.read_text().splitlines())
    assert (one["arguments"] == other["arguments"]) is alike
    assert (one["caller_id"] == other["caller_id"]) is alike


def test_a_file_given_beside_a_configuration_is_closed_with_the_router_too(tmp_path):
    file = tmp_path / "audit.jsonl"
    before = {thread.name for thread in threading.enumerate()}

    async def main():
        async with Router.from_config({"mcpServers": {"a": {"url": "http://127.0.0.1:9/mcp"}}}, audit=file) as router:
            await router.call_tool("nothing")
        assert len(file.read_text().splitlines()) == 1
        left = {thread.name for thread in threading.enumerate()} - before
        assert not [name for name in left if "audit" in name]

    asyncio.run(main())


def test_metrics_are_told_of_what_happens_where_a_provider_collects_them():
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])

    async def main():
        async with Router(Peer().server(), meter_provider=provider) as router:
            await router.call_tool("peer__echo")
            return reader.get_metrics_data()

    data = asyncio.run(main())
    found = {
        metric.name
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }
    assert {"recloser.call.duration", "mcp.client.operation.duration", "recloser.circuit_breaker.status"} <= found
    provider.shutdown()


def test_after_a_reload_metrics_name_the_address_that_was_called():
    async def main():
        def config(faulty):
            return {"mcpServers": {"s": {"url": faulty.url}}}

        def port(faulty):
            return urlsplit(faulty.url).port

        metered = Metered()
        async with FaultyHttp() as old, FaultyHttp() as new:
            async with Router.from_config(config(old), meter_provider=metered.provider) as router:
                await router.call_tool("s__echo", {"text": "x"})
                await router.reload(config(new))
                for _ in range(2):
                    await router.call_tool("s__echo", {"text": "x"})
                calls = [
                    (point.attributes["server.port"], point.count)
                    for point in metered.points("mcp.client.operation.duration")
                    if point.attributes["mcp.method.name"] == "tools/call"
                ]
            assert calls == [(port(old), 1), (port(new), 2)]

    asyncio.run(main())
