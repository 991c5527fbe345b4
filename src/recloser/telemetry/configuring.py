"""One call that sets up logs, spans and metrics of a process, and what it returns to end them."""

from __future__ import annotations

import atexit
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, TextIO

from recloser.checks import number
from recloser.config import Settings, Telemetry, load
from recloser.config.settings import LogLevel, Logs
from recloser.events import Event, Listener
from recloser.redact import Redactor
from recloser.redact.crash import guard
from recloser.telemetry.closing import Closing
from recloser.telemetry.listener import LogListener
from recloser.telemetry.plan import Overrides, plan, resource_of, secrets_of
from recloser.telemetry.providers import Providers, make_providers

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.trace import TracerProvider

    from recloser.telemetry.logs import Logging

__all__ = ["Configured", "configure"]

DEADLINE: Final = 2.0
"""Seconds that the end of a process waits for what was recorded last to be handed over."""


class Configured:
    """What `configure` has set up, until `shutdown`, which is called at the latest when the process ends.

    Changed by `shutdown` alone.
    """

    def __init__(
        self,
        settings: Telemetry,
        providers: Providers,
        logs: Logging | None,
        unguard: Callable[[], None] | None = None,
    ) -> None:
        self.settings = settings
        """What the configuration says, with the arguments of `configure` in place of its own."""
        self._providers = providers
        self._logs = logs
        self._unguard = unguard
        self._listener = None if logs is None else LogListener(logs.logger.log, level=_level(settings))
        self._closing = Closing(providers.parts)
        self._delivered: bool | None = None
        atexit.register(self.shutdown)

    def __repr__(self) -> str:
        parts = [name for name, _ in self._providers.parts] + (["logs"] if self.logging else [])
        return f"Configured({', '.join(parts)})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.shutdown()

    @property
    def logging(self) -> bool:
        """Whether log lines are written."""
        return self._logs is not None

    @property
    def listener(self) -> Listener:
        """What writes events to the log, for `Router(listeners=[...])`; without logs it does nothing."""
        return self._listener or _unheard

    @property
    def tracer_provider(self) -> TracerProvider | None:
        """The provider of spans that was made; None where the application has one, or no spans are exported."""
        return self._providers.tracer_provider

    @property
    def meter_provider(self) -> MeterProvider | None:
        """The provider of metrics that was made; None where the application has one, or no metrics are exported."""
        return self._providers.meter_provider

    @property
    def prometheus_port(self) -> int | None:
        """The port at which Prometheus can fetch the metrics; None where it cannot."""
        return self._providers.prometheus_port

    def shutdown(self, timeout: float = DEADLINE) -> bool:
        """Hand over what was recorded last, and end everything; return whether all that was ever sent has arrived.

        It takes `timeout` seconds at most, whatever a collector does, and blocks the thread meanwhile; on an event loop
        use `await asyncio.to_thread(configured.shutdown)`. Again, it does nothing.
        """
        if self._delivered is None:
            self._delivered = False
            atexit.unregister(self.shutdown)
            if self._listener is not None:
                self._listener.flush()
            in_time = self._closing.close(timeout)
            self._delivered = in_time and self._providers.failures == 0
            if self._logs is not None:
                self._logs.stop()
            if self._unguard is not None:
                self._unguard()
        return self._delivered


