"""Tools, calls and results in the forms of the OpenAI and Anthropic APIs, and back.

Pure conversion: neither package is needed. What goes out of a tool depends on nothing but the tool, so a list looks the
same whether its servers are up or down, and a cached prompt stays valid.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, Literal

import mcp_types as types

from recloser.errors import RouterError, error_for
from recloser.hosts.schemas import Api, fitted

__all__ = [
    "anthropic_call",
    "anthropic_result",
    "anthropic_tools",
    "openai_call",
    "openai_message",
    "openai_output",
    "openai_tools",
]

_IMAGES: Final = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
"""What both APIs take."""

_EMPTY: Final = "(no content)"

DESCRIPTION_MAX: Final = 1024
"""Characters of a tool's description that OpenAI's chat completions take."""

_OPENAI: Final = Api(whose="OpenAI's", names=re.compile(r"[^\ud800-\udfff]*"))
_ANTHROPIC: Final = Api(whose="Anthropic's", names=re.compile(r"[a-zA-Z0-9_.-]{1,64}"))

Warn = Callable[[str, str], None]


def _silent(_tool: str, _why: str) -> None:
    """Tell nobody."""


_Part = str | tuple[str, str]
"""Text, or an image as its MIME type and base64 data."""


def openai_tools(
    tools: Iterable[types.Tool], *, api: Literal["chat", "responses"] = "chat", warn: Warn = _silent
) -> list[dict[str, Any]]:
    """Return tools as the `tools` of OpenAI's chat completions, or of its responses, without those that it refuses.

    Args:
        tools: under names that the API takes.
        api: which of the two.
        warn: is told the name of each tool that is left out or loses something, and why.

    Raises:
        ValueError: there is no such API.
    """
    if api not in ("chat", "responses"):
        raise ValueError(f"api must be 'chat' or 'responses', got {api!r}")
    if api == "chat":
        described = (
            _described(tool, longest=DESCRIPTION_MAX) | {"parameters": schema}
            for tool, schema in _fitted(tools, _OPENAI, warn)
        )
        return [{"type": "function", "function": function} for function in described]
    # This API holds calls to a schema strictly unless told not to, and refuses schemas not written for that.
    return [
        {"type": "function", "strict": False, **_described(tool), "parameters": schema}
        for tool, schema in _fitted(tools, _OPENAI, warn)
    ]


def anthropic_tools(tools: Iterable[types.Tool], *, warn: Warn = _silent) -> list[dict[str, Any]]:
    """Return tools as the `tools` of Anthropic's messages, without those that it refuses; `warn` is told of these."""
    return [{**_described(tool), "input_schema": schema} for tool, schema in _fitted(tools, _ANTHROPIC, warn)]


def openai_call(tool_call: object) -> tuple[str, dict[str, Any]]:
    """Return name and arguments of a model's call: an entry of a message's `tool_calls`, or a `function_call` item.

    Raises:
        CriticalError: `invalid_request`: it is no call of a function, or its arguments are not a JSON object.
    """
    function = _get(tool_call, "function")
    call = function if function is not None else tool_call
    return _named(call, _get(call, "arguments"))


def anthropic_call(block: object) -> tuple[str, dict[str, Any]]:
    """Return name and arguments of a model's call: a `tool_use` block.

    Raises:
        CriticalError: `invalid_request`: it is no call of a tool, or its input is not a JSON object.
    """
    return _named(block, _get(block, "input"))


def openai_message(tool_call_id: str, result: types.CallToolResult) -> dict[str, Any]:
    """Return a result as the `tool` message of a chat; that takes text alone, so images are named only."""
    text = "\n".join(_text(part) for part in _parts(result))
    return {"role": "tool", "tool_call_id": tool_call_id, "content": _flagged(result, text)}


