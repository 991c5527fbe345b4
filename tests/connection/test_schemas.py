"""Results against schemas that servers write: what does not fit is told, and nothing holds up the loop."""

from __future__ import annotations

import math
import re
from typing import Any

import mcp_types as types
import pytest

from recloser.connection.patterns import steps
from recloser.connection.schemas import STEPS, OutputSchemas

ENDLESS = "^(a+)+$"
BAIT = "a" * 40 + "b"


def checked(schema: Any, value: Any, **more: Any) -> None:
    """Hold a result against a schema."""
    schemas = OutputSchemas("peer")
    output = {"type": "object", "properties": {"it": schema}, **more}
    schemas.take([types.Tool(name="tool", input_schema={"type": "object"}, output_schema=output)])
    result = types.CallToolResult(content=[], structured_content={"it": value})
    schemas.check("tool", result)
    schemas.check("tool", result)


@pytest.mark.parametrize(
    ("pattern", "length", "most"),
    [
        ("abc", 10, 11),
        ("^abc$", 10, 1),
        ("^a+$", 10, 11),
        ("a+$", 10, 121),
        (r"^\\d{4}-\\d{2}-\\d{2}$".replace("\\\\", "\\"), 10, 1),
        ("^a{2,5}$", 10, 4),
        ("^a{2,}b{,3}$", 10, 44),
        ("^(red|green|blue)$", 10, 3),
        ("^(?:a|b)?c?$", 10, 8),
        ("^[a-z+*(]+$", 10, 11),
        (r"^[\]|]+\+\($", 10, 11),
        ("^(ab)+$", 10, 11),
        ("^a{}$", 10, 1),
    ],
)
def test_a_pattern_costs_a_power_of_the_length_times_its_branches(pattern: str, length: int, most: float) -> None:
    assert steps(pattern, length) == most


@pytest.mark.parametrize(
    "pattern",
    [ENDLESS, "(a*)*", "(a|aa)+", "(a?){25}", "((a|b)c)*", r"(a+)\1+", "(?P<x>a)(?P=x)", "(?:a+){2,}", "(a{1,3})*"],
)
def test_a_pattern_that_nests_what_varies_costs_what_nobody_knows(pattern: str) -> None:
    re.compile(pattern)
    assert steps(pattern, 10) == math.inf


def test_a_bound_that_no_number_holds_is_no_bound() -> None:
    assert steps("a*" * 200, 10**6) == math.inf


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"pattern": "^[a-z]+$"}, "A"),
        ({"uniqueItems": True}, [1, 1]),
        ({"patternProperties": {"^x": {"type": "integer"}}}, {"x": "no"}),
        ({"additionalProperties": False}, {"x": 1}),
        ({"patternProperties": {"^x": {}}, "additionalProperties": False}, {"y": 1}),
        ({"unevaluatedProperties": False}, {"x": 1}),
    ],
)
def test_what_a_schema_forbids_is_found(schema: dict[str, Any], value: Any) -> None:
    with pytest.raises(RuntimeError, match="Invalid structured content"):
        checked(schema, value)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"pattern": ENDLESS}, BAIT),
        ({"pattern": "a*a*a*$"}, BAIT * 20),
        ({"patternProperties": {ENDLESS: {"type": "integer"}}}, {BAIT: "no"}),
        ({"patternProperties": {ENDLESS: {}}, "additionalProperties": False}, {BAIT: 1}),
        ({"allOf": [{"patternProperties": {ENDLESS: {}}}], "unevaluatedProperties": False}, {BAIT: 1}),
        ({"uniqueItems": True}, [{"n": number % 1999} for number in range(2000)]),
    ],
)
def test_what_would_hold_up_the_loop_is_left_unchecked(schema: dict[str, Any], value: Any) -> None:
    checked(schema, value)


def test_what_is_too_dear_does_not_hide_what_is_not() -> None:
    with pytest.raises(RuntimeError, match="Invalid structured content"):
        checked({"items": {"pattern": "^(a+)+b$|^c$"}, "type": "array", "contains": {"const": 3}}, ["d", BAIT])


def test_the_patterns_of_one_result_share_one_allowance() -> None:
    text = "." * 1400
    assert steps("^.*x.*$", len(text)) < STEPS < 2 * steps("^.*x.*$", len(text))
    with pytest.raises(RuntimeError):
        checked({"type": "array", "items": {"pattern": "^.*x.*$"}}, [text])
    checked({"type": "array", "items": {"pattern": "^.*x.*$"}}, ["x" * 1400, text])


@pytest.mark.parametrize("schema", [{"type": 7}, {"$ref": "https://nowhere.invalid/schema"}, {"pattern": "("}])
def test_a_schema_that_is_none_forbids_nothing_and_is_told_of_once(
    schema: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    checked(schema, "x")
    (record,) = caplog.records
    assert record.getMessage().startswith("server peer: the output schema of 'tool' is none, and not checked (")


def test_a_schema_that_never_ends_forbids_nothing() -> None:
    checked({}, "x", **{"$ref": "#"})


def test_what_is_said_of_members_holds_for_objects_alone() -> None:
    checked({"patternProperties": {"^x": {"type": "integer"}}}, "x")
