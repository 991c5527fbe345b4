"""A model's HTTP endpoint that plays a fixed sequence of answers, in the forms of three APIs.

`/v1/chat/completions`, `/v1/responses` and `/v1/messages`. It checks what it is sent as strictly as the real ones do
where tools are concerned, and refuses with their 400: names, schemas, and exactly one result for each call that the
model made.
"""

from __future__ import annotations

import binascii
import json
import re
import threading
from base64 import b64decode
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Self

from jsonschema import Draft202012Validator, SchemaError

Calls = Sequence[tuple[str, Mapping[str, Any] | str]]
"""Tool calls of one turn: names, and arguments as values or as the text that the model wrote."""
Step = str | Calls


class Refusal(str):
    """What a model says instead of an answer; only chat completions tell it apart."""

    __slots__ = ()


NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
ON_TOP: Final = frozenset({"oneOf", "anyOf", "allOf", "enum", "not"})
DESCRIPTION_MAX: Final = 1024


class Refused(Exception):
    """The real endpoint would answer 400."""


class ScriptedModel:
    """Use it as a context manager; written by its own thread, read by the test once the answer is there."""

    def __init__(self, *steps: Step) -> None:
        self._steps = list(steps)
        self.requests: list[dict[str, Any]] = []
        """The bodies that came, in order."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def origin(self) -> str:
        """What Anthropic's client takes as its base URL; OpenAI's takes `/v1` of it."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def told(self) -> list[str]:
        """The tool results in the last request, as text."""
        return _told(self.requests[-1])

    @property
    def tools(self) -> list[str]:
        """The names of the tools in the last request."""
        return [_named(tool)["name"] for tool in self.requests[-1]["tools"]]

    @property
    def left(self) -> int:
        """How many answers have not been asked for."""
        return len(self._steps)

    def _answer(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        api = APIS[path.partition("?")[0]]
        self.requests.append(body)
        _check_tools(body.get("tools", []), api.keys)
        api.check(body)
        if not self._steps:
            raise Refused("the script is over")
        return api.answer(self._steps.pop(0), f"{len(self.requests)}")

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        model = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                try:
                    status, answer = 200, model._answer(self.path, body)
                except (Refused, KeyError, SchemaError, binascii.Error) as error:
                    status, answer = (
                        400,
                        {"type": "error", "error": {"type": "invalid_request_error", "message": repr(error)}},
                    )
                content = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *args: object) -> None:
                """Say nothing."""

        return Handler


