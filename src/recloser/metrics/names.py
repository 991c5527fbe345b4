"""Every metric of recloser: its name, its instrument, its unit, its buckets and its attributes.

Two levels that add up: what a caller asked for is a *call* (`recloser.call.*`), what went over the wire for it is an
*attempt* (`mcp.client.operation.duration`). A call makes one attempt and one more for each retry, and none where it was
refused before it reached a server.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["METRICS", "Metric"]

Instrument = Literal["counter", "histogram", "observable_gauge", "observable_up_down_counter"]

SECONDS: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
"""Bounds of the buckets of all durations: those of the conventions for MCP."""

RETRIES: Final = (1.0, 2.0, 3.0, 4.0, 5.0, 10.0)
CALLS: Final = (1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 21.0)

SERVER: Final = "recloser.server.name"
METHOD: Final = "mcp.method.name"
TOOL: Final = "gen_ai.tool.name"
PROMPT: Final = "gen_ai.prompt.name"
ENDPOINT: Final = "recloser.endpoint.name"
CIRCUIT: Final = "recloser.circuit_breaker.state"

_TARGET: Final = ("network.transport", "network.protocol.name", "server.address", "server.port")


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One metric."""

    name: str
    instrument: Instrument
    unit: str
    description: str
    attributes: tuple[str, ...]
    """Those that every point has."""
    sometimes: tuple[str, ...] = ()
    """Those that a point has where there is something to say."""
    buckets: tuple[float, ...] | None = None


METRICS: Final = (
    Metric(
        name="mcp.client.operation.duration",
        instrument="histogram",
        unit="s",
        description="Time of one request to a server: an attempt of a call, or a request of the router's own.",
        attributes=(METHOD, SERVER),
        sometimes=(
            TOOL,
            PROMPT,
            "gen_ai.operation.name",
            "error.type",
            "rpc.response.status_code",
            "mcp.protocol.version",
            *_TARGET,
        ),
        buckets=SECONDS,
    ),
    Metric(
        name="mcp.client.session.duration",
        instrument="histogram",
        unit="s",
        description="Time that a connection to a server was usable, told when it has ended.",
        attributes=(SERVER,),
        sometimes=("error.type", "mcp.protocol.version", *_TARGET),
        buckets=SECONDS,
    ),
    Metric(
        name="recloser.call.duration",
        instrument="histogram",
        unit="s",
        description="Time that a caller waited for one call: all its attempts, back-off and queueing.",
        attributes=(METHOD, SERVER, "recloser.outcome"),
        sometimes=(TOOL, PROMPT, "error.type", "recloser.error.class"),
        buckets=SECONDS,
    ),
    Metric(
        name="recloser.call.active",
        instrument="observable_up_down_counter",
        unit="{call}",
        description="Calls that are with a server now.",
        attributes=(SERVER,),
    ),
    Metric(
        name="recloser.call.retries",
        instrument="histogram",
        unit="{retry}",
        description="Retries of a call that was tried again at least once.",
        attributes=(METHOD, SERVER),
        sometimes=(TOOL, PROMPT),
        buckets=RETRIES,
    ),
    Metric(
        name="recloser.call.retry_delay",
        instrument="histogram",
        unit="s",
        description="Time in back-off of a call that was tried again at least once.",
        attributes=(SERVER,),
        buckets=SECONDS,
    ),
    Metric(
        name="recloser.retry.suppressed",
        instrument="counter",
        unit="{retry}",
        description="Failures that may pass and were not tried again all the same, by reason.",
        attributes=(SERVER, "recloser.retry.suppress_reason"),
    ),
    Metric(
        name="recloser.retry.tokens",
        instrument="observable_gauge",
        unit="{token}",
        description="What is left of a server's retry budget.",
        attributes=(SERVER,),
    ),
    Metric(
        name="recloser.circuit_breaker.status",
        instrument="observable_up_down_counter",
        unit="1",
        description="1 for the state that a circuit is in, 0 for the others.",
        attributes=(SERVER, ENDPOINT, CIRCUIT),
    ),
    Metric(
        name="recloser.circuit_breaker.failure_rate",
        instrument="observable_gauge",
        unit="1",
        description="Share of failures in the circuit's window, from 0 to 1, when the last call was counted.",
        attributes=(SERVER, ENDPOINT),
    ),
    Metric(
        name="recloser.circuit_breaker.transitions",
        instrument="counter",
        unit="{transition}",
        description="Changes of a circuit from one state to another.",
        attributes=(
            SERVER,
            ENDPOINT,
            CIRCUIT,
            "recloser.circuit_breaker.previous_state",
            "recloser.circuit_breaker.reason",
        ),
    ),
    Metric(
        name="recloser.circuit_breaker.rejections",
        instrument="counter",
        unit="{call}",
        description="Calls that an open circuit refused at once.",
        attributes=(SERVER,),
    ),
    Metric(
        name="recloser.fan_out.duration",
        instrument="histogram",
        unit="s",
        description="Time of many calls made at once, to their verdict.",
        attributes=("recloser.fan_out.result",),
        buckets=SECONDS,
    ),
    Metric(
        name="recloser.fan_out.size",
        instrument="histogram",
        unit="{call}",
        description="How many calls were made at once.",
        attributes=("recloser.fan_out.result",),
        buckets=CALLS,
    ),
    Metric(
        name="recloser.catalog.changes",
        instrument="counter",
        unit="{tool}",
        description="Tools that appeared in a server's list, or left it.",
        attributes=(SERVER, "recloser.catalog.change"),
    ),
)
"""All of them, in the order of the documentation."""
