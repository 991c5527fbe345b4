"""All that recloser tells of itself, as one JSON document: `docs/telemetry-schema.json`.

`python -m recloser.telemetry.schema write`, from the top directory of a checkout, makes it anew, and the tables of
`docs/observability.md` with it; `check` says whether they are what the code says. Whoever reads our telemetry sees in
the document's history what has changed for them.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from recloser.metrics import METRICS, Metric
from recloser.spans import SCOPE
from recloser.telemetry.schema.attributes import ATTRIBUTES, Attribute
from recloser.telemetry.schema.audit import AUDIT
from recloser.telemetry.schema.logs import EVERYWHERE, LINES
from recloser.telemetry.schema.records import Field
from recloser.telemetry.schema.spans import SPANS, SpanFacts

__all__ = ["FILE", "prometheus_name", "schema", "text"]

FILE: Final = Path("docs/telemetry-schema.json")
"""Where the document lies in a checkout."""


def schema() -> dict[str, Any]:
    """Return the document."""
    return {
        "schema": "recloser.telemetry/1",
        "scope": SCOPE,
        "attributes": {name: _attribute(each) for name, each in ATTRIBUTES.items()},
        "spans": [_span(each) for each in SPANS],
        "metrics": [_metric(each) for each in METRICS],
        "logs": {
            "everywhere": [_field(each) for each in EVERYWHERE],
            "events": [
                {"event": line.event, "levels": dict(line.levels), "fields": [_field(each) for each in line.fields]}
                for line in LINES
            ],
        },
        "audit": {event: [_field(each) for each in fields] for event, fields in AUDIT.items()},
    }


def text() -> str:
    """Return the document as it stands in its file."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def _attribute(each: Attribute) -> dict[str, Any]:
    told: dict[str, Any] = {"type": each.type, "meaning": each.meaning}
    if each.values:
        told["values"] = list(each.values)
        told["others"] = each.others
    return told


def _span(each: SpanFacts) -> dict[str, Any]:
    return {
        "name": each.name,
        "group": each.group,
        "meaning": each.meaning,
        "kinds": list(each.kinds),
        "parents": list(each.parents),
        "links": each.links,
        "error": each.status,
        "attributes": dict.fromkeys(each.always, "always")
        | {name: f"when {why}" for name, why in each.sometimes.items()},
    }


def _metric(each: Metric) -> dict[str, Any]:
    told = asdict(each)
    attributes = dict.fromkeys(told.pop("attributes"), "always") | dict.fromkeys(told.pop("sometimes"), "sometimes")
    buckets = told.pop("buckets")
    return {
        **told,
        "prometheus": prometheus_name(each),
        "buckets": None if buckets is None else list(buckets),
        "attributes": attributes,
    }


def prometheus_name(each: Metric) -> str:
    """Return a metric's name in Prometheus, without the `_bucket`, `_sum` and `_count` of a histogram.

    A gauge of unit 1 gets `_ratio` from a collector, and not from a router that is scraped itself.
    """
    unit = {"s": "_seconds"}.get(each.unit, "")
    return each.name.replace(".", "_") + unit + ("_total" if each.instrument == "counter" else "")


def _field(each: Field) -> dict[str, Any]:
    told = asdict(each)
    values = told.pop("values")
    return {**told, **({"values": list(values)} if values else {})}