def _named(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    return tool.get("function", tool)


def _check_tools(tools: Sequence[Mapping[str, Any]], keys: re.Pattern[str]) -> None:
    names = [_named(tool)["name"] for tool in tools]
    if len(set(names)) != len(names):
        raise Refused("tools: names must be unique")
    for tool in map(_named, tools):
        schema = tool["input_schema"] if "input_schema" in tool else tool["parameters"]
        if not NAME.fullmatch(tool["name"]) or schema["type"] != "object":
            raise Refused(f"tools: {tool['name']!r} is not valid")
        if not ON_TOP.isdisjoint(schema):
            raise Refused(f"tools: {tool['name']!r} has alternatives at the top level")
        if not all(map(keys.fullmatch, schema["properties"])):
            raise Refused(f"tools: property keys of {tool['name']!r} should match {keys.pattern}")
        if len(tool.get("description", "")) > DESCRIPTION_MAX and "input_schema" not in tool and "strict" not in tool:
            raise Refused(f"tools: the description of {tool['name']!r} is too long")
        Draft202012Validator.check_schema(schema)


def _expect(asked: Sequence[str], answered: Sequence[str]) -> None:
    if sorted(asked) != sorted(answered):
        raise Refused(f"calls {asked} must be followed by one result each, got {answered}")


def _text(arguments: Mapping[str, Any] | str) -> str:
    return arguments if isinstance(arguments, str) else json.dumps(arguments)


def _told(body: Mapping[str, Any]) -> list[str]:
    if "input" in body:
        return [item["output"] for item in body["input"] if item.get("type") == "function_call_output"]
    told = [message["content"] for message in body["messages"] if message["role"] == "tool"]
    for message in body["messages"]:
        for block in message["content"] if isinstance(message.get("content"), list) else ():
            if block["type"] == "tool_result":
                flag = "Error: " if block.get("is_error") else ""
                told.append(flag + "\n".join(part.get("text", "[image]") for part in block["content"]))
    return told


class _Chat:
    keys = re.compile(r".*")

    @staticmethod
    def check(body: Mapping[str, Any]) -> None:
        messages = list(body["messages"])
        while messages:
            message = messages.pop(0)
            asked = [call["id"] for call in message.get("tool_calls") or ()]
            answered = []
            while messages and messages[0]["role"] == "tool":
                answered.append(messages.pop(0)["tool_call_id"])
            _expect(asked, answered)

    @staticmethod
    def answer(step: Step, turn: str) -> dict[str, Any]:
        refused = isinstance(step, Refusal)
        message: dict[str, Any] = {
            "role": "assistant",
            "content": step if isinstance(step, str) and not refused else None,
            "refusal": step if refused else None,
        }
        if not isinstance(step, str):
            message["tool_calls"] = [
                {
                    "id": f"call_{turn}_{n}",
                    "type": "function",
                    "function": {"name": name, "arguments": _text(arguments)},
                }
                for n, (name, arguments) in enumerate(step)
            ]
        reason = "stop" if isinstance(step, str) else "tool_calls"
        choice = {"index": 0, "message": message, "finish_reason": reason, "logprobs": None}
        return {"id": "c", "object": "chat.completion", "created": 0, "model": "scripted", "choices": [choice]}


class _Responses:
    keys = re.compile(r".*")

    @staticmethod
    def check(body: Mapping[str, Any]) -> None:
        items = [item for item in body["input"] if "type" in item]
        asked = [item["call_id"] for item in items if item["type"] == "function_call"]
        _expect(asked, [item["call_id"] for item in items if item["type"] == "function_call_output"])

    @staticmethod
    def answer(step: Step, turn: str) -> dict[str, Any]:
        output: list[dict[str, Any]] = [{"type": "reasoning", "id": f"rs_{turn}", "summary": []}]
        if isinstance(step, str):
            content = [{"type": "output_text", "text": step, "annotations": []}]
            output += [
                {"type": "message", "id": f"m_{turn}", "role": "assistant", "status": "completed", "content": content}
            ]
        else:
            output += [
                {"type": "function_call", "call_id": f"call_{turn}_{n}", "name": name, "arguments": _text(arguments)}
                for n, (name, arguments) in enumerate(step)
            ]
        more = {"parallel_tool_calls": True, "tool_choice": "auto", "tools": []}
        return {"id": "r", "object": "response", "created_at": 0, "model": "scripted", "output": output, **more}


class _Messages:
    keys = re.compile(r"[a-zA-Z0-9_.-]{1,64}")

    @staticmethod
    def check(body: Mapping[str, Any]) -> None:
        if body["max_tokens"] < 1:
            raise Refused("max_tokens")
        blocks = [message["content"] if isinstance(message["content"], list) else [] for message in body["messages"]]
        for said, next_ in zip(blocks, [*blocks[1:], []], strict=True):
            asked = [block["id"] for block in said if block["type"] == "tool_use"]
            answers = [block for block in next_ if block["type"] == "tool_result"]
            _expect(asked, [block["tool_use_id"] for block in answers])
            for block in answers:
                images = [part for part in block["content"] if part["type"] != "text"]
                if images and block.get("is_error"):
                    raise Refused("all content must be type `text` if `is_error` is true")
                if not all(b64decode(part["source"]["data"], validate=True) for part in images):
                    raise Refused("image cannot be empty")

    @staticmethod
    def answer(step: Step, turn: str) -> dict[str, Any]:
        content: list[dict[str, Any]] = [{"type": "text", "text": step if isinstance(step, str) else "Let me see."}]
        if not isinstance(step, str):
            content += [
                {"type": "tool_use", "id": f"toolu_{turn}_{n}", "name": name, "input": arguments}
                for n, (name, arguments) in enumerate(step)
            ]
        reason = "end_turn" if isinstance(step, str) else "tool_use"
        usage = {"input_tokens": 1, "output_tokens": 1}
        more = {"stop_reason": reason, "stop_sequence": None, "usage": usage}
        return {"id": "m", "type": "message", "role": "assistant", "model": "scripted", "content": content, **more}


APIS: Final[Mapping[str, Any]] = {
    "/v1/chat/completions": _Chat,
    "/v1/responses": _Responses,
    "/v1/messages": _Messages,
}
