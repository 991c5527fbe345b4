"""What the router costs on a good day: a call through it over the same call of the raw SDK client, in one run.

python benchmarks/overhead.py [--json] [--rounds 15] [--telemetry]

"raw" is `mcp.Client` against the same server. Rounds alternate; a ratio is the median of the rounds' ratios of medians.

With `--telemetry`, the router is measured four times beside it: "off", with OpenTelemetry's API but no SDK behind it
("api"), with an SDK whose sampler takes nothing, and measures and audits nothing ("unsampled"), and in full: spans and
metrics encoded for OTLP in the background, as they would be for a collector, and one audit line a call. "by hand" is no
router: the raw client again, around whose call somebody has written the two spans and the two measurements that the
router makes. What that costs is OpenTelemetry's, and no router that records as much can cost less.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from functools import partial
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from fixtures import ECHO, Action, http_echo, interleaved, machine, percentile, ratio, report
from mcp import Client, StdioServerParameters
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.metrics import Meter, NoOpMeterProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    MetricExporter,
    MetricExportResult,
    MetricsData,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import NoOpTracerProvider, Tracer
from servers.echo import server as echo_server

from recloser import Router, Server

FULL_LIMITS = {"stdio": 1.20, "http": 1.10}
LIMITS = {"in_process": 1.25, "stdio": 1.05, "http": 1.05}
COUNTS = {"in_process": 400, "stdio": 100, "http": 60}

# What a call of the echo tool has on its spans and in its series: docs/telemetry-schema.json.
ASKED = {
    "mcp.method.name": "tools/call",
    "recloser.server.name": "echo",
    "gen_ai.tool.name": "echo",
    "gen_ai.operation.name": "execute_tool",
    "gen_ai.tool.type": "extension",
    "recloser.circuit_breaker.state": "closed",
}
OF_A_CALL = {"recloser.call.id": "d2db40fd6151-2", "recloser.timeout": 60.0}
OF_AN_ATTEMPT = {
    "network.transport": "tcp",
    "network.protocol.name": "http",
    "server.address": "127.0.0.1",
    "server.port": 8000,
    "mcp.protocol.version": "2026-07-28",
    "recloser.endpoint.name": "echo/0",
    "recloser.attempt.number": 1,
    "recloser.attempt.kind": "primary",
}
OUTCOME = {
    "recloser.outcome": "success",
    "recloser.attempt.count": 1,
    "recloser.retry.count": 0,
    "recloser.result.is_error": False,
}
MEASURED = {name: ASKED[name] for name in ("mcp.method.name", "recloser.server.name", "gen_ai.tool.name")}


class Encoding(SpanExporter):
    """Does with spans what an exporter does, but for the network: that is somebody else's time."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        encode_spans(spans).SerializeToString()
        return SpanExportResult.SUCCESS


@contextmanager
def variants(telemetry: bool) -> Iterator[dict[str, dict[str, Any]]]:
    """Yield arguments of a router for every variant to measure."""
    if not telemetry:
        yield {"router": {}}
        return
    unsampled = TracerProvider(sampler=ALWAYS_OFF)
    spans = TracerProvider()
    spans.add_span_processor(BatchSpanProcessor(Encoding()))
    metrics = MeterProvider([PeriodicExportingMetricReader(Measured(), export_interval_millis=5000)])
    with TemporaryDirectory() as directory:
        yield {
            "off": {},
            "api": {"tracer_provider": NoOpTracerProvider(), "meter_provider": NoOpMeterProvider()},
            "unsampled": {"tracer_provider": unsampled},
            "full": {"tracer_provider": spans, "meter_provider": metrics, "audit": f"{directory}/audit.jsonl"},
        }
        for provider in (unsampled, spans, metrics):
            provider.shutdown()


def by_hand(call: Action, tracer: Tracer, meter: Meter) -> Action:
    """Return an action with the spans and measurements of one call in full, written as OpenTelemetry's guide has it."""
    whole, attempt = meter.create_histogram("whole", unit="s"), meter.create_histogram("attempt", unit="s")

    async def action() -> None:
        begun = perf_counter()
        with tracer.start_as_current_span("execute_tool echo", attributes=ASKED | OF_A_CALL) as span:
            with tracer.start_as_current_span("tools/call echo", attributes=ASKED | OF_AN_ATTEMPT):
                await call()
            attempt.record(perf_counter() - begun, MEASURED)
            span.set_attributes(OUTCOME)
        whole.record(perf_counter() - begun, MEASURED)

    return action


