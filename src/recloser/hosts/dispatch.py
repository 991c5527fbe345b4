"""One door for any host: its tools as its model's API lists them, a model's calls made, results as the API takes them.

    dispatcher = Dispatcher(router)
    tools = await dispatcher.tools_openai()                       # or tools_anthropic()
    messages += await dispatcher.openai(message.tool_calls)       # or anthropic(response.content)
    result = await dispatcher.dispatch(name, arguments)           # any other host

All calls of one turn run at once. A call that fails, an unknown tool and arguments that are no JSON become results
that tell the model so; none of them stops the others. Neither API's package is needed.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import mcp_types as types

from recloser.call import Call
from recloser.catalog.names import MAX_NAME, qualify
from recloser.errors import RouterError, as_result
from recloser.fanout import Reply
from recloser.hosts.formats import (
    anthropic_call,
    anthropic_result,
    anthropic_tools,
    openai_call,
    openai_message,
    openai_output,
    openai_tools,
)
from recloser.router import Router
from recloser.sync import SyncRouter

__all__ = ["Dispatcher", "SyncDispatcher"]

_log = logging.getLogger("recloser")

Api = Literal["chat", "responses"]
Arguments = Mapping[str, Any] | str | None

_TAKEN: Final = re.compile(rf"[A-Za-z0-9_-]{{1,{MAX_NAME}}}")
"""Names of tools that both APIs take."""
_TOLD_MAX: Final = 1000
"""Warnings of one dispatcher; a server that thinks of new names for ever does not fill the log, or the memory."""


class Dispatcher:
    """Lists and makes tool calls of an open `Router` in the forms of model APIs.

    Lists are made anew each time, so that they follow the router's servers. A tool that an API would refuse, and with
    it the whole request, is left out of its list, and told once in the log.
    """

    def __init__(self, router: Router) -> None:
        self._router = router
        self._warn = _Warnings()

    async def tools_openai(self, *, api: Api = "chat", tags: Iterable[str] | None = None) -> list[dict[str, Any]]:
        """Return all tools, or those that have one of `tags`, as `tools=` of OpenAI's chat completions or responses.

        Raises:
            ValueError: there is no such API.
        """
        return openai_tools(_callable(await self._router.list_tools(tags=tags)), api=api, warn=self._warn)

    async def tools_anthropic(self, *, tags: Iterable[str] | None = None) -> list[dict[str, Any]]:
        """Return all tools, or those that have one of `tags`, as `tools=` of Anthropic's messages."""
        return anthropic_tools(_callable(await self._router.list_tools(tags=tags)), warn=self._warn)

    async def dispatch(
        self, name: str, arguments: Arguments = None, *, caller: str | None = None, timeout: float | None = None
    ) -> types.CallToolResult:
        """Make one call and return its result, or a result that says what went wrong (`error_of` reads it back).

        Args:
            name: as in the lists of tools, or in any other form that the router takes.
            arguments: a mapping, or a JSON object as a model wrote it; blank, null or None means none.
            caller: who asks, for the audit.
            timeout: seconds for the whole call.
        """
        try:
            name, given = _read(name, arguments)
        except RouterError as error:
            return as_result(error.payload)
        return await self._router.call_tool(name, given, caller=caller, timeout=timeout, raise_on_error=False)

    async def openai(
        self, calls: Iterable[object] | None, *, caller: str | None = None, timeout: float | None = None
    ) -> list[dict[str, Any]]:
        """Make the calls in an answer of OpenAI's API, or one like it, and return what is sent back for them.

        Args:
            calls: `message.tool_calls` of a chat completion, or `response.output` of a response, as the client's
                objects or as dicts; output items that are no function calls are passed over.
            caller: who asks, for the audit.
            timeout: seconds for all calls together.

        Returns:
            One `tool` message or one `function_call_output` item a call, in their order; none where nothing is called.

        Raises:
            TypeError: an item is nothing that such an answer consists of.
        """
        turn = _turn(_openai_asked, calls, caller)
        return _answers(turn, await self._replies(turn, timeout))

    async def anthropic(
        self, content: Iterable[object], *, caller: str | None = None, timeout: float | None = None
    ) -> dict[str, Any] | None:
        """Make the calls in an answer of Anthropic's API and return the one user message that is sent back for them.

        Args:
            content: the blocks of the model's message, as the client's objects or as dicts; blocks that are no
                `tool_use` are passed over.
            caller: who asks, for the audit.
            timeout: seconds for all calls together.

        Returns:
            A message with one `tool_result` block a call, in their order; None where nothing is called.

        Raises:
            TypeError: a block is nothing that such a message consists of.
        """
        turn = _turn(_anthropic_asked, content, caller)
        return _user_message(_answers(turn, await self._replies(turn, timeout)))

    async def _replies(self, turn: Sequence[_Asked], timeout: float | None) -> Sequence[Reply]:
        calls = _calls(turn)
        return (await self._router.fan_out(calls, quorum=0, timeout=timeout)).replies if calls else ()


