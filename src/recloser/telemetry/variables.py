"""Variables that OpenTelemetry reads by itself: what it does not accept of them is a mistake in the configuration."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from recloser.config import ConfigurationError, Mistake
from recloser.redact import redact

__all__ = ["load_named", "reading"]


@contextmanager
def reading(*prefixes: str) -> Iterator[None]:
    """Let a part of OpenTelemetry be made that reads variables with these prefixes.

    Raises:
        ConfigurationError: it does not accept what one of them says. Where none of them is set, it is no mistake of a
            configuration, and is raised as it is.
    """
    try:
        yield
    except Exception as error:
        said = sorted(name for name in os.environ if name.startswith(prefixes))
        # Some of its errors name the variable, and others only what they call the value.
        named = [name for name in said if name in str(error)] or said
        if not named:
            raise
        told = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        message = redact(f"OpenTelemetry does not accept what it says: {told}")
        raise ConfigurationError([Mistake(file=None, path=", ".join(named), message=message)]) from error


def load_named() -> None:
    """Load what variables name as packages or providers, which OpenTelemetry does when somebody first asks for it.

    Raises:
        ConfigurationError: there is no such thing.
    """
    from opentelemetry import metrics, trace

    with reading("OTEL_PROPAGATORS"):
        import opentelemetry.propagate  # noqa: F401 - it looks for them while it is imported
    with reading("OTEL_PYTHON_TRACER_PROVIDER"):
        trace.get_tracer_provider()
    with reading("OTEL_PYTHON_METER_PROVIDER"):
        metrics.get_meter_provider()
