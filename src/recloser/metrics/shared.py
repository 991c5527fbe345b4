"""The instruments of one meter provider, which all routers of a process share that use it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from threading import Lock
from typing import Any, Final
from weakref import WeakSet, WeakValueDictionary

from opentelemetry.metrics import Meter, MeterProvider

from recloser.metrics.names import METRICS, Metric
from recloser.metrics.observed import OBSERVED, Reading
from recloser.spans import OTHER, SCOPE
from recloser.version import __version__

__all__ = ["Few", "Shared", "Source", "shared"]

NAMES: Final = 256
"""Tools or prompts of a server that have series of their own; what comes after is `_OTHER`. Most servers have fewer
than a hundred, and the SDK keeps 2,000 series of a metric in all."""

CODES: Final = 32
"""JSON-RPC codes of a server that are told apart: it may answer with any number it likes."""

TRIES: Final = 3
"""How often readings are taken when the loop changes them meanwhile."""

_log = logging.getLogger("recloser")


class Few:
    """Lets the first values of each server through; what comes after is `_OTHER`. Grows until it is full."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._seen: dict[str, set[str]] = {}

    def __call__(self, server: str, value: str) -> str:
        """Return the value, or `_OTHER`."""
        seen = self._seen.setdefault(server, set())
        if value not in seen:
            if len(seen) >= self._most:
                return OTHER
            seen.add(value)
        return value


class Source:
    """The readings of one router. `readings` is set to None by the router's end."""

    def __init__(self, readings: Callable[[], Iterable[Reading]]) -> None:
        self.readings: Callable[[], Iterable[Reading]] | None = readings

    def read(self) -> tuple[Reading, ...]:
        """Return how the router's endpoints are now; called from the thread that exports."""
        for _ in range(TRIES):
            readings = self.readings
            if readings is None:
                break
            try:
                return tuple(readings())
            except RuntimeError:
                continue  # a server came or went while they were read
            except Exception:  # noqa: BLE001 - boundary: one router's fault must not take away the numbers of the others
                _log.exception("the state of a router could not be read")
                break
        return ()


class Shared:
    """The instruments, and the routers that observable ones ask.

    Written under its lock: routers come and go in the threads of their loops, while another thread exports.
    """

    def __init__(self, provider: MeterProvider, meter: Meter) -> None:
        # Held so that the provider's id stays its own as long as the instruments are known by it.
        self._provider = provider
        self._lock = Lock()
        self._sources: WeakSet[Source] = WeakSet()
        self.names = Few(NAMES)
        self.codes = Few(CODES)
        made = {metric.name: self._instrument(meter, metric) for metric in METRICS}
        self.operation = made["mcp.client.operation.duration"]
        self.session = made["mcp.client.session.duration"]
        self.call = made["recloser.call.duration"]
        self.retries = made["recloser.call.retries"]
        self.retry_delay = made["recloser.call.retry_delay"]
        self.suppressed = made["recloser.retry.suppressed"]
        self.transitions = made["recloser.circuit_breaker.transitions"]
        self.rejections = made["recloser.circuit_breaker.rejections"]
        self.fan_out = made["recloser.fan_out.duration"]
        self.fan_out_size = made["recloser.fan_out.size"]
        self.catalog = made["recloser.catalog.changes"]

    def _instrument(self, meter: Meter, metric: Metric) -> Any:
        known: dict[str, Any] = {"name": metric.name, "unit": metric.unit, "description": metric.description}
        make = getattr(meter, f"create_{metric.instrument}")
        if metric.buckets is not None:
            known["explicit_bucket_boundaries_advisory"] = list(metric.buckets)
        elif metric.name in OBSERVED:
            known["callbacks"] = [OBSERVED[metric.name].callback(self._readings)]
        return make(**known)

    def _readings(self) -> list[Reading]:
        with self._lock:
            sources = list(self._sources)
        return [reading for source in sources for reading in source.read()]

    def add(self, source: Source) -> None:
        """Ask this router too."""
        with self._lock:
            self._sources.add(source)

    def remove(self, source: Source) -> None:
        """Ask this router no more."""
        source.readings = None
        with self._lock:
            self._sources.discard(source)


# By the provider's id: a key would be kept alive by its value, whose instruments know their provider.
_known: WeakValueDictionary[int, Shared] = WeakValueDictionary()
_making = Lock()


def shared(provider: MeterProvider) -> Shared | None:
    """Return the instruments of a provider, made on first use; None where it is not one that records anything."""
    with _making:
        known = _known.get(id(provider))
        if known is None:
            meter = provider.get_meter(SCOPE, __version__)
            if type(meter).__module__.startswith("opentelemetry.metrics"):
                return None  # the API's own: no SDK has been set up, or it is switched off
            known = _known[id(provider)] = Shared(provider, meter)
        return known
