"""What a configuration comes to: frozen records that check themselves."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import SecretStr

from recloser.options import Server
from recloser.redact import Redactor

__all__ = ["Gateway", "Names", "Settings", "Telemetry"]

Names: TypeAlias = Literal["qualified", "bare"]


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

    capture_content: bool = False
    """Whether arguments and results stand in spans; they may hold anything, so nobody's do unless asked for."""
    audit: Path | None = None
    """A file that gets one line per call; relative to the configuration file. None means the log."""
    otlp_endpoint: str | None = None
    """The collector that spans and metrics are sent to, such as `http://127.0.0.1:4318`; None means nowhere. Plain
    `http://` is allowed here: neither holds a secret or content, unless `capture_content` is on."""
    service_name: str = "recloser"
    """The name of this process in traces and metrics."""

    def __post_init__(self) -> None:
        if self.otlp_endpoint is not None and not self.otlp_endpoint.startswith(("http://", "https://")):
            raise ValueError("telemetry.otlp_endpoint must begin with http:// or https://")
        if not self.service_name:
            raise ValueError("telemetry.service_name must not be empty")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that a configuration says, checked."""

    servers: tuple[Server, ...] = ()
    """All servers, in the order of the file, those that are not enabled too."""
    gateway: Gateway = field(default_factory=Gateway)
    telemetry: Telemetry = field(default_factory=Telemetry)
    names: Names = "qualified"
    """How tools are shown: `server__tool`, or under their own names where those are unique."""
    cache: Path | None = None
    """A file that keeps the servers' lists between runs, so that a server that is down at start is known nevertheless;
    relative to the configuration file. None means no such file."""
    source: Path | None = None
    """The file that was read."""
    secrets: frozenset[SecretStr] = field(default=frozenset(), repr=False)
    """Values that must never be shown."""
    notes: tuple[str, ...] = ()
    """What is no mistake but may surprise: names that were changed, keys that have no meaning here."""

    def redactor(self) -> Redactor:
        """Return a redactor that knows these secrets by value."""
        return Redactor(secret.get_secret_value() for secret in self.secrets)
