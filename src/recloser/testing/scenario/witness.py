"""Spans and metrics of a run, shown to whoever looks for secrets in them; they leave this process for nowhere.

Imported where it is used alone: it loads OpenTelemetry's SDK.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

__all__ = ["Witness"]


class Witness(SpanExporter):
    """Providers for one router: `look` is shown its spans and metrics at the end."""

    def __init__(self, look: Callable[[str, str], None]) -> None:
        self._look = look
        self.seen = 0
        """Spans and metrics that were looked at."""
        self._spans: list[ReadableSpan] = []
        self._reader = InMemoryMetricReader()
        self.tracer_provider = TracerProvider(sampler=ALWAYS_ON, shutdown_on_exit=False)
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self))
        self.meter_provider = MeterProvider([self._reader], shutdown_on_exit=False)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Keep spans that have ended: to look into them takes time, which calls would feel."""
        self._spans += spans
        return SpanExportResult.SUCCESS

    def close(self) -> None:
        """Look into it all, and end it."""
        for span in self._spans:
            self._show("a span", span.to_json())
        told = self._reader.get_metrics_data()
        for resource in () if told is None else told.resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    self._show("a metric", metric.to_json())
        self.tracer_provider.shutdown()
        self.meter_provider.shutdown()

    def _show(self, place: str, text: str) -> None:
        self.seen += 1
        self._look(place, text)
