"""What the tests of metrics share: two of their names, and what events come to."""

from __future__ import annotations

from typing import Any

from recloser.events import Event
from support.metering import Metered, metering

OPERATION = "mcp.client.operation.duration"
CALL = "recloser.call.duration"


def told(*events: Event, **options: Any) -> Metered:
    """What these events come to."""
    metered = Metered()
    metrics = metering(metered, **options)
    for event in events:
        metrics(event)
    return metered
