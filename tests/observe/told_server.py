"""A server over stdio that sends spans of its own, as any instrumented server does; argv holds the collector's URL."""

from __future__ import annotations

import os
import sys
from itertools import count
from typing import Final

from mcp.server import MCPServer
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolResult, TextContent, ToolAnnotations
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

SECRET: Final = os.environ["CANARY"]

server = MCPServer("Told", log_level="ERROR")
calls = count(1)


@server.tool(annotations=ToolAnnotations(read_only_hint=True, idempotent_hint=True))
async def flaky(note: str) -> CallToolResult:
    """Say that it was a passing failure, the first time."""
    if next(calls) > 1:
        return CallToolResult(content=[TextContent(type="text", text=f"said {note}")])
    told = {"error": {"code": "busy", "message": f"the database at {SECRET} is busy", "type": "transient"}}
    return CallToolResult(content=[TextContent(type="text", text=str(told))], structured_content=told, is_error=True)


@server.tool()
async def refuse(note: str) -> str:
    """Answer with an error that quotes what nobody should see."""
    raise MCPError(-32050, f"cannot log in as {SECRET}: {note}")


if __name__ == "__main__":
    provider = TracerProvider(resource=Resource.create({"service.name": "told-server"}))
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(endpoint=f"{sys.argv[1]}/v1/traces")))
    trace.set_tracer_provider(provider)
    server.run("stdio")
