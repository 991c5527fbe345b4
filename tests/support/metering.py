"""A meter provider whose numbers a test can read, and the events of calls that were never made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from recloser.events import AttemptFinished, CallFinished
from recloser.metrics import Metrics, Reading

HTTP = {"network.transport": "tcp", "network.protocol.name": "http", "server.address": "search.example"}


@dataclass(frozen=True)
class Point:
    """One series as it was exported."""

    metric: str
    attributes: dict[str, Any]
    value: float
    """Of a counter or gauge; of a histogram, its sum."""
    count: int
    unit: str
    kind: str
    bounds: tuple[float, ...] | None


class Metered:
    """An SDK that keeps what it is told."""

    def __init__(self) -> None:
        self.reader = InMemoryMetricReader()
        self.provider = MeterProvider([self.reader], shutdown_on_exit=False)

    def points(self, metric: str | None = None) -> list[Point]:
        """All series, or those of one metric."""
        data = self.reader.get_metrics_data()
        found = []
        for resource in () if data is None else data.resource_metrics:
            for scope in resource.scope_metrics:
                for each in scope.metrics:
                    if metric in (None, each.name):
                        found += [_point(each, one) for one in each.data.data_points]
        return found

    def one(self, metric: str, **attributes: Any) -> Point:
        """The one series of a metric with these attributes; dots are written as double underscores."""
        wanted = {key.replace("__", "."): value for key, value in attributes.items()}
        (point,) = (each for each in self.points(metric) if wanted.items() <= each.attributes.items())
        return point


def _point(metric: Any, one: Any) -> Point:
    return Point(
        metric=metric.name,
        attributes=dict(one.attributes),
        value=one.sum if hasattr(one, "sum") else one.value,
        count=getattr(one, "count", 0),
        unit=metric.unit,
        kind=type(metric.data).__name__,
        bounds=tuple(one.explicit_bounds) if hasattr(one, "explicit_bounds") else None,
    )


def metering(metered: Metered, *readings: Reading, **options: Any) -> Metrics:
    """Metrics that have begun."""
    metrics = Metrics(metered.provider, readings=lambda: readings, **options)
    metrics.begin()
    return metrics


def attempted(**changes: Any) -> AttemptFinished:
    """An attempt, successful unless told otherwise."""
    told: dict[str, Any] = {
        "call_id": "c-1",
        "server": "search",
        "endpoint": "search/0",
        "method": "tools/call",
        "name": "web",
        "known": True,
        "attempt": 1,
        "kind": "primary",
        "duration": 0.25,
        "code": None,
        "protocol_version": "2025-11-25",
        "where": tuple(HTTP.items()),
    }
    return AttemptFinished(**(told | changes))


def called(**changes: Any) -> CallFinished:
    """A call, successful unless told otherwise."""
    told: dict[str, Any] = {
        "call_id": "c-1",
        "method": "tools/call",
        "key": "search__web",
        "server": "search",
        "name": "web",
        "known": True,
        "caller": "alice",
        "outcome": "success",
        "code": None,
        "attempts": 1,
        "duration": 0.5,
    }
    return CallFinished(**(told | changes))


def reading(**changes: Any) -> Reading:
    """A healthy endpoint."""
    told: dict[str, Any] = {
        "server": "search",
        "endpoint": "search/0",
        "circuit": "closed",
        "failure_rate": 0.0,
        "active": 0,
        "retry_tokens": 500,
    }
    return Reading(**(told | changes))
