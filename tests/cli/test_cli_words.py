"""The words after `recloser call`: configuration, tool, arguments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer

from recloser.cli.words import arguments_of, split, types_of


def test_a_first_word_that_ends_like_a_configuration_is_one() -> None:
    assert split(["mcp.json", "math__add", "a=1"]) == (Path("mcp.json"), "math__add", ["a=1"])
    assert split(["recloser.toml", "add"]) == (Path("recloser.toml"), "add", [])


def test_a_first_word_that_is_a_file_is_the_configuration_whatever_its_name(tmp_path: Path) -> None:
    file = tmp_path / "servers"
    file.write_text("{}", encoding="utf-8")
    assert split([str(file), "add"]) == (file, "add", [])


def test_any_other_first_word_is_the_tool() -> None:
    assert split(["math__add", "a=1", "b=2"]) == (None, "math__add", ["a=1", "b=2"])


@pytest.mark.parametrize("words", [[], ["mcp.json"]])
def test_without_a_tool_there_is_nothing_to_call(words: list[str]) -> None:
    with pytest.raises(typer.BadParameter, match="Say which tool"):
        split(words)


SCHEMA: dict[str, Any] = {
    "type": "object",
    "$defs": {
        "Point": {"type": "object", "properties": {"x": {"type": "number"}}},
        "Loop": {"anyOf": [{"$ref": "#/$defs/Loop"}, {"type": "boolean"}]},
        "a/b~c": {"type": "array"},
    },
    "properties": {
        "text": {"type": "string"},
        "count": {"type": "integer"},
        "share": {"anyOf": [{"type": "integer"}, {"type": "number"}]},
        "on": {"type": "boolean"},
        "list": {"type": ["array", "null"]},
        "point": {"$ref": "#/$defs/Point"},
        "loop": {"$ref": "#/$defs/Loop"},
        "odd": {"$ref": "#/$defs/a~1b~0c"},
        "gone": {"$ref": "#/$defs/Nothing"},
        "far": {"$ref": "https://example.com/schema.json"},
        "level": {"enum": [1, 2.5, None, True, {"x": 1}, [1]]},
        "mode": {"const": "fast"},
        "either": {"oneOf": [{"type": "integer"}, {"type": "string"}]},
        "both": {"allOf": [{"type": "integer"}, {"minimum": 1}]},
        "any": {},
        "broken": {"type": 5, "anyOf": "x", "enum": 3},
        "true": True,
    },
}


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("text=5", "5"),
        ("text=", ""),
        ("text=a=b", "a=b"),
        ("count=-5", -5),
        ("share=2.5", 2.5),
        ("on=true", True),
        ("list=[1, 2]", [1, 2]),
        ("list=null", None),
        ('point={"x": 1}', {"x": 1}),
        ("loop=false", False),
        ("odd=[]", []),
        ("gone=5", "5"),
        ("far=5", "5"),
        ("level=2.5", 2.5),
        ("mode=fast", "fast"),
        ("either=5", "5"),
        ("both=5", 5),
        ("any=5", "5"),
        ("any:=5", 5),
        ('text:="5"', "5"),
        ("broken=5", "5"),
        ("true=5", "5"),
        ("unknown=5", "5"),
    ],
)
def test_a_value_is_read_as_json_where_the_schema_wants_no_string(word: str, value: object) -> None:
    key = word.partition("=")[0].removesuffix(":")
    assert arguments_of([word], SCHEMA) == {key: value}


def test_one_json_object_gives_all_arguments() -> None:
    assert arguments_of([' {"a": 1, "b": "x"}'], SCHEMA) == {"a": 1, "b": "x"}


def test_no_words_are_no_arguments() -> None:
    assert arguments_of([], SCHEMA) == {}


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["text"], "no argument"),
        (["=5"], "no argument"),
        ([":=5"], "no argument"),
        (["text=1", "text=2"], "given twice"),
        (["count=five"], "count must be integer, got 'five'"),
        (["list=[1"], "list must be array, got"),
        (["any:=five"], "any must be JSON, got 'five'"),
        (['{"a": 1'], "not JSON"),
        (['{"a": 1}', "b=1"], "no argument"),
        (['{"a": NaN}'], "JSON knows no NaN"),
        (["any:=-Infinity"], "any must be JSON, got '-Infinity'"),
        (['{"a": ' + "[" * 200_000], "nested too deeply"),
        (["list=" + "[" * 200_000], r"list must be array, got '\[{200}…'"),
    ],
)
def test_a_word_that_is_no_argument_is_refused_with_what_was_expected(words: list[str], complaint: str) -> None:
    with pytest.raises(typer.BadParameter, match=complaint):
        arguments_of(words, SCHEMA)


def test_a_tool_without_a_usable_schema_takes_strings() -> None:
    assert arguments_of(["a=1"], {}) == {"a": "1"}
    assert arguments_of(["a=1"], {"properties": [1]}) == {"a": "1"}
    assert types_of(None, {}) == frozenset()
