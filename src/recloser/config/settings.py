"""What a configuration comes to: frozen records that check themselves."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, get_args
from urllib.parse import urlsplit

from pydantic import SecretStr

from recloser.audit.auditor import SHORTEST_KEY
from recloser.audit.log import BACKUPS, LEAST_BYTES, MAX_BYTES
from recloser.options import Server
from recloser.redact import Redactor, redact

__all__ = ["Gateway", "LogLevel", "Logs", "Names", "Settings", "SpanKind", "Telemetry"]

Names: TypeAlias = Literal["qualified", "bare"]
Logs: TypeAlias = Literal["auto", "json", "console", "off"]
LogLevel: TypeAlias = Literal["debug", "info", "warning", "error", "critical"]
SpanKind: TypeAlias = Literal["auto", "client", "internal"]


@dataclass(frozen=True, kw_only=True)
class Gateway:
    """How `recloser serve` offers all servers as one."""

    host: str = "127.0.0.1"
    """The address that HTTP is listened on; the default is this machine alone."""
    port: int = 8080
    """The port that HTTP is listened on; 0 takes a free one."""
    path: str = "/mcp"
    """The path of the MCP endpoint."""
    names: Names = "qualified"
    """How the gateway shows tools: `server__tool`, or under their own names; where it is left out, as `recloser.names`
    says."""

    def __post_init__(self) -> None:
        if not self.host:
            raise ValueError("gateway.host must not be empty")
        if not 0 <= self.port <= 65535:
            raise ValueError(f"gateway.port must be from 0 to 65535, got {self.port!r}")
        if not self.path.startswith("/"):
            raise ValueError(f"gateway.path must begin with '/', got {self.path!r}")


@dataclass(frozen=True, kw_only=True)
class Telemetry:
    """What is told about calls, and where it goes."""

    service_name: str = "recloser"
    """The name of this process in traces and metrics; `OTEL_SERVICE_NAME` comes before it."""
    otlp_endpoint: str | None = None
    """The collector that spans and metrics are sent to over HTTP, such as `http://127.0.0.1:4318`; the variables
    `OTEL_EXPORTER_OTLP_*` come before it. None means nowhere. Plain `http://` is allowed here: neither holds a secret
    or content, unless `capture_content` is on."""
    prometheus_port: int | None = None
    """The port of this machine alone at which Prometheus can fetch the metrics; 0 takes a free one. None means none."""
    attempt_span_kind: SpanKind = "auto"
    """The kind of the spans of attempts: `client`, `internal`, or `internal` only where the MCP SDK records a client
    span of its own in each."""
    capture_content: bool = False
    """Whether arguments and results stand in spans, redacted; they may hold anything, so nobody's do unless asked."""
    logs: Logs | None = None
    """The form of log lines, on stderr: `json`, `console`, `auto` (console on a terminal, else JSON), or `off`. Left
    out, it is `auto`, and `off` for the commands that end by themselves, since they say themselves what went wrong."""
    log_level: LogLevel = "info"
    """The least that is logged. Other libraries are heard from `warning` on, or from `info` on where this
    is `debug`: what they log below may hold arguments."""
    audit: Path | None = None
    """A file that gets one line per call; relative to the configuration file. None means that none is kept."""
    audit_key: SecretStr | None = None
    """The key of the audit's hashes, of 16 bytes or more, better a reference such as `${file:/run/secrets/audit}`: what
    was called with equal arguments can be told across restarts and processes that have the same. None means a new one
    in each process."""
    audit_max_bytes: int = MAX_BYTES
    """Bytes that the audit file may have; it is then renamed to `….1`, and a new one begun."""
    audit_backups: int = BACKUPS
    """How many of the renamed audit files are kept; the oldest is deleted."""

    def __post_init__(self) -> None:
        if self.otlp_endpoint is not None:
            _check_endpoint(self.otlp_endpoint)
        if not self.service_name:
            raise ValueError("telemetry.service_name must not be empty")
        if self.prometheus_port is not None and not 0 <= self.prometheus_port <= 65535:
            raise ValueError(f"telemetry.prometheus_port must be from 0 to 65535, got {self.prometheus_port!r}")
        for name, known in _WORDS.items():
            if getattr(self, name) not in known:
                words = ", ".join(repr(word) for word in known if word is not None)
                raise ValueError(f"telemetry.{name} must be one of {words}, got {getattr(self, name)!r}")
        if self.audit_key is not None and len(self.audit_key.get_secret_value().encode()) < SHORTEST_KEY:
            raise ValueError(f"telemetry.audit_key must have at least {SHORTEST_KEY} bytes")
        if self.audit_max_bytes < LEAST_BYTES:
            raise ValueError(f"telemetry.audit_max_bytes must be at least {LEAST_BYTES}, got {self.audit_max_bytes!r}")
        if self.audit_backups < 1:
            raise ValueError(f"telemetry.audit_backups must be at least 1, got {self.audit_backups!r}")

    @property
    def hash_key(self) -> bytes | None:
        """The key of the audit's hashes, in bytes."""
        return None if self.audit_key is None else self.audit_key.get_secret_value().encode()


_WORDS: Final[dict[str, tuple[Any, ...]]] = {
    "attempt_span_kind": get_args(SpanKind),
    "logs": (*get_args(Logs), None),
    "log_level": get_args(LogLevel),
}


def _check_endpoint(url: str) -> None:
    try:
        parts = urlsplit(url)
        right = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        right = False
    if not right:
        shown = redact(url)
        raise ValueError(f"telemetry.otlp_endpoint must be a URL like http://127.0.0.1:4318, got {shown!r}")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that a configuration says, checked."""

    servers: tuple[Server, ...] = ()
    """All servers, in the order of the file, those that are not enabled too."""
    gateway: Gateway = field(default_factory=Gateway)
    telemetry: Telemetry = field(default_factory=Telemetry)
    names: Names = "qualified"
    """How tools are shown: `server__tool`, or under their own names. A name that several servers have belongs to
    the highest `priority`; where two are highest, opening is refused. Of a server that lists its tools only after the
    start, those whose names are taken stay `server__tool`, which the log tells. So does one whose own name holds a dot
    or `__`: it could be `server.tool` or `server__tool` of another server."""
    cache: Path | None = None
    """A file that keeps the servers' lists between runs, so that a server that is down at start is known nevertheless;
    relative to the configuration file. None means no such file."""
    source: Path | None = None
    """The file that was read."""
    chaos_allowed: frozenset[str] = frozenset()
    """The servers that `recloser chaos` may disturb on purpose."""
    secrets: frozenset[SecretStr] = field(default=frozenset(), repr=False)
    """Values that must never be shown."""
    notes: tuple[str, ...] = ()
    """What is no mistake but may surprise: names that were changed, keys that have no meaning here."""

    def redactor(self) -> Redactor:
        """Return a redactor that knows these secrets by value."""
        return Redactor(secret.get_secret_value() for secret in self.secrets)
