"""Logs, spans and metrics of a process: their set-up, and the door of OpenTelemetry's SDK, its exporters and structlog.

Nothing of these is loaded before `configure` is called and needs it.
"""

from __future__ import annotations

from recloser.telemetry.configuring import Configured, configure

__all__ = ["Configured", "configure"]
