"""What the tests of `configure` share: ways to set it up, something to record, and programs of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

from recloser.telemetry import Configured, configure


def configured(settings: Any = None, **options: Any) -> Configured:
    """With providers that are not the process's, which a test could set but once."""
    return configure(settings, **{"set_global": False, "logs": "off", "environ": {}} | options)


def record(made: Configured) -> None:
    """A span and a count."""
    assert made.tracer_provider is not None
    assert made.meter_provider is not None
    with made.tracer_provider.get_tracer("test").start_as_current_span("work"):
        made.meter_provider.get_meter("test").create_counter("done").add(3, {"kind": "a"})


def run(code: str, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, **environ}
    return subprocess.run(
        [sys.executable, "-X", "dev", "-c", code, *words],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        env=environ,
    )
