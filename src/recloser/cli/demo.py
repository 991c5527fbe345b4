"""`recloser demo`: the main job, shown on four real servers."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from recloser.cli.observing import AuditFile, LogFormat, LogLevelOption, Observing, Otlp
from recloser.cli.running import run
from recloser.demo.story import tell

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics import MeterProvider

__all__ = ["METRICS_EVERY", "demo", "every"]

METRICS_EVERY: Final = 1.0
"""Seconds between two exports of metrics: in the usual minute the demo is over, and only its end would be seen."""


def demo(
    *,
    otlp: Otlp = None,
    audit: AuditFile = None,
    log_level: LogLevelOption = None,
    log_format: LogFormat = None,
) -> int:
    """Show the main job on four real servers: needs no network, no key, and about a quarter of a minute."""
    observing = Observing(
        otlp=otlp, audit=audit, log_level=log_level, log_format=log_format, metrics_every=every(os.environ)
    )
    return run(_demo(observing))


def every(environ: Mapping[str, str]) -> float | None:
    """Return the seconds between two exports of metrics; None where the environment says them."""
    return None if environ.get("OTEL_METRIC_EXPORT_INTERVAL", "").strip() else METRICS_EVERY


async def _demo(observing: Observing) -> int:
    async with observing.begun() as observed:
        return await tell(last=lambda: asyncio.to_thread(_flush, observed["meter_provider"]), **observed)


def _flush(provider: MeterProvider | None) -> None:
    """Send how everything is at the end of the story: a collector shows for minutes what it heard last."""
    if provider is not None:
        with suppress(Exception):  # what has not arrived is told in the end
            provider.force_flush()
