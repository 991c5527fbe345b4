"""What a server says of a tool's arguments, in a form that no model API refuses, and the whole request with it."""

from __future__ import annotations

from typing import Any

import mcp_types as types
import pytest

from recloser.hosts.formats import anthropic_tools, openai_tools

TEXT, NUMBER = {"type": "string"}, {"type": "number"}
ON_TOP = {"oneOf", "anyOf", "allOf", "enum", "not", "$ref"}


def tool(schema: dict[str, Any], **more: Any) -> types.Tool:
    return types.Tool(name="odd", input_schema=schema, **more)


def everywhere(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema as each API gets it, which is the same for all."""
    (chat,), (response,), (message,) = (
        openai_tools([tool(schema)]),
        openai_tools([tool(schema)], api="responses"),
        anthropic_tools([tool(schema)]),
    )
    assert chat["function"]["parameters"] == response["parameters"] == message["input_schema"]
    return message["input_schema"]  # type: ignore[no-any-return] # a tool is a dict of anything


def test_a_schema_that_is_sound_goes_out_as_it_came() -> None:
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Args",
        "type": "object",
        "properties": {
            "place": {"anyOf": [{"$ref": "#/$defs/Place"}, {"type": "null"}], "default": None, "x-order": 1},
            "when": {"type": ["string", "null"], "format": "date", "minLength": 1, "pattern": "^2"},
            "days": {
                "type": "array",
                "items": {"type": "integer", "minimum": 0, "multipleOf": 0.5},
                "uniqueItems": True,
            },
            "more": {"type": "object", "additionalProperties": {"type": "string"}, "dependentRequired": {"a": ["b"]}},
            "any": True,
        },
        "required": ["place"],
        "additionalProperties": False,
        "$defs": {"Place": {"type": "object", "properties": {"name": TEXT}, "not": {"required": ["x"]}}},
        "dependencies": {"when": ["days"], "days": {"required": ["when"]}},
    }
    assert everywhere(schema) == schema


def test_what_a_host_does_to_its_list_is_not_done_to_the_routers() -> None:
    theirs = {"type": "object", "properties": {"a": {"enum": [1]}}}
    everywhere(theirs)["properties"]["a"]["enum"].append(2)
    assert theirs == {"type": "object", "properties": {"a": {"enum": [1]}}}


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": None, "properties": None, "required": None},
        {"type": ["object", "null"], "properties": [], "required": True},
        {"type": "string"},
        {"$ref": "#/$defs/nowhere"},
        {"$ref": "https://example.com/schema"},
        {"$ref": "#"},
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
        {"enum": [{}], "not": {"required": ["x"]}},
        {"anyOf": [], "allOf": {}, "oneOf": [True, None]},
    ],
)
def test_the_top_of_a_schema_is_an_object_with_properties_whatever_the_server_says(schema: dict[str, Any]) -> None:
    got = everywhere(schema)
    assert (got["type"], got["properties"]) == ("object", {})
    assert got.get("required", []) == []
    assert not ON_TOP & got.keys()


def test_alternatives_on_top_become_one_object_that_takes_the_arguments_of_each() -> None:
    either = {
        "type": "object",
        "properties": {"route": TEXT, "file": TEXT},
        "anyOf": [{"required": ["route"]}, {"required": ["file"]}],
    }
    assert everywhere(either) == {"type": "object", "properties": {"route": TEXT, "file": TEXT}}
    kinds = {
        "oneOf": [
            {"properties": {"kind": {"const": "a"}, "x": TEXT, "y": TEXT}, "required": ["kind", "x"]},
            {"properties": {"kind": {"const": "b"}, "x": NUMBER, "y": TEXT}, "required": ["kind"]},
        ]
    }
    assert everywhere(kinds) == {
        "type": "object",
        "properties": {
            "kind": {"anyOf": [{"const": "a"}, {"const": "b"}]},
            "x": {"anyOf": [TEXT, NUMBER]},
            "y": TEXT,
        },
        "required": ["kind"],
    }


def test_what_holds_together_on_top_is_put_together_through_references() -> None:
    schema = {
        "allOf": [{"$ref": "#/definitions/a~1b"}, {"properties": {"y": TEXT}, "required": ["y"]}],
        "definitions": {"a/b": {"properties": {"x": {"$ref": "#/definitions/X"}}, "required": ["x"]}, "X": TEXT},
    }
    got = everywhere(schema)
    assert got == {
        "type": "object",
        "properties": {"x": {"$ref": "#/definitions/X"}, "y": TEXT},
        "required": ["x", "y"],
        "definitions": schema["definitions"],
    }


def test_references_that_double_at_every_step_are_followed_once_each() -> None:
    twice = {f"s{n}": {"allOf": [{"$ref": f"#/$defs/s{n + 1}"}] * 2} for n in range(60)}
    schema = {"$ref": "#/$defs/s0", "$defs": {**twice, "s60": {"properties": {"x": TEXT}, "required": ["x"]}}}
    assert everywhere(schema)["properties"] == {"x": TEXT}
    assert everywhere(schema)["required"] == ["x"]


@pytest.mark.parametrize(
    ("odd", "mended"),
    [
        (None, {}),
        ("string", {}),
        ({"type": "any"}, {}),
        ({"type": ["string", "date", "string"]}, {"type": ["string"]}),
        ({"type": ["date"]}, {}),
        ({"type": "string", "required": True}, {"type": "string"}),
        ({"type": "integer", "minimum": 0, "exclusiveMinimum": True}, {"type": "integer", "minimum": 0}),
        ({"multipleOf": 0, "minLength": -1, "maxItems": True}, {}),
        ({"enum": "a", "description": None, "uniqueItems": 1, "$id": "#x", "$anchor": "1"}, {}),
        ({"anyOf": []}, {}),
        ({"anyOf": [TEXT, None]}, {"anyOf": [TEXT, {}]}),
        ({"required": ["a", "a", 1]}, {"required": ["a"]}),
        ({"dependentRequired": {"a": "b", "c": ["d"]}}, {"dependentRequired": {"a": [], "c": ["d"]}}),
        ({"not": None, "patternProperties": []}, {}),
        ({"minLength": 1.0, "maxLength": 1.5}, {"minLength": 1.0}),
        ({"pattern": "a" * 2049, "$vocabulary": {"x": True}, "$dynamicAnchor": "a"}, {"$dynamicAnchor": "a"}),
        ({"dependencies": ["a"], "dependentSchemas": {"a": 1}}, {"dependentSchemas": {"a": {}}}),
        (
            {"pattern": r"\p{L}", "patternProperties": {"(?<js>x)": TEXT, "^x": TEXT}},
            {"patternProperties": {"^x": TEXT}},
        ),
        ({"type": "array"}, {"type": "array", "items": {}}),
        ({"type": ["array", "null"], "items": True}, {"type": ["array", "null"], "items": {}}),
        ({"type": "array", "items": [TEXT, NUMBER]}, {"type": "array", "items": {}}),
        ({"type": "array", "items": {"type": "array"}}, {"type": "array", "items": {"type": "array", "items": {}}}),
    ],
)
def test_a_keyword_in_no_form_that_json_schema_knows_is_taken_out(odd: object, mended: dict[str, Any]) -> None:
    got = everywhere({"type": "object", "properties": {"a": odd, "b": TEXT}})
    assert got == {"type": "object", "properties": {"a": mended, "b": TEXT}}


def test_an_optional_argument_whose_name_an_api_refuses_is_not_offered_there() -> None:
    said: list[str] = []
    schema = {"type": "object", "properties": {"filter[id]": TEXT, "a" * 65: TEXT, "a.b-c_1": TEXT}}
    (got,) = anthropic_tools([tool(schema)], warn=lambda name, why: said.append(f"{name}: {why}"))
    assert got["input_schema"]["properties"] == {"a.b-c_1": TEXT}
    assert said == ["odd: optional arguments left out, Anthropic's API refuses their names: 2"]
    assert openai_tools([tool(schema)])[0]["function"]["parameters"] == schema


def test_a_tool_that_needs_an_argument_whose_name_an_api_refuses_is_left_out_there() -> None:
    said: list[str] = []
    schema = {"type": "object", "properties": {"$top": NUMBER}, "required": ["$top"]}
    both = [tool(schema), types.Tool(name="good", input_schema={})]
    got = anthropic_tools(both, warn=lambda name, why: said.append(f"{name}: {why}"))
    assert [each["name"] for each in got] == ["good"]
    assert said == ["odd: left out, it needs an argument whose name Anthropic's API refuses"]
    assert openai_tools([tool(schema)])[0]["function"]["parameters"] == schema


def deep() -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(100_000):
        schema = {"not": schema}
    return schema


@pytest.mark.parametrize("schema", [deep(), {"default": float("nan")}, {"default": object()}])
def test_a_tool_whose_schema_cannot_be_sent_at_all_is_left_out(schema: dict[str, Any]) -> None:
    said: list[str] = []
    both = [tool({"properties": {"a": schema}}), types.Tool(name="good", input_schema={})]
    got = openai_tools(both, warn=lambda name, why: said.append(f"{name}: {why}"))
    assert [each["function"]["name"] for each in got] == ["good"]
    assert said == ["odd: left out, its schema cannot be written as JSON"]
    assert len(anthropic_tools(both)) == 1


def test_a_description_is_cut_to_what_a_chat_takes_and_only_there() -> None:
    fits, long = tool({}, description="d" * 1024), tool({}, description="d" * 1025)
    assert openai_tools([fits])[0]["function"]["description"] == "d" * 1024
    assert openai_tools([long])[0]["function"]["description"] == "d" * 1023 + "…"
    assert openai_tools([long], api="responses")[0]["description"] == long.description
    assert anthropic_tools([long])[0]["description"] == long.description
