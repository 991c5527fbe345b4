"""Logs, spans and metrics of a process: their set-up, and the door of OpenTelemetry's SDK, its exporters and structlog.

Nothing of these is loaded before `configure` is called and needs it; `Stats` and `serve_status` need none of them.
"""

from __future__ import annotations

from recloser.telemetry.configuring import Configured, configure
from recloser.telemetry.stats import Stats
from recloser.telemetry.status import serve_status

__all__ = ["Configured", "Stats", "configure", "serve_status"]
