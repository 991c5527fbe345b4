"""Pictures in a tool's result: one that an API refuses would stay in the conversation and cost every later request."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import mcp_types as types
import pytest

from recloser.hosts import formats
from recloser.hosts.formats import anthropic_result, openai_message, openai_output

PNG, JPEG, GIF, WEBP = (
    b64encode(data).decode()
    for data in (b"\x89PNG\r\n\x1a\n....", b"\xff\xd8\xff\xe0....", b"GIF89a....", b"RIFF\n\x00\x00\x00WEBPVP8 ....")
)


def image(data: str, mime_type: str = "image/png", **more: Any) -> types.CallToolResult:
    return types.CallToolResult(content=[types.ImageContent(data=data, mime_type=mime_type)], **more)


def shown(result: types.CallToolResult) -> tuple[str, str] | None:
    """What both APIs are shown; None where it is named in a text instead."""
    (block,) = anthropic_result("1", result)["content"]
    output = openai_output("1", result)["output"]
    if block["type"] == "text":
        assert block["text"] == output
        return None
    assert block["source"]["type"] == "base64"
    found = block["source"]["media_type"], block["source"]["data"]
    assert output[0]["image_url"] == "data:{};base64,{}".format(*found)
    return found


@pytest.mark.parametrize("said", ["image/png", "IMAGE/PNG", " image/png; charset=binary", "image/jpg", "image/x-any"])
@pytest.mark.parametrize(
    ("data", "true"),
    [(PNG, "image/png"), (JPEG, "image/jpeg"), (GIF, "image/gif"), (WEBP, "image/webp")],
)
def test_a_picture_is_shown_as_what_its_data_are_whatever_the_server_calls_it(data: str, true: str, said: str) -> None:
    assert shown(image(data, said)) == (true, data)


@pytest.mark.parametrize(
    "data",
    [f"data:image/png;base64,{PNG}", f" DATA:image/png;base64,\n{PNG}", f"{PNG[:4]}\r\n{PNG[4:]}\n"],
)
def test_data_in_a_uri_or_in_lines_are_unwrapped(data: str) -> None:
    assert shown(image(data)) == ("image/png", PNG)


@pytest.mark.parametrize(
    ("data", "mime_type"),
    [
        ("", "image/png"),
        ("@@@ not base64", "image/png"),
        ("größe", "image/png"),
        (PNG[:-1], "image/png"),
        ("aGVsbG8=", "image/png"),
        ("data:image/png,%89PNG", "image/png"),
        ("data:", "image/png"),
        ("PHN2Zy8+", "image/svg+xml"),
        (PNG, "application/octet-stream"),
        (PNG, ""),
    ],
)
def test_what_is_no_picture_that_the_apis_take_is_named(data: str, mime_type: str) -> None:
    result = image(data, mime_type)
    assert shown(result) is None
    assert openai_message("1", result)["content"].startswith(f"[image: {mime_type}, ")


def test_an_error_shows_anthropics_api_no_picture_which_it_refuses_there() -> None:
    result = types.CallToolResult(
        content=[types.TextContent(text="it failed"), types.ImageContent(data=PNG, mime_type="image/png")],
        is_error=True,
    )
    block = anthropic_result("1", result)
    assert block["is_error"] is True
    assert block["content"] == [
        {"type": "text", "text": "it failed"},
        {"type": "text", "text": "[image: image/png, 12 bytes, not shown]"},
    ]
    assert [part["type"] for part in openai_output("1", result)["output"]] == [
        "input_text",
        "input_text",
        "input_image",
    ]


def test_a_picture_larger_than_anthropics_api_takes_is_named_there_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "IMAGE_MAX", len(PNG))
    assert shown(image(PNG)) == ("image/png", PNG)
    monkeypatch.setattr(formats, "IMAGE_MAX", len(PNG) - 1)
    assert anthropic_result("1", image(PNG))["content"] == [
        {"type": "text", "text": "[image: image/png, 12 bytes, not shown]"}
    ]
    assert openai_output("1", image(PNG))["output"][0]["type"] == "input_image"
