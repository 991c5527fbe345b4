"""A real MCP server, in a process and with an OpenTelemetry SDK of its own: `traced_server.py NAME COLLECTOR …`.

The further words are those of the demo's servers: `--transport`, `--era`, `--token-file`, `--until-stdin-closes`.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from mcp import MCPError
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp_types import INTERNAL_ERROR
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from recloser.demo.servers.serving import main

server = MCPServer("traced", log_level="CRITICAL")
failed: set[str] = set()


@server.tool()
async def echo(text: str) -> str:
    """Return the text."""
    return text


@server.tool()
async def meta(context: Context) -> str:
    """Return the `_meta` that came with the request."""
    said: Any = context.request_context.meta
    return json.dumps(said if isinstance(said, dict) else said and said.model_dump(mode="json"))


@server.tool()
async def fail_once(key: str) -> str:
    """Fail the first time that a key is given, and then no more."""
    if key in failed:
        return "done"
    failed.add(key)
    raise MCPError(code=INTERNAL_ERROR, message="not this time")


@server.tool()
async def refuse() -> str:
    """Answer with an error of the tool itself."""
    raise ValueError("these are not the arguments")


@server.tool()
async def die_once(path: str) -> str:
    """End the process, unless there is a file of that name already; it is made before."""
    try:
        Path(path).touch(exist_ok=False)
    except FileExistsError:
        return "done"
    os._exit(1)


@server.tool()
async def slow(context: Context, seconds: float = 60.0) -> str:
    """Say that it has begun, and take its time."""
    await context.report_progress(0, 1)
    await asyncio.sleep(seconds)
    return "done"


if __name__ == "__main__":
    _, name, collector, *words = sys.argv
    provider = TracerProvider(resource=Resource.create({"service.name": name}))
    exporter = OTLPSpanExporter(endpoint=f"{collector}/v1/traces", timeout=5)
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=50))
    trace.set_tracer_provider(provider)
    main(server, words)
