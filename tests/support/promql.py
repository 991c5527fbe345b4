"""What a PromQL expression names, as far as a test of names needs it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from recloser.telemetry.schema import schema

_SCHEMA: Final = schema()
_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"')
_SELECTOR: Final = re.compile(r"([a-zA-Z_:][\w:]*)\s*\{([^}]*)\}")
_BY: Final = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_MATCHER: Final = re.compile(r"\s*([a-zA-Z_]\w*)\s*(?:=~|!~|!=|=)")
_WORD: Final = re.compile(r"(?<![\w$])([a-zA-Z_:][\w:]*)\b(?!\s*\()")
_NO_METRIC: Final = frozenset({"and", "or", "unless", "offset", "bool", "by", "vector"})


def series() -> dict[str, set[str]]:
    """Every name under which Prometheus knows something of ours, with the labels that it may have."""
    found: dict[str, set[str]] = {}
    for metric in _SCHEMA["metrics"]:
        labels = {name.replace(".", "_") for name in metric["attributes"]}
        name = metric["prometheus"]
        if metric["instrument"] == "histogram":
            found[f"{name}_bucket"] = labels | {"le"}
            found[f"{name}_sum"] = found[f"{name}_count"] = labels
        else:
            found[name] = labels
    return found


def values() -> dict[str, set[str]]:
    """What a label can hold, where that is a closed list."""
    return {
        name.replace(".", "_"): set(facts["values"])
        for name, facts in _SCHEMA["attributes"].items()
        if "values" in facts
    }


def metrics_of(expression: str) -> set[str]:
    """The metrics that an expression asks for."""
    plain = _STRING.sub("", expression)
    plain = _BY.sub("", re.sub(r"\{[^}]*\}|\[[^\]]*\]", "", plain))
    return {word for word in _WORD.findall(plain) if word not in _NO_METRIC and not re.fullmatch(r"\d\w*", word)}


def labels_of(expression: str) -> set[str]:
    """The labels that an expression names."""
    found = {label.strip() for group in _BY.findall(expression) for label in group.split(",")}
    return {label for label in found | {label for label, _ in matchers_of(expression)} if label}


def matchers_of(expression: str) -> Iterator[tuple[str, str]]:
    """Label and value of every matcher."""
    for _, inside in _SELECTOR.findall(expression):
        yield from re.findall(r'([a-zA-Z_]\w*)\s*(?:=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"', inside)


def wrong_with(expression: str) -> list[str]:
    """What an expression names that there is not."""
    known, allowed = series(), values()
    asked = metrics_of(expression)
    wrong = [f"no metric {name}" for name in sorted(asked - set(known))]
    labels = set().union(*(known[name] for name in asked & set(known)))
    wrong += [f"no label {label} of {sorted(asked)}" for label in sorted(labels_of(expression) - labels)]
    for metric, inside in _SELECTOR.findall(_STRING.sub('""', expression)):
        extra = set(_MATCHER.findall(inside)) - known.get(metric, set())
        wrong += [f"no label {label} of {metric}" for label in sorted(extra)]
    for label, value in matchers_of(expression):
        for one in value.split("|") if value and not value.startswith("$") else ():
            if label in allowed and one not in allowed[label]:
                wrong.append(f"{label} is never {one!r}")
    return wrong
