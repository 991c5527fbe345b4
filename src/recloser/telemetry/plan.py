"""What is exported and where to: what arguments, the environment and a configuration say, settled between them.

An argument comes before the standard `OTEL_*` variables, and those before the configuration file, so that whoever runs
a program can change what its author wrote down. Two variables only ever switch off, whatever else is said:
`OTEL_SDK_DISABLED=true`, and `OTEL_TRACES_EXPORTER` or `OTEL_METRICS_EXPORTER` where they do not name an exporter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias
from urllib.parse import parse_qsl, unquote, urlsplit

from recloser.config import Telemetry
from recloser.version import __version__

__all__ = ["Overrides", "Plan", "Signal", "Target", "plan", "resource_of", "secrets_of"]

Signal: TypeAlias = Literal["traces", "metrics"]

TIMEOUT: Final = 2.0
"""Seconds that one export may take, unless the environment says otherwise: exit waits no longer than that."""

PROMETHEUS_HOST: Final = "127.0.0.1"
PROMETHEUS_PORT: Final = 9464
"""The port of OpenTelemetry's convention, where `OTEL_METRICS_EXPORTER=prometheus` names none."""

_COMMON: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
_DEFAULT_COLLECTOR: Final = "http://localhost:4318"
_KNOWN: Final[Mapping[Signal, frozenset[str]]] = {
    "traces": frozenset({"otlp", "none"}),
    "metrics": frozenset({"otlp", "prometheus", "none"}),
}
_SIGNAL_PATH: Final = re.compile(r"/v1/(?:traces|metrics|logs)/?$")


@dataclass(frozen=True, kw_only=True)
class Overrides:
    """What a caller of `configure` said itself; None leaves it to the environment and the configuration."""

    service_name: str | None = None
    service_version: str | None = None
    otlp_endpoint: str | None = None
    prometheus_port: int | None = None
    serve_metrics: bool = True
    """Whether metrics may be fetched here at all."""
    metrics_every: float | None = None
    """Seconds between two exports of metrics."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where one signal is sent."""

    url: str
    """The whole URL, with the signal's path."""
    named_by: str
    """Who said so: an argument, a variable or a key of the configuration."""
    optional: bool
    """Whether it was said by the environment only, which may be meant for other programs too."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is exported, and where to."""

    resource: Mapping[str, str]
    """Who we are, as attributes; what only the environment says about it is left out."""
    traces: Target | None = None
    metrics: Target | None = None
    prometheus: tuple[str, int] | None = None
    """Address and port at which metrics can be fetched."""
    timeout: float | None = TIMEOUT
    """Seconds of one export; None leaves it to the environment."""
    metrics_every: float | None = None
    """Seconds between two exports of metrics; None leaves that to the environment, too."""
    notes: tuple[str, ...] = ()
    """What is passed over, in sentences for the log."""

    @property
    def empty(self) -> bool:
        """Whether nothing is exported."""
        return self.traces is None and self.metrics is None and self.prometheus is None


def plan(said: Overrides, settings: Telemetry, environ: Mapping[str, str]) -> Plan:
    """Return what is exported, of an environment, a configuration and what a caller said itself."""
    resource = _resource(said, settings, environ)
    if _get(environ, "OTEL_SDK_DISABLED").lower() == "true":
        return Plan(resource=resource)
    notes: list[str] = []
    targets: dict[Signal, Target | None] = {}
    exporters: dict[Signal, frozenset[str]] = {}
    for signal in _KNOWN:
        exporters[signal] = _exporters(signal, environ, notes)
        targets[signal] = _target(signal, exporters[signal], said=said, settings=settings, environ=environ, notes=notes)
    if any(targets.values()):
        notes += _protocols(environ)
    return Plan(
        resource=resource,
        **targets,
        prometheus=_prometheus(exporters["metrics"], said, settings, environ, notes),
        timeout=None if _says(environ, "TIMEOUT") else TIMEOUT,
        metrics_every=said.metrics_every,
        notes=tuple(notes),
    )


def secrets_of(settings: Telemetry, said: Overrides, environ: Mapping[str, str]) -> Iterator[str]:
    """Yield what must not be shown of how a collector is reached: headers, and what URLs hold besides a place."""
    for infix in ("", "TRACES_", "METRICS_"):
        for pair in _get(environ, f"OTEL_EXPORTER_OTLP_{infix}HEADERS").split(","):
            yield from _in_header(pair.strip())
        yield from _in_url(_get(environ, f"OTEL_EXPORTER_OTLP_{infix}ENDPOINT"))
    for url in (said.otlp_endpoint, settings.otlp_endpoint):
        yield from _in_url(url or "")


def _in_header(pair: str) -> Iterator[str]:
    """Yield what is secret of `name=value`; where that is not what it is, all of it, and what stands after a colon."""
    name, equals, value = pair.partition("=")
    found = [value.strip()] if equals else [pair]
    if ":" in name:
        found += [pair, pair.partition(":")[2].strip()]
    for each in found:
        plain = unquote(each)
        yield each  # as exporters quote it where they cannot read it
        yield plain
        yield plain.rpartition(" ")[2]  # without its scheme: Bearer, Basic


def _in_url(url: str) -> Iterator[str]:
    try:
        parts = urlsplit(url)
        values = [parts.username or "", parts.password or "", *(value for _, value in parse_qsl(parts.query))]
        values += [part for part in parts.query.split("&") if "=" not in part]
    except ValueError:
        return  # no URL: whoever uses it will say so
    for value in values:
        yield value
        yield unquote(value)