def configure(
    settings: Settings | Telemetry | str | Path | Mapping[str, Any] | None = None,
    *,
    service_name: str | None = None,
    service_version: str | None = None,
    otlp_endpoint: str | None = None,
    prometheus_port: int | None = None,
    logs: Logs | None = None,
    log_level: LogLevel | None = None,
    metrics_every: float | None = None,
    secrets: Iterable[str] = (),
    serve_metrics: bool = True,
    set_global: bool = True,
    whole_process: bool = False,
    stream: TextIO | None = None,
    environ: Mapping[str, str] | None = None,
) -> Configured:
    """Set up logs, spans and metrics of this process, and return what ends them.

    An argument comes before the standard `OTEL_*` variables, and those before the configuration. Spans and metrics are
    exported where one of them says where to; without that, no provider is made and nothing is recorded. An application
    that has providers of its own keeps them, and they are used.

    Args:
        settings: a configuration: a file, a mapping with the keys of one, or what `recloser.config.load` returned; or
            the part of it about telemetry.
        service_name: the name of this process in traces and metrics.
        service_version: the version of it; where it is recloser by itself, recloser's own.
        otlp_endpoint: the collector that spans and metrics are sent to, such as `http://127.0.0.1:4318`.
        prometheus_port: the port at which Prometheus can fetch the metrics; 0 takes a free one.
        logs: `json`, `console`, `auto` (console on a terminal, else JSON) or `off`.
        log_level: the least that is logged.
        metrics_every: seconds between two exports of metrics, in place of `OTEL_METRIC_EXPORT_INTERVAL` or its minute.
        secrets: values that must not appear in a log line, besides those of the configuration.
        serve_metrics: whether Prometheus may fetch metrics here, if something asks for that; not from a process that
            ends soon, and may run beside another one of the same configuration.
        set_global: whether providers that are made become the process's, which can be done once; if not, they are for
            `Router(tracer_provider=..., meter_provider=...)`, and made whether the process has some or not.
        whole_process: whether everything in the process that logs is written by our chain, and an exception that
            nobody caught is told redacted. Without that, the root logger is left alone.
        stream: where lines are written; None means stderr.
        environ: the variables; None means this process's. What the SDK and its exporters look up themselves (headers,
            timeouts, batches) they look up in the process's in any case.

    Raises:
        ConfigurationError: the configuration has mistakes, a package for what it asks for is not installed, the port
            for Prometheus cannot be listened on, or OpenTelemetry does not accept what one of its variables says.
        ValueError: an argument has a wrong value.
    """
    if metrics_every is not None:
        number("metrics_every", metrics_every, above=0)
    variables = os.environ if environ is None else environ
    known, hidden = _known(settings)
    said = Overrides(
        service_name=service_name,
        service_version=service_version,
        otlp_endpoint=otlp_endpoint,
        prometheus_port=prometheus_port,
        serve_metrics=serve_metrics,
        metrics_every=metrics_every,
    )
    given: dict[str, Any] = {
        "service_name": service_name,
        "otlp_endpoint": otlp_endpoint,
        "prometheus_port": prometheus_port,
        "logs": logs or known.logs or "auto",
        "log_level": log_level,
    }
    settled = replace(known, **{name: value for name, value in given.items() if value is not None})
    planned = plan(said, known, variables)
    if environ is not None:
        # The SDK reads this process's variables, and these are others.
        planned = replace(planned, resource={**resource_of(environ), **planned.resource})
    redactor = Redactor([*secrets, *hidden, *secrets_of(known, said, variables)])
    writing = None
    if settled.logs not in (None, "off"):
        from recloser.telemetry.logs import Logging

        writing = Logging(
            settled.logs,
            settled.log_level,
            redactor,
            whole=whole_process,
            content=settled.capture_content,
            stream=stream,
        )
    try:
        providers = make_providers(planned, set_global=set_global)
        return Configured(settled, providers, writing, guard(lambda: redactor) if whole_process else None)
    except BaseException:
        if writing is not None:
            writing.stop()
        raise


def _known(settings: Settings | Telemetry | str | Path | Mapping[str, Any] | None) -> tuple[Telemetry, list[str]]:
    """Return what a configuration says about telemetry, and its secrets."""
    if settings is None:
        return Telemetry(), []
    if isinstance(settings, Telemetry):
        return settings, []
    loaded = settings if isinstance(settings, Settings) else load(settings)
    return loaded.telemetry, [secret.get_secret_value() for secret in loaded.secrets]


def _level(settings: Telemetry) -> int:
    return logging.getLevelNamesMapping()[settings.log_level.upper()]


def _unheard(event: Event) -> None:
    """Hear an event and do nothing."""
