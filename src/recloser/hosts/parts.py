"""What a model is shown of a tool's result: texts, and pictures that the APIs take.

A picture that an API refuses would stay in the conversation and cost every later request. So one is shown only where
its data are those of a picture, and as what they are, whatever the server calls them; all else is named in a text.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode
from dataclasses import dataclass
from typing import Final

import mcp_types as types

__all__ = ["Picture", "named", "parts", "whole"]

_EMPTY: Final = "(no content)"

_BEGINNINGS: Final = re.compile(
    rb"(?P<png>\x89PNG\r\n\x1a\n)|(?P<jpeg>\xff\xd8\xff)|(?P<gif>GIF8[79]a)|(?P<webp>RIFF.{4}WEBP)", re.DOTALL
)
"""How the data of a picture begin that both APIs take."""


@dataclass(frozen=True)
class Picture:
    """A picture that the APIs take: its MIME type, and its data in base64."""

    mime_type: str
    data: str


def parts(result: types.CallToolResult) -> list[str | Picture]:
    """Return what a model is shown of a result, never nothing; structured content where there is no text."""
    found = [part for block in result.content for part in _of(block)]
    if result.structured_content is not None and not any(isinstance(part, str) for part in found):
        found.append(json.dumps(result.structured_content, ensure_ascii=False))
    return [whole(part) if isinstance(part, str) else part for part in found] or [_EMPTY]


def named(part: str | Picture) -> str:
    """Return a part as text."""
    return part if isinstance(part, str) else _named("image", part.mime_type, part.data)


def whole(text: str) -> str:
    """Return text in which half a character (a lone surrogate), which no request can hold, is a question mark."""
    return text.encode("utf-8", "replace").decode()


def _of(block: types.ContentBlock) -> list[str | Picture]:
    if isinstance(block, types.TextContent):
        return [block.text] if block.text.strip() else []  # Blank text is refused by the APIs.
    if isinstance(block, types.ImageContent | types.AudioContent):
        return [_binary(block.type, block.mime_type, block.data)]
    if isinstance(block, types.ResourceLink):
        about = f": {block.description}" if block.description else ""
        return [f"[resource {block.name} at {block.uri}{about}]"]
    resource = block.resource
    if isinstance(resource, types.TextResourceContents):
        return [resource.text] if resource.text.strip() else []
    return [_binary(f"resource {resource.uri}", resource.mime_type or "application/octet-stream", resource.blob)]


def _binary(what: str, mime_type: str, data: str) -> str | Picture:
    data = "".join(data.split())
    if data[:5].lower() == "data:":
        data = data.partition(",")[2]
    is_image = mime_type.strip().lower().startswith("image/")
    return (is_image and _picture(data)) or _named(what, mime_type, data)


def _picture(data: str) -> Picture | None:
    try:
        found = _BEGINNINGS.match(b64decode(data, validate=True))
    except ValueError:
        return None
    return Picture(f"image/{found.lastgroup}", data) if found else None


def _named(what: str, mime_type: str, data: str) -> str:
    return f"[{what}: {mime_type}, {len(data) * 3 // 4} bytes, not shown]"
