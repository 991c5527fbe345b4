"""The tables of `docs/observability.md`, made from the schema; what stands around them is written by people."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

__all__ = ["PAGE", "filled"]

PAGE: Final = Path("docs/observability.md")
"""Where the page lies in a checkout."""

_SLOT: Final = re.compile(r"(<!-- table: (?P<name>[a-z ]+) -->\n).*?(<!-- end -->)", re.DOTALL)


_WORDS: Final = {"caller": "the caller's span", "none": "nothing", "attempts": "an attempt"}


def filled(page: str, schema: Mapping[str, Any]) -> str:
    """Return the page with its tables as the schema has them.

    Raises:
        KeyError: the page has a slot for a table that there is none of.
    """
    return _SLOT.sub(lambda found: f"{found[1]}\n{_table(_TABLES[found['name']](schema))}\n{found[3]}", page)


def _table(rows: Iterable[Sequence[str]]) -> str:
    head, *rest = rows
    lines = [head, ["---"] * len(head), *rest]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def _code(name: str) -> str:
    return f"`{name}`"


def _codes(names: Iterable[str]) -> str:
    return ", ".join(map(_code, names))


def _spans(schema: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    yield "group", "span", "kind", "what it is", "within", "ERROR where"
    for span in schema["spans"]:
        kinds = " or ".join(span["kinds"])
        within = " or ".join(_WORDS.get(parent) or _code(parent) for parent in span["parents"])
        within += f"; linked to {span['links']}" if span["links"] else ""
        yield span["group"], _code(span["name"]), kinds, span["meaning"], within, span["error"]


def _span_attributes(schema: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    yield "attribute", "type", "what it says", "on"
    for name, facts in schema["attributes"].items():
        on = [(span["name"], span["attributes"][name]) for span in schema["spans"] if name in span["attributes"]]
        if on:
            yield _code(name), facts["type"], _meaning(facts), _places(on, schema["spans"])


def _places(on: Sequence[tuple[str, str]], spans: Sequence[Mapping[str, Any]]) -> str:
    """Return on which spans something is, those together where it is so for the same reason, by groups if it can be."""
    groups: dict[str, list[str]] = {}
    for span in spans:
        groups.setdefault(span["group"], []).append(span["name"])
    by_reason: dict[str, list[str]] = {}
    for name, when in on:
        by_reason.setdefault(when, []).append(name)
    told = []
    for when, names in by_reason.items():
        left, where = list(names), []
        for group, members in groups.items():
            if set(members) <= set(left):
                where.append(group)
                left = [name for name in left if name not in members]
        told.append(", ".join([*where, *map(_code, left)]) + ("" if when == "always" else f" {when}"))
    return "; ".join(told)


def _meaning(facts: Mapping[str, Any]) -> str:
    values = facts.get("values", ())
    if not values or facts["others"] or len(values) == 1:
        return str(facts["meaning"])
    return f"{facts['meaning']} One of {_codes(values)}."


def _metrics(schema: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    yield "metric", "in Prometheus", "instrument", "unit", "what it is"
    for metric in schema["metrics"]:
        instrument = metric["instrument"].replace("_", " ")
        told = _code(metric["name"]), _code(metric["prometheus"]), instrument, _code(metric["unit"])
        yield *told, metric["description"]


def _metric_attributes(schema: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    yield "metric", "always", "where there is something to say"
    for metric in schema["metrics"]:
        parts = {
            when: _codes(name for name, told in metric["attributes"].items() if told == when)
            for when in ("always", "sometimes")
        }
        yield _code(metric["name"]), parts["always"], parts["sometimes"]


def _lines(schema: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    yield "event", "level", "fields"
    for line in schema["logs"]["events"]:
        levels = "; ".join(
            level if when == "always" else f"{level} where {when}" for level, when in line["levels"].items()
        )
        yield _code(line["event"]), levels, _codes(field["name"] for field in line["fields"])


def _everywhere(schema: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    yield "field", "type", "what it says"
    for field in schema["logs"]["everywhere"]:
        yield _code(field["name"]), field["type"], field["meaning"]


def _line_fields(schema: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    yield "field", "type", "what it says"
    told = {field["name"]: field for line in schema["logs"]["events"] for field in line["fields"]}
    for name in sorted(told):
        yield _code(name), told[name]["type"], told[name]["meaning"]


def _audit(schema: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    yield "field", "type", "what it says"
    for field in schema["audit"]["call"]:
        values = f" One of {_codes(field['values'])}." if len(field.get("values", ())) > 1 else ""
        kind = field["type"] + (" or null" if field["nullable"] else "")
        yield _code(field["name"]), kind, (field["meaning"] + values).strip()


_TABLES: Final[Mapping[str, Callable[[Mapping[str, Any]], Iterator[Sequence[str]]]]] = {
    "spans": _spans,
    "attributes of spans": _span_attributes,
    "metrics": _metrics,
    "attributes of metrics": _metric_attributes,
    "lines": _lines,
    "fields everywhere": _everywhere,
    "fields of lines": _line_fields,
    "audit": _audit,
}
