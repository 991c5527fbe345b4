"""A server as users of fastmcp write them: over stdio, or over HTTP at the port that it is given."""

import asyncio
import sys
from pathlib import Path

from fastmcp import Context, FastMCP

server = FastMCP("Third")


@server.tool(tags={"sums"}, annotations={"readOnlyHint": True})
async def add(a: int, b: int) -> int:
    """Add two whole numbers."""
    return a + b


@server.tool
async def count(upto: int, context: Context) -> str:
    """Count, and report each step."""
    for step in range(upto):
        await context.report_progress(step + 1, upto, f"step {step + 1}")
    return "done"


@server.tool
async def hang(file: str, context: Context) -> str:
    """Note in a file that it runs, report that, and never answer."""
    with Path(file).open("a") as log:
        log.write("ran\n")
    await context.report_progress(1)
    await asyncio.Event().wait()
    return "never"


@server.tool
async def ask(context: Context) -> str:
    """Ask the user for a name."""
    answer = await context.elicit("What is your name?", str)
    return f"{answer.action}: {answer.data}" if answer.action == "accept" else answer.action


@server.tool
async def fail() -> str:
    """Raise."""
    raise ValueError("no luck")


@server.resource("data://motto")
def motto() -> str:
    """The house's motto."""
    return "recloses by itself"


@server.resource("data://{name}/greeting")
def greeting(name: str) -> str:
    """A greeting."""
    return f"Hello, {name}"


@server.prompt
def review(code: str) -> str:
    """Ask for a review."""
    return f"Review this: {code}"


if __name__ == "__main__":
    if len(sys.argv) > 1:
        server.run(transport="http", host="127.0.0.1", port=int(sys.argv[1]), show_banner=False)
    else:
        server.run(show_banner=False)
