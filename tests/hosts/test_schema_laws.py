"""Whatever a server gives as a schema, what goes out is one, by the draft that both model APIs hold it against."""

from __future__ import annotations

from typing import Any

import mcp_types as types
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from recloser.hosts.formats import anthropic_tools, openai_tools
from recloser.hosts.keywords import wellformed

ON_TOP = {"oneOf", "anyOf", "allOf", "enum", "not", "$ref"}
ALL = """
    $anchor $comment $defs $dynamicAnchor $dynamicRef $id $recursiveAnchor $recursiveRef $ref $schema $vocabulary
    additionalProperties allOf anyOf const contains contentEncoding contentMediaType contentSchema default definitions
    dependencies dependentRequired dependentSchemas deprecated description else enum examples exclusiveMaximum
    exclusiveMinimum format if items maxContains maxItems maxLength maxProperties maximum minContains minItems minLength
    minProperties minimum multipleOf not oneOf pattern patternProperties prefixItems properties propertyNames readOnly
    required then title type unevaluatedItems unevaluatedProperties uniqueItems writeOnly
"""
"""Every keyword of the 2020-12 dialect, with those that it has only deprecated."""
KEYWORDS = ALL.split()
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
WORDS = st.sampled_from(["object", "array", "string", "#", "#/$defs/a", "#/anyOf/0", "a"]) | st.text(max_size=3)
SCHEMAS = st.recursive(
    LEAVES | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYWORDS) | WORDS, inner, max_size=4),
    max_leaves=15,
)


ANY = st.dictionaries(st.sampled_from(KEYWORDS), SCHEMAS, max_size=5)


@given(ANY)
def test_what_goes_out_is_a_schema_by_the_draft_that_the_apis_check(schema: dict[str, Any]) -> None:
    tool = types.Tool(name="any", input_schema=schema)
    sent = [each["input_schema"] for each in anthropic_tools([tool])]
    sent += [each["function"]["parameters"] for each in openai_tools([tool])]
    for each in sent:
        Draft202012Validator.check_schema(each)
        assert each["type"] == "object"
        assert isinstance(each["properties"], dict)
        assert ON_TOP.isdisjoint(each)


@given(ANY)
def test_a_schema_that_the_draft_knows_loses_nothing_but_items_that_say_nothing(schema: dict[str, Any]) -> None:
    mended = wellformed(schema)
    assert wellformed(mended) == mended
    if Draft202012Validator(Draft202012Validator.META_SCHEMA).is_valid(schema):
        assert set(mended) - {"items"} == set(schema) - {"items", "$vocabulary"}
