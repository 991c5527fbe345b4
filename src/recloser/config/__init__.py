"""Files to options: what a host has already works as it is, and what is ours stands beside it."""

from __future__ import annotations

from recloser.config.loading import load
from recloser.config.mistakes import ConfigurationError, Mistake
from recloser.config.reading import FILES, find
from recloser.config.settings import Gateway, Settings, Telemetry

__all__ = ["FILES", "ConfigurationError", "Gateway", "Mistake", "Settings", "Telemetry", "find", "load"]