def _get(environ: Mapping[str, str], name: str) -> str:
    """Return a variable; one that is empty is as good as none, as the specification says."""
    return environ.get(name, "").strip()


def _says(environ: Mapping[str, str], what: str) -> bool:
    return any(_get(environ, f"OTEL_EXPORTER_OTLP_{infix}{what}") for infix in ("", "TRACES_", "METRICS_"))


def resource_of(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what an environment says of who we are, read as OpenTelemetry reads that of the process."""
    pairs = (pair.partition("=") for pair in _get(environ, "OTEL_RESOURCE_ATTRIBUTES").split(","))
    found = {key.strip(): unquote(value.strip()) for key, _, value in pairs if key.strip() and value.strip()}
    if name := _get(environ, "OTEL_SERVICE_NAME"):
        found["service.name"] = name
    return found


def _resource(said: Overrides, settings: Telemetry, environ: Mapping[str, str]) -> dict[str, str]:
    known = resource_of(environ)
    found: dict[str, str] = {}
    if said.service_name is not None or "service.name" not in known:
        found["service.name"] = said.service_name or settings.service_name
    if said.service_version is not None:
        found["service.version"] = said.service_version
    elif "service.version" not in known and found.get("service.name") == Telemetry.service_name:
        # The version of another program that recloser is a part of is not ours to say.
        found["service.version"] = __version__
    return found


def _exporters(signal: Signal, environ: Mapping[str, str], notes: list[str]) -> frozenset[str]:
    """Return what `OTEL_{signal}_EXPORTER` names; empty where it says nothing."""
    variable = f"OTEL_{signal.upper()}_EXPORTER"
    words = frozenset(word.strip().lower() for word in _get(environ, variable).split(",") if word.strip())
    unknown = words - _KNOWN[signal]
    if unknown:
        known = ", ".join(sorted(_KNOWN[signal]))
        notes.append(f"{variable}: {', '.join(sorted(unknown))} is passed over; known here: {known}")
    # A word that is not known here names another exporter than ours, so that ours is not meant.
    return words


def _target(
    signal: Signal,
    exporters: frozenset[str],
    *,
    said: Overrides,
    settings: Telemetry,
    environ: Mapping[str, str],
    notes: list[str],
) -> Target | None:
    if exporters and "otlp" not in exporters:
        return None
    if said.otlp_endpoint is not None:
        return Target(url=_with_path(said.otlp_endpoint, signal), named_by="otlp_endpoint", optional=False)
    own = f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT"
    if url := _url(own, environ, notes):
        return Target(url=url, named_by=own, optional=True)
    if url := _url(_COMMON, environ, notes):
        return Target(url=_with_path(url, signal), named_by=_COMMON, optional=True)
    if settings.otlp_endpoint is not None:
        key = "recloser.telemetry.otlp_endpoint"
        return Target(url=_with_path(settings.otlp_endpoint, signal), named_by=key, optional=False)
    if "otlp" in exporters:
        variable = f"OTEL_{signal.upper()}_EXPORTER"
        return Target(url=_with_path(_DEFAULT_COLLECTOR, signal), named_by=variable, optional=True)
    return None


def _url(variable: str, environ: Mapping[str, str], notes: list[str]) -> str:
    """Return what a variable says; empty if that is no URL."""
    url = _get(environ, variable)
    try:
        if url:
            Telemetry(otlp_endpoint=url)
    except ValueError:
        note = f"{variable} must be a URL like {_DEFAULT_COLLECTOR}; it is passed over"
        if note not in notes:
            notes.append(note)
        return ""
    return url


def _with_path(base: str, signal: Signal) -> str:
    """Return the URL for a signal; somebody may have copied one that ends in a signal's path already."""
    head, mark, query = base.partition("?")
    return f"{_SIGNAL_PATH.sub('', head).rstrip('/')}/v1/{signal}{mark}{query}"


def _prometheus(
    exporters: frozenset[str], said: Overrides, settings: Telemetry, environ: Mapping[str, str], notes: list[str]
) -> tuple[str, int] | None:
    if exporters == {"none"} or not said.serve_metrics:
        return None
    named = _port(environ, notes)
    if said.prometheus_port is not None:
        port = said.prometheus_port
    elif "prometheus" in exporters or settings.prometheus_port is not None:
        port = next(each for each in (named, settings.prometheus_port, PROMETHEUS_PORT) if each is not None)
    else:
        return None
    return _get(environ, "OTEL_EXPORTER_PROMETHEUS_HOST") or PROMETHEUS_HOST, port


def _port(environ: Mapping[str, str], notes: list[str]) -> int | None:
    said = _get(environ, "OTEL_EXPORTER_PROMETHEUS_PORT")
    if not said or (said.isdecimal() and int(said) <= 65535):
        return int(said) if said else None
    notes.append(f"OTEL_EXPORTER_PROMETHEUS_PORT: {said!r} is no port and is passed over")
    return None


def _protocols(environ: Mapping[str, str]) -> Iterator[str]:
    for infix in ("", "TRACES_", "METRICS_"):
        name = f"OTEL_EXPORTER_OTLP_{infix}PROTOCOL"
        wanted = _get(environ, name).lower()
        if wanted not in ("", "http/protobuf"):
            yield f"{name}={wanted} is not spoken here; http/protobuf is used, whose port is 4318 by convention"
