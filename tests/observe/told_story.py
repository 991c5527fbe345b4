"""A router's run that is watched: a success, a retry, a failure, a degraded fan-out, with secrets on every way.

argv holds the collector's URL; a line of JSON says which trace is which. A process of its own, since OpenTelemetry has
one provider a process.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any, Final

from mcp.server import MCPServer

from recloser import Call, Router, Server
from recloser.events import CallFinished, Event
from recloser.telemetry import configure

SECRET: Final = os.environ["CANARY"]

home = MCPServer("Home", log_level="ERROR")


@home.tool()
async def fine(note: str) -> str:
    """Say what it was told."""
    return f"said {note}"


async def tell(url: str) -> dict[str, str]:
    traces: dict[str, str] = {}
    ended: list[CallFinished] = []

    def listen(event: Event) -> None:
        if isinstance(event, CallFinished):
            ended.append(event)

    async def call(title: str, making: Any) -> None:
        ended.clear()
        await making
        assert ended[0].trace_id is not None
        traces[title] = ended[0].trace_id

    script = str(Path(__file__).with_name("told_server.py"))
    told = Server("told", command=sys.executable, args=[script, url], env={"CANARY": SECRET}, trusted=True)
    async with Router(Server("home", home), told, listeners=[listen], secrets=[SECRET]) as router:
        await router.ready("told")
        secret = {"note": SECRET}
        await call("success", router.call_tool("home__fine", secret))
        await call("retry", router.call_tool("told__flaky", secret))
        await call("failure", router.call_tool("told__refuse", secret))
        await call("unknown", router.call_tool(f"home__{SECRET}", secret))
        calls = [Call.tool("home__fine", secret), Call.tool("told__refuse", secret)]
        await call("degraded", router.fan_out(calls, quorum=1))
    return traces


if __name__ == "__main__":
    with configure(service_name="told-story", otlp_endpoint=sys.argv[1], logs="json"):
        print(json.dumps(asyncio.run(tell(sys.argv[1]))))
