"""One request of a call over one SDK session, its `input_required` rounds included."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Any, Final, cast

import mcp_types as types
from mcp import MCPError
from mcp.client import ClientRequestContext, ClientSession
from mcp.shared.dispatcher import ProgressFnT
from pydantic import TypeAdapter

from recloser.call import Call
from recloser.connection.asks import stand_still
from recloser.connection.fresh import FreshLists
from recloser.connection.mismatch import listed_anew
from recloser.errors import RouterError, error_for

__all__ = ["exchange"]

MAX_ROUNDS: Final = 10
"""Rounds of questions in one call: the number of the TypeScript, C# and Go SDKs."""

STATE_ONLY_DELAY: Final = 0.05
"""Seconds before a round that only carries state; doubles up to a quarter of a second, as in the SDK."""

_ADAPTERS: Final[Mapping[str, TypeAdapter[Any]]] = {
    "tools/call": TypeAdapter(types.CallToolResult | types.InputRequiredResult),
    "resources/read": TypeAdapter(types.ReadResourceResult | types.InputRequiredResult),
    "prompts/get": TypeAdapter(types.GetPromptResult | types.InputRequiredResult),
    "completion/complete": TypeAdapter(types.CompleteResult),
}


class _Request:
    """What the SDK's `send_request` wants of a request, without a model made and dumped again for every call."""

    __slots__ = ("_data",)
    name_param: str | None = None

    def __init__(self, method: str, params: dict[str, Any]) -> None:
        self._data = {"method": method, "params": params}

    def model_dump(self, **_: Any) -> dict[str, Any]:
        return self._data


async def exchange(session: ClientSession, call: Call[Any], lists: FreshLists, *, progress: ProgressFnT | None) -> Any:
    """Send the call, answer what the server asks in between, and return the typed result.

    Raises:
        RouterError: our side did not answer in time, or declined, or the server asks without end.
        MCPError, Exception: whatever else went wrong, as the SDK tells it.
    """
    result = await _round(session, call, lists, {}, progress)
    rounds = 0
    delay = STATE_ONLY_DELAY
    while isinstance(result, types.InputRequiredResult):
        call.trail.begun = True
        rounds += 1
        if rounds > MAX_ROUNDS:
            raise error_for(
                "protocol_violation",
                f"server {call.server!r} asked for more input {MAX_ROUNDS} times in one call; tell its operator",
                evidence=False,
            )
        answers: dict[str, Any] = {}
        if result.input_requests:
            delay = STATE_ONLY_DELAY
            answers["inputResponses"] = await _answers(session, call, result.input_requests)
        else:
            await asyncio.sleep(delay)
            delay = min(delay * 2, 5 * STATE_ONLY_DELAY)
        if result.request_state is not None:
            answers["requestState"] = result.request_state
        result = await _round(session, call, lists, answers, progress)
    return result


async def _round(
    session: ClientSession,
    call: Call[Any],
    lists: FreshLists,
    extra: Mapping[str, Any],
    progress: ProgressFnT | None,
) -> Any:
    """Send one request of the call, and once more if it was refused because its tool's schema has changed."""
    before = lists.now
    try:
        return await _send(session, call, extra, progress)
    except MCPError as error:
        if not await listed_anew(error, session, call, lists, before):
            raise
    return await _send(session, call, extra, progress)


def _send(
    session: ClientSession, call: Call[Any], extra: Mapping[str, Any], progress: ProgressFnT | None
) -> Awaitable[Any]:
    params: dict[str, Any] = {**call.params, **extra}
    if call.meta:
        params["_meta"] = dict(call.meta)
    request = cast("types.Request[Any, Any]", _Request(call.method, params))
    return session.send_request(request, _ADAPTERS[call.method], progress_callback=progress)


async def _answers(session: ClientSession, call: Call[Any], requests: types.InputRequests) -> dict[str, Any]:
    """Put the server's questions to our side, all at once, while the call's clocks stand still."""
    asking = [
        asyncio.ensure_future(
            session.dispatch_input_request(
                ClientRequestContext(
                    session=session, request_id=key, meta=request.params.meta if request.params else None
                ),
                request,
            )
        )
        for key, request in requests.items()
    ]
    try:
        with stand_still([call]):
            await asyncio.wait(asking)
    finally:
        for question in asking:
            question.cancel()
    answers: dict[str, Any] = {}
    for key, question in zip(requests, asking, strict=True):
        answer = question.result()
        if isinstance(answer, types.ErrorData):
            raise _unanswered(call, answer)
        answers[key] = answer.model_dump(by_alias=True, mode="json", exclude_none=True)
    return answers


def _unanswered(call: Call[Any], said: types.ErrorData) -> RouterError:
    """Return the error for a question that our side did not answer: nothing of it speaks against the server."""
    if said.code == types.REQUEST_TIMEOUT:
        return error_for(
            "timeout", f"our side did not answer a question of server {call.server!r} in time", evidence=False
        )
    return error_for(
        "invalid_request",
        f"server {call.server!r} asked something that our side declined or cannot answer; use another tool",
        evidence=False,
        delivered="maybe",
        next_action="use_other_tool",
    )