class SyncDispatcher:
    """`Dispatcher` with the same methods, without `await`, for a `SyncRouter`; usable from any thread."""

    def __init__(self, router: SyncRouter) -> None:
        self._router = router
        self._warn = _Warnings()

    def tools_openai(self, *, api: Api = "chat", tags: Iterable[str] | None = None) -> list[dict[str, Any]]:
        """Return tools as `tools=` of OpenAI's chat completions or responses; see `Dispatcher.tools_openai`."""
        return openai_tools(_callable(self._router.list_tools(tags=tags)), api=api, warn=self._warn)

    def tools_anthropic(self, *, tags: Iterable[str] | None = None) -> list[dict[str, Any]]:
        """Return tools as `tools=` of Anthropic's messages; see `Dispatcher.tools_anthropic`."""
        return anthropic_tools(_callable(self._router.list_tools(tags=tags)), warn=self._warn)

    def dispatch(
        self, name: str, arguments: Arguments = None, *, caller: str | None = None, timeout: float | None = None
    ) -> types.CallToolResult:
        """Make one call and return its result, or a result that says what went wrong; see `Dispatcher.dispatch`."""
        try:
            name, given = _read(name, arguments)
        except RouterError as error:
            return as_result(error.payload)
        return self._router.call_tool(name, given, caller=caller, timeout=timeout, raise_on_error=False)

    def openai(
        self, calls: Iterable[object] | None, *, caller: str | None = None, timeout: float | None = None
    ) -> list[dict[str, Any]]:
        """Make the calls in an answer of OpenAI's API and return what is sent back; see `Dispatcher.openai`."""
        turn = _turn(_openai_asked, calls, caller)
        return _answers(turn, self._replies(turn, timeout))

    def anthropic(
        self, content: Iterable[object], *, caller: str | None = None, timeout: float | None = None
    ) -> dict[str, Any] | None:
        """Make the calls in an answer of Anthropic's API and return what is sent back; see `Dispatcher.anthropic`."""
        turn = _turn(_anthropic_asked, content, caller)
        return _user_message(_answers(turn, self._replies(turn, timeout)))

    def _replies(self, turn: Sequence[_Asked], timeout: float | None) -> Sequence[Reply]:
        calls = _calls(turn)
        return self._router.fan_out(calls, quorum=0, timeout=timeout).replies if calls else ()


class _Warnings:
    """What was told of tools that an API refuses, each once; written by the lists, from any thread."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def __call__(self, tool: str, why: str) -> None:
        text = f"tool {tool}: {why}"
        if text not in self._told and len(self._told) < _TOLD_MAX:
            self._told.add(text)
            _log.warning("%s", text)


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """One call that a model asks for: one to make, or what is wrong with it."""

    call: Call[types.CallToolResult] | RouterError
    answer: Callable[[types.CallToolResult], dict[str, Any]]
    """Puts the result into the API's form."""


def _callable(tools: Iterable[types.Tool]) -> list[types.Tool]:
    """Return tools under names that the APIs take: where a router shows bare names, a server's own may not be."""
    return [tool if _TAKEN.fullmatch(tool.name) else _qualified(tool) for tool in tools]


def _qualified(tool: types.Tool) -> types.Tool:
    assert tool.meta is not None  # every tool of a router tells its server there
    return tool.model_copy(update={"name": qualify(tool.meta["recloser/server"], tool.name)})


def _read(name: str, arguments: Arguments) -> tuple[str, dict[str, Any]]:
    return openai_call({"name": name, "arguments": arguments})


def _turn(
    read: Callable[[object, str | None], _Asked | None], items: Iterable[object] | None, caller: str | None
) -> list[_Asked]:
    return [asked for item in items or () if (asked := read(item, caller)) is not None]


def _openai_asked(item: object, caller: str | None) -> _Asked | None:
    kind, function = _field(item, "type"), _field(item, "function")
    if function is not None or kind == "custom":
        tool_call_id = str(_field(item, "id") or "")
        return _asked(openai_call, item, lambda result: openai_message(tool_call_id, result), caller)
    if kind == "function_call":
        call_id = str(_field(item, "call_id") or "")
        return _asked(openai_call, item, lambda result: openai_output(call_id, result), caller)
    _check(item, kind, "message.tool_calls or response.output")
    return None


def _anthropic_asked(block: object, caller: str | None) -> _Asked | None:
    kind = _field(block, "type")
    if kind == "tool_use":
        tool_use_id = str(_field(block, "id") or "")
        return _asked(anthropic_call, block, lambda result: anthropic_result(tool_use_id, result), caller)
    _check(block, kind, "the content of the model's message")
    return None


def _check(item: object, kind: object, expected: str) -> None:
    # Whoever hands in the whole message would otherwise see a model that calls nothing.
    if not isinstance(kind, str):
        raise TypeError(f"pass {expected}: each item of it has a type, got {type(item).__name__}")


def _asked(
    read: Callable[[object], tuple[str, dict[str, Any]]],
    item: object,
    answer: Callable[[types.CallToolResult], dict[str, Any]],
    caller: str | None,
) -> _Asked:
    try:
        name, arguments = read(item)
    except RouterError as error:
        return _Asked(call=error, answer=answer)
    return _Asked(call=Call.tool(name, arguments, caller=caller), answer=answer)


def _calls(turn: Iterable[_Asked]) -> list[Call[types.CallToolResult]]:
    return [asked.call for asked in turn if isinstance(asked.call, Call)]


def _result(reply: Reply) -> types.CallToolResult:
    if reply.result is not None:
        return reply.result
    assert reply.error is not None  # a reply without a result says why
    return as_result(reply.error)


def _answers(turn: Iterable[_Asked], replies: Iterable[Reply]) -> list[dict[str, Any]]:
    """Return one answer for each call of a turn; `replies` are those to the calls that were made, in their order."""
    made = iter(replies)
    return [
        asked.answer(_result(next(made)) if isinstance(asked.call, Call) else as_result(asked.call.payload))
        for asked in turn
    ]


def _user_message(blocks: list[dict[str, Any]]) -> dict[str, Any] | None:
    return {"role": "user", "content": blocks} if blocks else None


def _field(item: object, name: str) -> Any:
    return item.get(name) if isinstance(item, Mapping) else getattr(item, name, None)
