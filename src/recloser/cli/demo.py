"""`recloser demo`: the main job, shown on four real servers."""

from __future__ import annotations

from recloser.cli.observing import AuditFile, LogFormat, LogLevelOption, Observing, Otlp
from recloser.cli.running import run
from recloser.demo.story import tell


def demo(
    *,
    otlp: Otlp = None,
    audit: AuditFile = None,
    log_level: LogLevelOption = None,
    log_format: LogFormat = None,
) -> int:
    """Show the main job on four real servers: needs no network, no key, and about a quarter of a minute."""
    observing = Observing(otlp=otlp, audit=audit, log_level=log_level, log_format=log_format)
    return run(_demo(observing))


async def _demo(observing: Observing) -> int:
    async with observing.begun() as observed:
        return await tell(**observed)
