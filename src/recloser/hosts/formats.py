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
from recloser.hosts.parts import Picture, named, parts, whole
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

DESCRIPTION_MAX: Final = 1024
"""Characters of a tool's description that OpenAI's chat completions take."""

IMAGE_MAX: Final = 5 * 1024 * 1024
"""Characters of an image's base64 data that Anthropic's messages take."""

_OPENAI: Final = Api(whose="OpenAI's", names=re.compile(r"[^\ud800-\udfff]*"))
_ANTHROPIC: Final = Api(whose="Anthropic's", names=re.compile(r"[a-zA-Z0-9_.-]{1,64}"))

Warn = Callable[[str, str], None]


def _silent(_tool: str, _why: str) -> None:
    """Tell nobody."""


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
    return {"role": "tool", "tool_call_id": tool_call_id, "content": _flagged(result, parts(result))}


def openai_output(call_id: str, result: types.CallToolResult) -> dict[str, Any]:
    """Return a result as the `function_call_output` item of a response."""
    found = parts(result)
    output: str | list[dict[str, Any]]
    if any(isinstance(part, Picture) for part in found):
        output = [
            {"type": "input_image", "image_url": f"data:{part.mime_type};base64,{part.data}", "detail": "auto"}
            if isinstance(part, Picture)
            else {"type": "input_text", "text": part}
            for part in found
        ]
        if result.is_error:
            output.insert(0, {"type": "input_text", "text": "Error:"})
    else:
        output = _flagged(result, found)
    return {"type": "function_call_output", "call_id": call_id, "output": output}


def anthropic_result(tool_use_id: str, result: types.CallToolResult) -> dict[str, Any]:
    """Return a result as a `tool_result` block; one of an error takes text alone, so images are named only."""
    content = [
        {"type": "image", "source": {"type": "base64", "media_type": part.mime_type, "data": part.data}}
        if isinstance(part, Picture) and not result.is_error and len(part.data) <= IMAGE_MAX
        else {"type": "text", "text": named(part)}
        for part in parts(result)
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


def _get(thing: object, name: str) -> Any:
    return thing.get(name) if isinstance(thing, Mapping) else getattr(thing, name, None)


def _named(call: object, arguments: object) -> tuple[str, dict[str, Any]]:
    name = _get(call, "name")
    if not isinstance(name, str) or not name:
        raise error_for(
            "invalid_request", "This is not a call of a tool: it names none; pass the model's call as it came"
        )
    if isinstance(arguments, str) and arguments.strip():
        try:
            arguments = json.loads(arguments, parse_constant=_no_constant)
        except json.JSONDecodeError as error:
            raise _bad(name, f"not valid JSON ({error.msg}, character {error.pos})") from error
        except (ValueError, RecursionError) as error:
            raise _bad(name, "not valid JSON") from error
    elif isinstance(arguments, str):
        arguments = None
    if arguments is None:
        return name, {}  # Models leave out the arguments of a tool that takes none, or write null.
    if not isinstance(arguments, Mapping):
        raise _bad(name, f"not a JSON object but {type(arguments).__name__}")
    return name, dict(arguments)


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _bad(name: str, why: str) -> RouterError:
    return error_for("invalid_request", f"The arguments of {name!r} are {why}; send one JSON object", tool=name)


def _flagged(result: types.CallToolResult, found: Iterable[str | Picture]) -> str:
    """Return the parts as text, with the one sign of failure that a form without a flag for it can give."""
    text = "\n".join(named(part) for part in found)
    return f"Error: {text}" if result.is_error else text
