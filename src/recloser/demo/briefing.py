"""The morning briefing: one fan-out over all servers, and what an agent makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import mcp_types as types

from recloser.call import Call
from recloser.errors import ErrorPayload
from recloser.fanout import FanOut
from recloser.router import Router

PARTS: Final = {
    "notes__list_notes": "your meetings",
    "weather__get_weather": "the weather",
    "search__search": "the team's news",
    "math__multiply": "the hours left in the sprint",
}
"""What each call of the briefing fetches, in the agent's words."""

LIMIT: Final = 3.0
"""Seconds that all parts together may take."""


async def brief(router: Router) -> FanOut:
    """Ask all servers at once; two of four answers are enough for a briefing."""
    calls = [
        Call.tool("notes__list_notes"),
        Call.tool("weather__get_weather", {"city": "London"}),
        Call.tool("search__search", {"query": "news team"}),
        Call.tool("math__multiply", {"a": 3, "b": 8}),
    ]
    return await router.fan_out(calls, quorum=2, timeout=LIMIT)


REASONS: Final = {
    "timeout": "{} did not answer in time",
    "circuit_open": "{} has failed too often and is being spared",
    "unauthenticated": "{} needs a new sign-in",
}
"""Why a part is missing, in the agent's words."""


def spoken(spread: FanOut) -> str:
    """Return what an agent would tell its user, with what is missing said plainly."""
    there = {key: _said(key, result.structured_content or {}) for key, result in spread.results.items()}
    told = " ".join(there[key] for key in PARTS if key in there)
    missing = [f"{PARTS[key]} ({_why(error)})" for key, error in spread.errors.items()]
    return (
        f"I couldn't fetch {' and '.join(missing)}, but here is the rest: {told}"
        if missing
        else f"Good morning! {told}"
    )


def _why(error: ErrorPayload) -> str:
    return REASONS.get(error.code, "{}: " + error.code).format(error.server)


def _said(key: str, data: Mapping[str, Any]) -> str:
    match key:
        case "notes__list_notes":
            return f"Today: {data['notes'][0]['text']}."
        case "weather__get_weather":
            return f"{data['summary']}."
        case "search__search":
            return f"News: {'; '.join(hit['title'] for hit in data['hits'])}."
        case _:
            return f"There are {data['result']} working hours left in the sprint."


def text_of(result: types.CallToolResult) -> str:
    """Return a result's text in one line, cut to what fits one."""
    text = " ".join(block.text for block in result.content if isinstance(block, types.TextContent))
    line = " ".join(text.split())
    return line if len(line) <= 100 else f"{line[:97]}..."