class Measured(MetricExporter):
    """The same for metrics."""

    def export(self, metrics_data: MetricsData, *args: Any, **options: Any) -> MetricExportResult:
        encode_metrics(metrics_data).SerializeToString()
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return True

    def shutdown(self, *args: Any, **options: Any) -> None:
        pass


async def measure(kind: str, url: str, rounds: int, given: dict[str, dict[str, Any]]) -> dict[str, list[list[float]]]:
    """Measure one transport."""
    async with AsyncExitStack() as stack:
        command = {"command": sys.executable, "args": [str(ECHO)]}
        raw_target: Any = {
            "in_process": echo_server,
            "stdio": StdioServerParameters(**command),
            "http": url,
        }[kind]
        ours = {
            "in_process": lambda: Server("echo", echo_server),
            "stdio": lambda: Server("echo", **command),
            "http": lambda: Server("echo", url),
        }[kind]
        raw = await stack.enter_async_context(Client(raw_target))
        await raw.list_tools()  # or the first call would list them, after the tool has run
        actions: dict[str, Action] = {"raw": lambda: raw.call_tool("echo", {"text": "tower"})}
        for name, options in given.items():
            router = await stack.enter_async_context(Router(ours(), **options))
            await router.ready("echo")
            actions[name] = partial(router.call_tool, "echo__echo", {"text": "tower"})
            answer = await actions[name]()
            assert not answer.is_error, answer
        if "full" in given:
            tracer = given["full"]["tracer_provider"].get_tracer("by hand")
            actions["by hand"] = by_hand(actions["raw"], tracer, given["full"]["meter_provider"].get_meter("by hand"))
        gc.collect()
        gc.freeze()
        return await interleaved(actions, rounds=rounds, count=COUNTS[kind])


async def main(*, rounds: int, as_json: bool, telemetry: bool) -> int:
    """Measure every transport and print what came out; 1 if a limit was missed."""
    table: dict[str, dict[str, float]] = {}
    ratios: dict[str, dict[str, float]] = {}
    limits = FULL_LIMITS if telemetry else LIMITS
    with variants(telemetry) as given:
        async with http_echo() as url:
            for kind in limits:
                samples = await measure(kind, url, rounds, given)
                flat = {name: [value for part in parts for value in part] for name, parts in samples.items()}
                ratios[kind] = {name: round(ratio(samples, name, "raw"), 4) for name in samples if name != "raw"}
                table[kind] = {
                    f"{name}_{mark}_us": round(percentile(values, share) * 1e6, 1)
                    for name, values in flat.items()
                    for mark, share in (("p50", 0.5), ("p99", 0.99))
                }
    names = ["raw", *next(iter(ratios.values()))]
    judged = list(given)[-1]
    lines = [f"{'':12}" + "".join(f"{name + ' p50':>15}{'p99':>8}" for name in names) + "   (µs)   over raw"]
    for kind, row in table.items():
        cells = "".join(f"{row[f'{name}_p50_us']:15.0f}{row[f'{name}_p99_us']:8.0f}" for name in names)
        told = "  ".join(f"{name} {value:.3f}" for name, value in ratios[kind].items())
        lines.append(f"{kind:12}{cells}          {told}  (limit {limits[kind]:.2f} for {judged})")
    passed = all(ratios[kind][judged] <= limit for kind, limit in limits.items())
    shown: Any = ratios if telemetry else {kind: row["router"] for kind, row in ratios.items()}
    document = {"ratios": shown, "limits": limits, "passed": passed, "latency": table, "machine": machine()}
    report(document, lines, as_json=as_json)
    return 0 if passed else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--telemetry", action="store_true", help="the router with its telemetry off, unsampled and on")
    options = parser.parse_args()
    sys.exit(asyncio.run(main(rounds=options.rounds, as_json=options.json, telemetry=options.telemetry)))
