"""Full-text search over a small corpus that is built in."""

from __future__ import annotations

import re
from typing import Annotated, Final

from mcp.server import MCPServer
from mcp_types import ToolAnnotations
from pydantic import BaseModel, Field

from recloser.demo.servers.serving import main


class Hit(BaseModel):
    """One document that was found."""

    title: str
    text: str
    score: int = Field(description="How many of the query's words it has")


class Found(BaseModel):
    """What `search` answers."""

    query: str
    total: int = Field(description="How many documents have a word of the query")
    hits: list[Hit] = Field(description="The best of them, best first")


CORPUS: Final = (
    ("Release 4.2 is out", "The release went live on Monday. News for the team: search is twice as fast."),
    ("Deployment issue in project X", "Urgent: John flagged a deployment issue. The rollback is ready."),
    ("Sprint board", "Two new comments on your tickets. The sprint ends on Friday. News: the backlog is empty."),
    ("Circuit breaker", "A circuit breaker rejects calls to a failing server at once, and tries again after a break."),
    ("Retry budget", "A retry budget keeps retries a small share of all calls, so that an outage is not made worse."),
    ("Bulkhead", "A bulkhead limits calls in flight, so that one slow server cannot take every worker."),
    ("Deadline", "A deadline is the moment by which a call returns, with all of its retries inside."),
    ("Model Context Protocol", "MCP lets an agent use the tools of many servers as if they were one toolbox."),
)

READ_ONLY: Final = ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False)

server = MCPServer("Search Server", instructions="Search the team's documents.", log_level="WARNING")


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.casefold()))


@server.tool(title="Search", annotations=READ_ONLY)
async def search(
    query: Annotated[str, Field(min_length=1, description="Words to look for")],
    limit: Annotated[int, Field(ge=1, le=20, description="The most hits to return")] = 3,
) -> Found:
    """Search the team's documents."""
    wanted = _words(query)
    hits = [
        Hit(title=title, text=text, score=len(wanted & _words(f"{title} {text}")))
        for title, text in CORPUS
        if wanted & _words(f"{title} {text}")
    ]
    hits.sort(key=lambda hit: (-hit.score, hit.title))
    return Found(query=query, total=len(hits), hits=hits[:limit])


if __name__ == "__main__":
    main(server)
