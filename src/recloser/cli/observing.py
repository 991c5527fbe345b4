"""What the commands that use servers have in common: where spans, metrics, logs and the audit go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias

import typer

from recloser.audit import AuditLog
from recloser.cli import output
from recloser.config import ConfigurationError, Mistake, Settings, Telemetry
from recloser.config.settings import LogLevel, Logs
from recloser.telemetry import Configured, configure

__all__ = ["AS_CONFIGURED", "VERBOSE", "AuditFile", "Form", "Level", "LogFormat", "LogLevelOption", "Observing", "Otlp"]

VERBOSE: Final[ContextVar[bool]] = ContextVar("recloser_verbose", default=False)
"""Whether `--verbose` was said, before the command."""

FLUSH: Final = 2.0
"""Seconds that the end of a command waits for the audit's last lines."""


class Level(StrEnum):
    """How much is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


class Form(StrEnum):
    """How log lines look."""

    JSON = "json"
    CONSOLE = "console"


def _collector(url: str | None) -> str | None:
    if url is not None:
        try:
            Telemetry(otlp_endpoint=url)
        except ValueError as error:
            raise typer.BadParameter(str(error).removeprefix("telemetry.otlp_endpoint ")) from error
    return url


Otlp: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        callback=_collector,
        help="Send spans and metrics to this collector, such as http://127.0.0.1:4318.",
    ),
]
AuditFile: TypeAlias = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Append one line per call to this file, without contents.")
]
LogLevelOption: TypeAlias = Annotated[Level | None, typer.Option(help="Log on stderr what matters at least this much.")]
LogFormat: TypeAlias = Annotated[
    Form | None, typer.Option(help="Log on stderr in this form; left out, console on a terminal and JSON elsewhere.")
]


@dataclass(frozen=True, kw_only=True)
class Observing:
    """What a command line says about it; where it says nothing, the environment and the configuration do."""

    otlp: str | None = None
    audit: Path | None = None
    log_level: Level | None = None
    log_format: Form | None = None
    metrics_every: float | None = None
    """Seconds between two exports of metrics, of a command that people watch meanwhile."""

    @asynccontextmanager
    async def begun(self, settings: Settings | None = None) -> AsyncIterator[dict[str, Any]]:
        """Set it up for a command, yield the arguments of its router, and in the end wait for what is on its way.

        Raises:
            ConfigurationError: what is asked for cannot be had.
        """
        told = Telemetry() if settings is None else settings.telemetry
        async with AsyncExitStack() as stack:
            # Before anything else is set up, since it is the user's to mend.
            log = self._open_audit(told)
            stack.push_async_callback(_end_audit, log)
            configured = configure(
                settings,
                otlp_endpoint=self.otlp,
                logs=self._form(told),
                log_level=self._level(),
                metrics_every=self.metrics_every,
                # A command ends soon, and may run beside the program whose configuration it is.
                serve_metrics=False,
                # It hands the providers to its own router, and may be run again in the same process.
                set_global=False,
                whole_process=True,
            )
            stack.push_async_callback(_end, configured)
            # As soon as nothing more is audited, and while there is a log to tell why something could not be written.
            stack.push_async_callback(_end_audit, log)
            yield {
                "listeners": [configured.listener] if configured.logging else [],
                "tracer_provider": configured.tracer_provider,
                "meter_provider": configured.meter_provider,
                "audit": log,
                "audit_key": told.hash_key,
                "capture_content": told.capture_content,
                "attempt_span_kind": told.attempt_span_kind,
            }

    def _form(self, told: Telemetry) -> Logs:
        """A command says itself what went wrong, so that it logs only where somebody asks for it."""
        if self.log_format is not None:
            return "json" if self.log_format is Form.JSON else "console"
        asked = self.log_level is not None or VERBOSE.get()
        return "auto" if asked and told.logs in (None, "off") else told.logs or "off"

    def _level(self) -> LogLevel | None:
        if self.log_level is not None:
            return _LEVELS[self.log_level]
        return "info" if VERBOSE.get() else None

    def _open_audit(self, told: Telemetry) -> AuditLog | None:
        path = self.audit or told.audit
        if path is None:
            return None
        try:
            return AuditLog(path, max_bytes=told.audit_max_bytes, backups=told.audit_backups)
        except OSError as error:
            place = "recloser.telemetry.audit" if self.audit is None else "--audit"
            message = f"{path} cannot be written: {error.strerror}"
            raise ConfigurationError([Mistake(file=None, path=place, message=message)]) from error


AS_CONFIGURED: Final = Observing()
"""A command line that says nothing about it."""

_LEVELS: Final[dict[Level, LogLevel]] = {
    Level.DEBUG: "debug",
    Level.INFO: "info",
    Level.WARNING: "warning",
    Level.ERROR: "error",
    Level.CRITICAL: "critical",
}


async def _end_audit(log: AuditLog | None) -> None:
    """Close the audit; again, it does nothing. What is lost is said, and changes no exit code: the calls were made."""
    if log is not None and (lost := await asyncio.to_thread(log.close, FLUSH)):
        records = "1 record of the audit was lost" if lost == 1 else f"{lost} records of the audit were lost"
        output.warn(f"{records}: {log.path} could not be written.")


async def _end(configured: Configured) -> None:
    if not await asyncio.to_thread(configured.shutdown):
        output.warn("Not all that was recorded has arrived where it was to go; is the collector running?")