def openai_output(call_id: str, result: types.CallToolResult) -> dict[str, Any]:
    """Return a result as the `function_call_output` item of a response."""
    parts = _parts(result)
    output: str | list[dict[str, Any]]
    if any(isinstance(part, tuple) for part in parts):
        output = [
            {"type": "input_image", "image_url": f"data:{part[0]};base64,{part[1]}", "detail": "auto"}
            if isinstance(part, tuple)
            else {"type": "input_text", "text": part}
            for part in parts
        ]
        if result.is_error:
            output.insert(0, {"type": "input_text", "text": "Error:"})
    else:
        output = _flagged(result, "\n".join(_text(part) for part in parts))
    return {"type": "function_call_output", "call_id": call_id, "output": output}


def anthropic_result(tool_use_id: str, result: types.CallToolResult) -> dict[str, Any]:
    """Return a result as a `tool_result` block."""
    content = [
        {"type": "image", "source": {"type": "base64", "media_type": part[0], "data": part[1]}}
        if isinstance(part, tuple)
        else {"type": "text", "text": part}
        for part in _parts(result)
    ]
    block: dict[str, Any] = {"type": "tool_result", "tool_use_id": tool_use_id, "content": content}
    return {**block, "is_error": True} if result.is_error else block


def _described(tool: types.Tool, *, longest: int | None = None) -> dict[str, Any]:
    text = whole(tool.description or "")
    if longest is not None and len(text) > longest:
        text = f"{text[: longest - 1]}…"
    return {"name": tool.name, "description": text} if text else {"name": tool.name}


def _fitted(tools: Iterable[types.Tool], api: Api, warn: Warn) -> Iterator[tuple[types.Tool, dict[str, Any]]]:
    for tool in tools:
        found = fitted(tool.input_schema, api)
        if found.warning is not None:
            warn(tool.name, found.warning)
        if found.schema is not None:
            yield tool, found.schema


def whole(text: str) -> str:
    """Return text in which half a character (a lone surrogate), which no request can hold, is a question mark."""
    return text.encode("utf-8", "replace").decode()


def _get(thing: object, name: str) -> Any:
    return thing.get(name) if isinstance(thing, Mapping) else getattr(thing, name, None)


def _named(call: object, arguments: object) -> tuple[str, dict[str, Any]]:
    name = _get(call, "name")
    if not isinstance(name, str) or not name:
        raise error_for(
            "invalid_request", "This is not a call of a tool: it names none; pass the model's call as it came"
        )
    if arguments is None or (isinstance(arguments, str) and not arguments.strip()):
        return name, {}  # Models leave out the arguments of a tool that takes none.
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments, parse_constant=_no_constant)
        except json.JSONDecodeError as error:
            raise _bad(name, f"not valid JSON ({error.msg}, character {error.pos})") from error
        except (ValueError, RecursionError) as error:
            raise _bad(name, "not valid JSON") from error
    if not isinstance(arguments, Mapping):
        raise _bad(name, f"not a JSON object but {type(arguments).__name__}")
    return name, dict(arguments)


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _bad(name: str, why: str) -> RouterError:
    return error_for("invalid_request", f"The arguments of {name!r} are {why}; send one JSON object", tool=name)


def _parts(result: types.CallToolResult) -> list[_Part]:
    """Return what a model is shown of a result, never nothing; structured content where there is no text."""
    parts = [part for block in result.content for part in _part(block)]
    if result.structured_content is not None and not any(isinstance(part, str) for part in parts):
        parts.append(json.dumps(result.structured_content, ensure_ascii=False))
    return parts or [_EMPTY]


def _part(block: types.ContentBlock) -> list[_Part]:
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


def _binary(what: str, mime_type: str, data: str) -> _Part:
    if mime_type in _IMAGES:
        return mime_type, data
    return f"[{what}: {mime_type}, {len(data) * 3 // 4} bytes, not shown]"


def _text(part: _Part) -> str:
    return part if isinstance(part, str) else f"[image: {part[0]}, {len(part[1]) * 3 // 4} bytes, not shown]"


def _flagged(result: types.CallToolResult, text: str) -> str:
    """Return the text with the one sign of failure that a form without a flag for it can give."""
    return f"Error: {text}" if result.is_error else text
