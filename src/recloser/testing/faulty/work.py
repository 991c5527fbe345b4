"""The tools of a faulty server, and the ledger in which each of their executions is written down."""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, Final, NamedTuple, Protocol

__all__ = ["TOOLS", "Execution", "Ledger", "Peer", "RpcError", "Work", "labels", "read_ledger"]

Json = dict[str, Any]

INVALID_PARAMS: Final = -32602
MISSING_CAPABILITY: Final = -32021


class RpcError(Exception):
    """A request ends in a JSON-RPC error."""

    def __init__(self, code: int, message: str, data: object = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data


class Peer(Protocol):
    """Who sent a request, as far as a tool is concerned."""

    modern: bool
    capabilities: Mapping[str, Any]
    level: str | None
    """The least severe level of log messages that it wants; None for none at all."""
    request_id: object

    def notify(self, method: str, params: Json) -> None:
        """Send a notification that belongs to the request."""
        ...

    async def ask(self, method: str, params: Json) -> Json:
        """Send a request to the client and return its result; only in the handshake era."""
        ...


class Execution(NamedTuple):
    """One execution of a tool."""

    tool: str
    label: str
    """The call's `text` argument, or else its JSON-RPC id."""
    at: float
    """A moment of the event loop's clock."""


class Ledger:
    """Every execution, in memory and, if there is a file, as one appended line that survives the process."""

    def __init__(self, clock: Callable[[], float], path: str | None = None) -> None:
        self._clock = clock
        self._entries: list[Execution] = []
        self._path = path
        self._file = None if path is None else os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def add(self, tool: str, label: str) -> None:
        """Write an execution down."""
        entry = Execution(tool, label, self._clock())
        if self._file is None:
            self._entries.append(entry)
        else:
            os.write(self._file, f"{tool} {label.encode('unicode_escape').decode()} {entry.at}\n".encode())

    def entries(self) -> list[Execution]:
        """Return all executions, with a file also those of other processes that write to it."""
        return self._entries if self._path is None else read_ledger(self._path)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
            self._path, self._entries = None, self.entries()


def read_ledger(path: str) -> list[Execution]:
    """Return the executions that a file holds; none if there is no such file."""
    try:
        with open(path, encoding="ascii") as file:  # noqa: PTH123 - pathlib is not loaded by a server's start
            lines = file.read().splitlines()
    except FileNotFoundError:
        return []
    found = []
    for line in lines:
        tool, rest = line.split(" ", 1)
        label, at = rest.rsplit(" ", 1)
        found.append(Execution(tool, label.encode().decode("unicode_escape"), float(at)))
    return found


def _tool(name: str, does: str, properties: Mapping[str, str], *, required: bool = True, **more: Any) -> Json:
    schema: Json = {"type": "object", "properties": {key: {"type": kind} for key, kind in properties.items()}}
    if required and properties:
        schema["required"] = list(properties)
    return {"name": name, "description": does, "inputSchema": schema, **more}


TOOLS: Final[list[Json]] = [
    _tool("echo", "Returns its text.", {"text": "string"}, annotations={"readOnlyHint": True}),
    _tool(
        "add",
        "Adds two numbers.",
        {"a": "number", "b": "number"},
        outputSchema={"type": "object", "properties": {"sum": {"type": "number"}}, "required": ["sum"]},
        annotations={"readOnlyHint": True, "idempotentHint": True},
    ),
    _tool("write", "Does something that must not be done twice.", {"text": "string"}),
    _tool("upsert", "Does something that may be done twice.", {"text": "string"}, annotations={"idempotentHint": True}),
    _tool("sleep", "Answers after some seconds.", {"seconds": "number"}),
    _tool("fail", "Answers with isError.", {}),
    _tool("rpc_error", "Ends in a JSON-RPC error.", {"code": "integer", "message": "string"}, required=False),
    _tool("big", "Answers with a text of so many bytes.", {"bytes": "integer"}),
    _tool(
        "progress",
        "Tells its progress, `delay` seconds a step.",
        {"steps": "integer", "delay": "number"},
        required=False,
    ),
    _tool("ask", "Asks the client: elicitation, sampling or roots.", {"kind": "string"}, required=False),
    _tool("count", "Returns how often each tool has run.", {}),
]


def _is_further(name: str, extra: int) -> bool:
    prefix, _, number = name.partition("_")
    return prefix == "extra" and number.isdecimal() and 1 <= int(number) <= extra


def labels(entries: Iterable[Execution], tool: str | None, *, extra: int) -> list[str]:
    """Return the label of each execution of a tool (None: any) at a server with so many further tools.

    Raises:
        ValueError: there is no such tool, and never was one that ran.
    """
    found = [entry.label for entry in entries if tool in (None, entry.tool)]
    names = [each["name"] for each in TOOLS]
    if tool is None or found or tool in names or _is_further(tool, extra):
        return found
    more = f", extra_1 to extra_{extra}" if extra else ""
    raise ValueError(f"the server has no tool {tool!r}; known: {', '.join(names)}{more}")


_QUESTIONS: Final[Mapping[str, tuple[str, Json]]] = {
    "elicitation": (
        "elicitation/create",
        {
            "message": "What is your answer?",
            "requestedSchema": {"type": "object", "properties": {"answer": {"type": "string"}}},
        },
    ),
    "sampling": (
        "sampling/createMessage",
        {"messages": [{"role": "user", "content": {"type": "text", "text": "Say something."}}], "maxTokens": 16},
    ),
    "roots": ("roots/list", {}),
}

_KINDS: Final[Mapping[str, tuple[type, ...]]] = {"string": (str,), "number": (int, float), "integer": (int,)}


def said(text: str, **more: Any) -> Json:
    """Return a tool's result of one text."""
    return {"content": [{"type": "text", "text": text}], **more}


class Work:
    """Runs the tools."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.extra = 0
        """How many further tools `extra_1` … there are, each like `echo`; may be changed at any time."""
        self._known = {tool["name"]: tool for tool in TOOLS}
        self._runs: dict[str, Callable[[Json, Json, Peer], Json | Coroutine[Any, Any, Json]]] = {
            "echo": self._echo,
            "add": self._add,
            "write": self._echo,
            "upsert": self._echo,
            "sleep": self._sleep,
            "fail": lambda *_: said("it failed", isError=True),
            "rpc_error": self._rpc_error,
            "big": lambda given, *_: said("x" * given["bytes"]),
            "progress": self._progress,
            "ask": self._ask,
            "count": self._count,
        }

    def tools(self) -> list[Json]:
        """Return the definitions of all tools."""
        return TOOLS + [{**TOOLS[0], "name": f"extra_{number}"} for number in range(1, self.extra + 1)]

    def run(self, params: Json, peer: Peer) -> Json | Coroutine[Any, Any, Json]:
        """Run a tool: return its result, or what will return it.

        Raises:
            RpcError: there is no such tool, or its arguments do not fit.
        """
        name = params.get("name")
        given = params.get("arguments") or {}
        tool = self._known.get(name) or self._further(name)
        for key, schema in tool["inputSchema"]["properties"].items():
            if key in given and not isinstance(given[key], _KINDS[schema["type"]]):
                raise RpcError(INVALID_PARAMS, f"{name}: {key} must be of type {schema['type']}")
            if key not in given and key in tool["inputSchema"].get("required", ()):
                raise RpcError(INVALID_PARAMS, f"{name}: {key} is missing")
        if "inputResponses" not in params:
            # The second round of a question is the same execution.
            self.ledger.add(str(name), str(given.get("text", peer.request_id)))
        return self._runs.get(str(name), self._echo)(given, params, peer)

    def _further(self, name: object) -> Json:
        if _is_further(str(name), self.extra):
            return TOOLS[0]
        raise RpcError(INVALID_PARAMS, f"Unknown tool: {name}")

    @staticmethod
    def _echo(given: Json, _params: Json, _peer: Peer) -> Json:
        return said(given["text"])

    @staticmethod
    def _add(given: Json, _params: Json, _peer: Peer) -> Json:
        result = {"sum": given["a"] + given["b"]}
        return said(json.dumps(result), structuredContent=result)

    @staticmethod
    async def _sleep(given: Json, _params: Json, _peer: Peer) -> Json:
        await asyncio.sleep(given["seconds"])
        return said("slept")

    @staticmethod
    def _rpc_error(given: Json, _params: Json, _peer: Peer) -> Json:
        raise RpcError(given.get("code", -32603), given.get("message", "Internal error"))

    @staticmethod
    async def _progress(given: Json, params: Json, peer: Peer) -> Json:
        steps = given.get("steps", 3)
        token = params.get("_meta", {}).get("progressToken")
        for step in range(1, steps + 1):
            if token is not None:
                told = {"progressToken": token, "progress": step, "total": steps, "message": f"step {step}"}
                peer.notify("notifications/progress", told)
            await asyncio.sleep(given.get("delay", 0))
        if peer.level is not None:
            peer.notify("notifications/message", {"level": "info", "logger": "faulty", "data": "all steps done"})
        return said(f"{steps} steps")

    @staticmethod
    def _ask(given: Json, params: Json, peer: Peer) -> Json | Coroutine[Any, Any, Json]:
        kind = given.get("kind") or next((name for name in _QUESTIONS if name in peer.capabilities), "elicitation")
        if kind not in _QUESTIONS:
            raise RpcError(INVALID_PARAMS, f"ask: kind must be one of {', '.join(_QUESTIONS)}")
        method, question = _QUESTIONS[kind]
        if peer.modern:
            if kind not in peer.capabilities:
                required: Json = {"requiredCapabilities": {kind: {}}}
                raise RpcError(MISSING_CAPABILITY, f"The client cannot be asked for {kind}", required)
            if answers := params.get("inputResponses"):
                return said(json.dumps(answers[kind]))
            asked = {kind: {"method": method, "params": question}}
            return {"resultType": "input_required", "inputRequests": asked, "requestState": f"asked {kind}"}
        return _asked(method, question, peer)

    def _count(self, _given: Json, _params: Json, _peer: Peer) -> Json:
        counts = dict(Counter(entry.tool for entry in self.ledger.entries()))
        return said(json.dumps(counts), structuredContent=counts)


async def _asked(method: str, question: Json, peer: Peer) -> Json:
    try:
        return said(json.dumps(await peer.ask(method, question)))
    except RpcError as error:
        return said(f"the client refused: {error.message}", isError=True)
