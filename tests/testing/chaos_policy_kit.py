"""What the tests of chaos policies share: a call, what stands behind the chaos, and what comes of both."""

from __future__ import annotations

import asyncio
from typing import Any

import mcp_types as types
import pytest

from recloser.call import Call
from recloser.errors import RouterError
from recloser.pipeline import compose
from recloser.testing.clock import run_virtual


def a_call(name: str = "web", **facts: Any) -> Call[Any]:
    return Call(method="tools/call", key=f"search__{name}", server="search", name=name, **facts)


class Peer:
    """What stands behind the chaos: answers, and counts how often it did something."""

    def __init__(self, *, error: RouterError | None = None, answer: Any = None) -> None:
        self.executions = 0
        self.error = error
        self.answer = types.CallToolResult(content=[]) if answer is None else answer

    async def __call__(self, call: Call[Any], /) -> Any:
        call.trail.sent = True
        self.executions += 1
        if self.error is not None:
            raise self.error
        return self.answer


def through(*policies: Any, peer: Peer | None = None, call: Call[Any] | None = None) -> Any:
    """What becomes of one call."""
    return run_virtual(compose(list(policies), peer or Peer())(call or a_call()))


def failed(*policies: Any, peer: Peer | None = None, call: Call[Any] | None = None) -> RouterError:
    with pytest.raises(RouterError) as caught:
        through(*policies, peer=peer, call=call)
    return caught.value


def now() -> float:
    return asyncio.get_running_loop().time()
