"""The providers of spans and metrics, where an application has none of its own: the door of OpenTelemetry's SDK."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from opentelemetry import metrics, trace

from recloser.config import ConfigurationError, Mistake
from recloser.redact import redact
from recloser.telemetry.plan import Plan, Signal, Target
from recloser.telemetry.quiet import quieten
from recloser.telemetry.variables import reading

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import MetricReader
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider

__all__ = ["Providers", "make_providers"]

_log = logging.getLogger("recloser")

MCP_TRACER: Final = "mcp-python-sdk"
"""The tracer of the MCP SDK, whose client spans say less than ours and would stand between ours and the server's."""


@dataclass(kw_only=True)
class Providers:
    """What was made. Written while it is made, and read from then on."""

    tracer_provider: TracerProvider | None = None
    """None where an application has its own, or no spans are exported."""
    meter_provider: MeterProvider | None = None
    prometheus_port: int | None = None
    """The port at which Prometheus can fetch the metrics."""
    parts: list[tuple[str, Callable[[], object]]] = field(default_factory=list)
    """What is to be ended, each with its name."""
    failures: int = 0
    """How many exports have failed so far; written by exporters' threads."""


def make_providers(plan: Plan, *, set_global: bool) -> Providers:
    """Make the providers that a plan asks for, and with `set_global` those only that the process does not have yet.

    Raises:
        ConfigurationError: a package is missing, the port for Prometheus cannot be had, or the SDK does not accept what
            a variable says.
    """
    made = Providers()
    for note in plan.notes:
        _log.warning("%s", note)
    if plan.empty:
        return made
    try:
        if plan.traces is not None and not (set_global and _has_tracer_provider()):
            _trace(plan, plan.traces, made)
        if (plan.metrics or plan.prometheus) and not (set_global and _has_meter_provider()):
            _meter(plan, made)
    except BaseException:
        for _, end in made.parts:
            end()
        raise
    if set_global and made.tracer_provider is not None:
        trace.set_tracer_provider(made.tracer_provider)
    if set_global and made.meter_provider is not None:
        metrics.set_meter_provider(made.meter_provider)
    return made


def _has_tracer_provider() -> bool:
    return _told("spans", not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider))


def _has_meter_provider() -> bool:
    # Its class has no public name; what stands in for a provider that is still to come calls itself a proxy.
    return _told("metrics", "Proxy" not in type(metrics.get_meter_provider()).__name__)


def _told(what: str, has: bool) -> bool:
    if has:
        _log.info("%s go where the application's own provider sends them", what)
    return has


def _resource(plan: Plan) -> Resource:
    from opentelemetry.sdk.resources import Resource

    with reading("OTEL_RESOURCE_", "OTEL_SERVICE_", "OTEL_EXPERIMENTAL_RESOURCE_"):
        made = Resource.create(plan.resource)
    if "service.instance.id" in made.attributes:
        return made
    return made.merge(Resource({"service.instance.id": str(uuid4())}))  # older versions of the SDK do not make one


# --- spans


def _trace(plan: Plan, target: Target, made: Providers) -> None:
    exporter = _exporter("traces", target, plan.timeout, made)
    if exporter is None:
        return
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = _resource(plan)
    with reading("OTEL_TRACES_", "OTEL_SPAN_", "OTEL_EVENT_", "OTEL_LINK_", "OTEL_ATTRIBUTE_"):
        provider = _tracer_provider(resource=resource, shutdown_on_exit=False)
    with reading("OTEL_BSP_"):
        provider.add_span_processor(BatchSpanProcessor(exporter))
    made.tracer_provider = provider
    made.parts.append(("spans", provider.shutdown))
    quieten(_loggers(exporter, BatchSpanProcessor))


def _tracer_provider(**options: Any) -> TracerProvider:
    """Return a provider with the MCP SDK's own tracer off, as far as this version of the SDK can do that."""
    from opentelemetry.sdk import trace as sdk

    with suppress(AttributeError, TypeError):
        # Not public yet. Without it the SDK's spans stand between ours and the servers', which is only less tidy.
        on, off = sdk._TracerConfig(is_enabled=True), sdk._TracerConfig(is_enabled=False)  # noqa: SLF001 - see above
        return sdk.TracerProvider(**options, _tracer_configurator=lambda scope: off if scope.name == MCP_TRACER else on)
    return sdk.TracerProvider(**options)


