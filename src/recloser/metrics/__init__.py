"""What a router counts and measures, by the OpenTelemetry API alone: without an SDK in the process, nothing is."""

from recloser.metrics.names import METRICS, Metric
from recloser.metrics.observed import Reading
from recloser.metrics.recorder import Metrics

__all__ = ["METRICS", "Metric", "Metrics", "Reading"]
