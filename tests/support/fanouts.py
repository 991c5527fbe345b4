"""What tests of many calls share: calls, what comes back for them, and a `send` that does as planned."""

import asyncio

import mcp_types as types

from recloser import fanout
from recloser.call import Call
from recloser.errors import error_for


def calls(*keys, **options):
    return [Call.tool(key, **options) for key in keys]


def answer(text="ok", **more):
    return types.CallToolResult(content=[types.TextContent(text=text)], **more)


def failure(code, **facts):
    return error_for(code, "it failed", **facts)


def sender(*, begun=None, ended=None, **plan):
    """Return a `send` that does as planned for each key: waits so many seconds, then answers, or raises."""

    async def send(call):
        seconds, outcome = plan.get(call.key, (0, None))
        if begun is not None:
            begun.append(call)
        try:
            await asyncio.sleep(seconds)
        finally:
            if ended is not None:
                ended.append(call.key)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome if outcome is not None else answer(call.key)

    return send


def nothing_is_left():
    return asyncio.all_tasks() == {asyncio.current_task()} and not fanout._UNWINDING
