"""LiteLLM's MCP gateway, asked by the official SDK's client, which is told not to keep what it has heard."""

import json
import sys
from contextlib import asynccontextmanager
from pathlib import Path

from common import versions as installed
from gateway import client, free_port, process
from litellm_gateway import spec


def versions():
    return installed("litellm", "mcp")


@asynccontextmanager
async def connect(servers, deadline, tuned):
    config = {
        "general_settings": {"master_key": "sk-scoreboard"},
        "mcp_servers": {server["name"]: spec(server) for server in servers},
    }
    path = Path("litellm.yaml")
    path.write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML
    port = free_port()
    command = [str(Path(sys.executable).with_name("litellm")), "--config", str(path), "--host", "127.0.0.1"]
    async with (
        process(*command, "--port", str(port), port=port, LITELLM_LOG="ERROR"),
        client(f"http://127.0.0.1:{port}/mcp", **{"x-litellm-api-key": "Bearer sk-scoreboard"}) as asked,
    ):

        async def count(server, tool, arguments, timeout, safe):
            found, cursor = 0, None
            while True:
                page = await asked.list_tools(cursor=cursor, cache_mode="refresh")
                found, cursor = found + len(page.tools), page.next_cursor
                if cursor is None:
                    return str(found)

        yield count