# --- metrics


def _meter(plan: Plan, made: Providers) -> None:
    from opentelemetry.sdk.metrics import MeterProvider

    readers: list[MetricReader] = []
    try:
        if plan.metrics is not None:
            exporter = _exporter("metrics", plan.metrics, plan.timeout, made)
            if exporter is not None:
                from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

                interval = None if plan.metrics_every is None else plan.metrics_every * 1000
                with reading("OTEL_METRIC_EXPORT_"):
                    readers.append(PeriodicExportingMetricReader(exporter, export_interval_millis=interval))
                quieten(_loggers(exporter, PeriodicExportingMetricReader))
        if plan.prometheus is not None:
            readers.append(_prometheus(plan.prometheus, made))
        if not readers:
            return
        resource = _resource(plan)
        with reading("OTEL_METRICS_"):
            provider = MeterProvider(metric_readers=readers, resource=resource, shutdown_on_exit=False)
    except BaseException:
        # Each may have a thread, and there is no provider to end it; not all versions can end what belongs to none.
        for reader in readers:
            with suppress(Exception):
                reader.shutdown()
        raise
    made.meter_provider = provider
    made.parts.append(("metrics", provider.shutdown))


def _prometheus(address: tuple[str, int], made: Providers) -> MetricReader:
    try:
        from opentelemetry.exporter.prometheus import PrometheusMetricReader
        from prometheus_client import CollectorRegistry, start_http_server
    except ImportError as error:
        message = "metrics for Prometheus need the package opentelemetry-exporter-prometheus"
        raise _missing("recloser.telemetry.prometheus_port", message, "prometheus") from error
    host, port = address
    # A registry of our own: the library's default one would show what is not ours, and only once.
    registry = CollectorRegistry()
    try:
        server, _ = start_http_server(port, host, registry)
    except OSError as error:
        message = f"port {port} of {host} cannot be listened on: {error.strerror or error}"
        mistake = Mistake(file=None, path="recloser.telemetry.prometheus_port", message=message)
        raise ConfigurationError([mistake]) from error
    made.prometheus_port = server.server_port
    made.parts.append(("prometheus", partial(_end_server, server)))
    reader: MetricReader = PrometheusMetricReader(registry=registry)
    return reader


def _end_server(server: Any) -> None:
    server.shutdown()
    server.server_close()


# --- exporters


def _exporter(signal: Signal, target: Target, timeout: float | None, made: Providers) -> Any:
    """Return an exporter; None where only the environment asks for one, and the package is missing."""
    try:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        from recloser.telemetry.redirects import session  # it needs a package of the exporter's
    except ImportError as error:
        message = "sending to a collector needs the package opentelemetry-exporter-otlp-proto-http"
        missing = _missing(target.named_by, message, "otlp")
        if not target.optional:
            raise missing from error
        _log.warning("%s; nothing is sent", missing)
        return None
    kind: Any = OTLPSpanExporter if signal == "traces" else OTLPMetricExporter
    with reading("OTEL_EXPORTER_OTLP_", "OTEL_PYTHON_EXPORTER_OTLP_"):
        exporter = kind(endpoint=target.url, timeout=timeout, session=session())
    export = exporter.export

    def watched(*batch: Any, **options: Any) -> Any:
        worked = False
        try:
            result = export(*batch, **options)
            worked = result.name == "SUCCESS"
        finally:  # not all versions catch what can happen
            made.failures += not worked
        return result

    # On the object, since each signal's exporter has a base class of its own.
    exporter.export = watched
    return exporter


def _missing(named_by: str, message: str, extra: str) -> ConfigurationError:
    hint = f"pip install 'recloser[{extra}]'"
    return ConfigurationError([Mistake(file=None, path=named_by, message=redact(message), hint=hint)])


def _loggers(*parts: Any) -> set[str]:
    """Return the loggers on which exporting is complained of; which they are differs between versions of the SDK."""
    modules = {(part if isinstance(part, type) else type(part)).__module__ for part in parts}
    return modules | {"opentelemetry.sdk._shared_internal", "opentelemetry.exporter.otlp.common.http"}
