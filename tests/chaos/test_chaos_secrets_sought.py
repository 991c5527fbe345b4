"""Where planted secrets are looked for: spans, metrics, what a collector gets, and the health of servers."""

from __future__ import annotations

import asyncio
import gzip
import random

import pytest

from chaos.chaos_kit import FAULT, FakeTarget, imagined, scenario
from chaos.test_chaos_broken_rules import quick, verdicts
from recloser.endpoint import Endpoint
from recloser.spans.tracing import Spans
from recloser.testing.scenario import judge
from recloser.testing.scenario.planted import Planted
from recloser.testing.scenario.records import Load
from recloser.testing.scenario.surroundings import Collector
from recloser.testing.scenario.witness import Witness

pytestmark = pytest.mark.thorough

FAILS = 'fault = "jsonrpc_error"\non = "tools/call"\narguments = { code = -32603, message = "no" }'
CRIES = 'fault = "stderr_flood"\narguments = { bytes = 300, text = "Bearer {token}" }'


@pytest.mark.processes
@pytest.mark.parametrize("more", ["", "telemetry = true"], ids=["in this process", "at a collector"])
def test_a_router_whose_spans_tell_what_a_call_carries_is_seen(tmp_path, monkeypatch, more):
    what = quick(tmp_path, "8", more=f"secrets = true\n{more}", fault=FAILS)
    good = verdicts(what)
    assert good["8"].held, good
    assert " no pieces of telemetry" not in good["8"].evidence
    begin = Spans.call

    def telling(self, call, *arguments):
        span = begin(self, call, *arguments)
        span.set_attribute("arguments", repr(call.params))
        return span

    monkeypatch.setattr(Spans, "call", telling)
    bad = verdicts(what)
    assert bad["8"].cases == ("what a call carried in a span",), bad


@pytest.mark.processes
def test_a_router_whose_health_tells_a_secret_that_a_server_wrote_to_stderr_is_seen(tmp_path, monkeypatch):
    what = quick(
        tmp_path, "8", more="secrets = true", transport="stdio", fault=CRIES, tools="{ write = 1, unknown = 1 }"
    )
    good = verdicts(what)
    assert good["8"].held, good
    monkeypatch.setattr(Endpoint, "stderr", property(lambda self: "\n".join(self._stderr)))
    bad = verdicts(what)
    assert bad["8"].cases == ("the credential in the health of sick",), bad


def test_what_is_told_of_a_server_s_health_for_a_moment_is_looked_at_too():
    class Tells(FakeTarget):
        def health(self):
            return {"well": planted.content if self.fleet.bad else "ready"}

    planted = Planted(random.Random(1))
    what = scenario("8", loads=(Load(name="a", tools={"echo": 1}),), timeline=(FAULT,), secrets=True)
    (verdict,) = judge(imagined(what, Tells, planted=planted))
    assert verdict.cases == ("what a call carried in the health of well",)


def test_spans_and_metrics_are_looked_into():
    shown = []
    witness = Witness(lambda place, text: shown.append((place, text)))
    with witness.tracer_provider.get_tracer("x").start_as_current_span("one") as span:
        span.set_attribute("what", "a span's own")
    witness.meter_provider.get_meter("x").create_counter("two").add(1, {"what": "a metric's own"})
    witness.close()
    assert [place for place, _ in shown] == ["a span", "a metric"]
    assert witness.seen == 2
    assert "a span's own" in shown[0][1]
    assert "a metric's own" in shown[1][1]


def test_without_metrics_there_is_nothing_to_look_into():
    shown = []
    witness = Witness(lambda place, text: shown.append((place, text)))
    witness.close()
    assert (shown, witness.seen) == ([], 0)


@pytest.mark.processes
@pytest.mark.parametrize("packed", [False, True])
def test_a_collector_shows_what_comes_packed_or_not(packed):
    async def main():
        shown = []
        collector = Collector(lambda place, text: shown.append((place, text)))
        await collector.start()
        for path in ("traces", "metrics"):
            body = gzip.compress(b"\x0a\xffsecret") if packed else b"\x0a\xffsecret"
            kind = "Content-Encoding: gzip\r\n" if packed else ""
            reader, writer = await asyncio.open_connection("127.0.0.1", collector.port)
            writer.write(f"POST /v1/{path} HTTP/1.1\r\n{kind}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            assert b"200" in await reader.readline()
            writer.close()
        await collector.stop()
        return shown

    shown = asyncio.run(main())
    assert [place for place, _ in shown] == ["a span", "a metric"]
    assert all(text.endswith("secret") for _, text in shown)
