"""Tools, calls and results in the forms of the OpenAI and Anthropic APIs, held against those packages' own types."""

import json
from types import SimpleNamespace

import mcp_types as types
import pytest
from anthropic.types import ToolParam, ToolResultBlockParam, ToolUseBlock
from openai.types.chat import (
    ChatCompletionFunctionToolParam,
    ChatCompletionMessageFunctionToolCall,
    ChatCompletionToolMessageParam,
)
from openai.types.responses import FunctionToolParam, ResponseFunctionToolCall
from openai.types.responses.response_input_param import FunctionCallOutput
from pydantic import TypeAdapter

from recloser.errors import CriticalError, as_result, error_for
from recloser.hosts.formats import (
    anthropic_call,
    anthropic_result,
    anthropic_tools,
    openai_call,
    openai_message,
    openai_output,
    openai_tools,
)

PNG = "iVBORw0KGgo="
WEBP = "UklGRgAAAABXRUJQ"

TOOL = types.Tool(
    name="search__web",
    description="Search the web.",
    input_schema={"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]},
    meta={"recloser/server": "search"},
)


def fits(form: object, value: object) -> None:
    TypeAdapter(form).validate_python(value)


def text(*texts: str, **more: object) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(text=each) for each in texts], **more)


def everything() -> types.CallToolResult:
    return types.CallToolResult(
        content=[
            types.TextContent(text="first"),
            types.ImageContent(data=PNG, mime_type="image/png"),
            types.ImageContent(data="SUkqAAgAAAAA", mime_type="image/tiff"),
            types.AudioContent(data=PNG, mime_type="audio/wav"),
            types.ResourceLink(name="log", uri="file:///log", description="the log"),
            types.ResourceLink(name="bare", uri="file:///bare"),
            types.EmbeddedResource(resource=types.TextResourceContents(uri="file:///a", text="inside")),
            types.EmbeddedResource(resource=types.TextResourceContents(uri="file:///b", text=" ")),
            types.EmbeddedResource(resource=types.BlobResourceContents(uri="file:///c", blob=PNG)),
            types.EmbeddedResource(
                resource=types.BlobResourceContents(uri="file:///d", blob=WEBP, mime_type="image/webp")
            ),
            types.TextContent(text=""),
        ]
    )


def test_tools_have_the_form_of_chat_completions():
    (tool,) = openai_tools([TOOL])
    fits(ChatCompletionFunctionToolParam, tool)
    assert tool == {
        "type": "function",
        "function": {"name": "search__web", "description": "Search the web.", "parameters": TOOL.input_schema},
    }


def test_tools_have_the_form_of_responses_and_are_not_held_to_their_schema_strictly():
    (tool,) = openai_tools([TOOL], api="responses")
    fits(FunctionToolParam, tool)
    assert (tool["type"], tool["name"], tool["strict"]) == ("function", "search__web", False)
    assert tool["parameters"] == TOOL.input_schema


def test_tools_have_the_form_of_messages():
    (tool,) = anthropic_tools([TOOL])
    fits(ToolParam, tool)
    assert tool == {"name": "search__web", "description": "Search the web.", "input_schema": TOOL.input_schema}


def test_a_schema_without_type_and_properties_gets_both():
    bare = types.Tool(name="now", input_schema={})
    assert openai_tools([bare])[0]["function"] == {"name": "now", "parameters": {"type": "object", "properties": {}}}
    assert anthropic_tools([bare]) == [{"name": "now", "input_schema": {"type": "object", "properties": {}}}]
    assert bare.input_schema == {}


def test_an_api_that_nobody_knows_is_refused():
    with pytest.raises(ValueError, match="'chat' or 'responses'"):
        openai_tools([], api="assistants")


@pytest.mark.parametrize("as_object", [True, False])
def test_a_call_of_a_chat_is_read(as_object):
    call = ChatCompletionMessageFunctionToolCall(
        id="1", type="function", function={"name": "search__web", "arguments": '{"q": "x"}'}
    )
    assert openai_call(call if as_object else call.model_dump()) == ("search__web", {"q": "x"})


@pytest.mark.parametrize("as_object", [True, False])
def test_a_call_of_a_response_is_read(as_object):
    item = ResponseFunctionToolCall(type="function_call", call_id="1", name="search__web", arguments='{"q": "x"}')
    assert openai_call(item if as_object else item.model_dump()) == ("search__web", {"q": "x"})


@pytest.mark.parametrize("as_object", [True, False])
def test_a_call_of_a_message_is_read(as_object):
    block = ToolUseBlock(id="1", type="tool_use", name="search__web", input={"q": "x"}, caller=None)
    assert anthropic_call(block if as_object else block.model_dump()) == ("search__web", {"q": "x"})


