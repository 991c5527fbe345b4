"""Half a character (a lone surrogate), which texts of a server can hold and no request to a model API can."""

from __future__ import annotations

import asyncio
import json

import mcp_types as types
import pytest

from recloser import Router
from recloser.hosts import Dispatcher
from recloser.hosts.formats import anthropic_result, anthropic_tools, openai_message, openai_output, openai_tools
from support.peers import Peer

PNG = "iVBORw0KGgo="
HALF = "half \ud83d of it"


@pytest.mark.parametrize(
    "result",
    [
        types.CallToolResult(content=[types.TextContent(text=HALF)]),
        types.CallToolResult(content=[types.TextContent(text=HALF)], is_error=True),
        types.CallToolResult(content=[], structured_content={HALF: HALF}),
        types.CallToolResult(content=[types.ResourceLink(name=HALF, uri="file:///a", description=HALF)]),
        types.CallToolResult(content=[types.ImageContent(data=HALF, mime_type=HALF)]),
        types.CallToolResult(
            content=[types.EmbeddedResource(resource=types.TextResourceContents(uri="file:///a", text=HALF))]
        ),
        types.CallToolResult(
            content=[
                types.TextContent(text=HALF),
                types.ImageContent(data=PNG, mime_type="image/png"),
            ]
        ),
    ],
)
def test_half_a_character_in_a_result_is_a_question_mark_in_every_request(result: types.CallToolResult) -> None:
    for sent in (openai_message("1", result), openai_output("1", result), anthropic_result("1", result)):
        assert "half ? of it" in json.dumps(sent, ensure_ascii=False).encode().decode()


def test_half_a_character_in_a_schema_is_a_question_mark_and_in_a_name_is_not_offered() -> None:
    schema = {"properties": {"a": {"description": HALF, "enum": [HALF, "b"]}, HALF: {}}}
    halved = types.Tool(name="odd", description=HALF, input_schema=schema)
    mended = {"type": "object", "properties": {"a": {"description": "half ? of it", "enum": ["half ? of it", "b"]}}}
    assert openai_tools([halved])[0]["function"] == {
        "name": "odd",
        "description": "half ? of it",
        "parameters": mended,
    }
    assert anthropic_tools([halved]) == [{"name": "odd", "description": "half ? of it", "input_schema": mended}]


def test_a_tool_that_needs_an_argument_with_half_a_character_in_its_name_is_left_out() -> None:
    halved = types.Tool(name="odd", input_schema={"properties": {HALF: {}}, "required": [HALF]})
    assert openai_tools([halved]) == anthropic_tools([halved]) == []


def test_half_a_character_in_what_a_model_calls_is_one_in_no_answer() -> None:
    async def main() -> None:
        async with Router(Peer().server()) as router:
            calls = [
                {"id": "1", "function": {"name": HALF, "arguments": "{"}},
                {"id": "2", "function": {"name": f"peer__{HALF}", "arguments": "{}"}},
                {"id": "3", "function": {"name": "peer__echo", "arguments": json.dumps({"text": HALF})}},
            ]
            sent = await Dispatcher(router).openai(calls)
            assert len(sent) == 3
            assert json.dumps(sent, ensure_ascii=False).encode()

    asyncio.run(main())