@pytest.mark.parametrize("left_out", ["", "  ", None, "null", " null\n"])
def test_arguments_that_are_left_out_are_none(left_out):
    assert openai_call({"function": {"name": "now", "arguments": left_out}}) == ("now", {})
    assert anthropic_call({"name": "now", "input": left_out}) == ("now", {})


@pytest.mark.parametrize(
    "arguments",
    ['{"token": "s3cret"', "[1]", "nonsense", '{"a": NaN}', "[" * 100_000, '{"a": ' + "9" * 5000 + "}", "1"],
)
def test_arguments_that_are_no_json_object_are_refused_without_repeating_them(arguments):
    with pytest.raises(CriticalError) as caught:
        openai_call({"function": {"name": "search__web", "arguments": arguments}})
    payload = caught.value.payload
    assert (payload.code, payload.tool, payload.next_action) == ("invalid_request", "search__web", "fix_arguments")
    assert "s3cret" not in payload.message
    assert "9999" not in payload.message


def test_arguments_of_another_type_are_refused():
    with pytest.raises(CriticalError, match="not a JSON object but list"):
        anthropic_call(SimpleNamespace(name="x", input=[1]))


@pytest.mark.parametrize("call", [{}, {"type": "custom", "custom": {"name": "x"}}, {"function": {"name": ""}}, None, 3])
def test_what_is_no_call_is_refused(call):
    with pytest.raises(CriticalError, match="names none"):
        openai_call(call)


def test_text_goes_to_every_api():
    result = text("one", "two")
    message, output, block = openai_message("1", result), openai_output("1", result), anthropic_result("1", result)
    fits(ChatCompletionToolMessageParam, message)
    fits(FunctionCallOutput, output)
    fits(ToolResultBlockParam, block)
    assert message == {"role": "tool", "tool_call_id": "1", "content": "one\ntwo"}
    assert output == {"type": "function_call_output", "call_id": "1", "output": "one\ntwo"}
    assert block["content"] == [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    assert "is_error" not in block


def test_images_go_where_they_are_taken_and_are_named_elsewhere():
    result = everything()
    message, output, block = openai_message("1", result), openai_output("1", result), anthropic_result("1", result)
    fits(ChatCompletionToolMessageParam, message)
    fits(FunctionCallOutput, output)
    fits(ToolResultBlockParam, block)
    assert message["content"].split("\n") == [
        "first",
        "[image: image/png, 9 bytes, not shown]",
        "[image: image/tiff, 9 bytes, not shown]",
        "[audio: audio/wav, 9 bytes, not shown]",
        "[resource log at file:///log: the log]",
        "[resource bare at file:///bare]",
        "inside",
        "[resource file:///c: application/octet-stream, 9 bytes, not shown]",
        "[image: image/webp, 12 bytes, not shown]",
    ]
    assert [part["type"] for part in output["output"]].count("input_image") == 2
    assert output["output"][1]["image_url"] == f"data:image/png;base64,{PNG}"
    assert block["content"][1]["source"] == {"type": "base64", "media_type": "image/png", "data": PNG}
    assert len(block["content"]) == len(output["output"]) == 9


def test_structured_content_stands_in_for_missing_text():
    result = types.CallToolResult(content=[], structured_content={"größe": 1})
    assert json.loads(openai_message("1", result)["content"]) == {"größe": 1}
    said = text("said", structured_content={"a": 1})
    assert anthropic_result("1", said)["content"] == [{"type": "text", "text": "said"}]


def test_structured_content_goes_along_with_an_image():
    result = types.CallToolResult(
        content=[types.ImageContent(data=PNG, mime_type="image/png")], structured_content={"a": 1}
    )
    assert [part["type"] for part in anthropic_result("1", result)["content"]] == ["image", "text"]


def test_a_result_without_anything_says_so():
    assert openai_message("1", text())["content"] == "(no content)"
    assert anthropic_result("1", text(" "))["content"] == [{"type": "text", "text": "(no content)"}]


def test_an_error_is_told_as_one():
    result = as_result(error_for("timeout", "jira did not answer; try later").payload)
    assert openai_message("1", result)["content"] == "Error: jira did not answer; try later"
    assert openai_output("1", result)["output"] == "Error: jira did not answer; try later"
    block = anthropic_result("1", result)
    fits(ToolResultBlockParam, block)
    assert block["is_error"] is True
    assert block["content"] == [{"type": "text", "text": "jira did not answer; try later"}]


def test_an_error_with_an_image_is_told_as_one():
    result = types.CallToolResult(content=[types.ImageContent(data=PNG, mime_type="image/png")], is_error=True)
    parts = openai_output("1", result)["output"]
    assert parts[0] == {"type": "input_text", "text": "Error:"}
    assert parts[1]["type"] == "input_image"
