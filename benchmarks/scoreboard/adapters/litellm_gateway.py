"""LiteLLM's MCP gateway, asked by the official SDK's client (https://docs.litellm.ai/docs/mcp).

Only at its defaults: each run starts the gateway anew, which takes long.
"""

import json
import sys
from contextlib import asynccontextmanager
from pathlib import Path

from common import text_of
from common import versions as installed
from gateway import client, free_port, process


def versions():
    return installed("litellm", "mcp")


def spec(server):
    if "url" in server:
        return {"transport": "http", "url": server["url"]}
    return {"transport": "stdio", "command": server["command"], "args": server["args"]}


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
        process(*command, "--port", str(port), port=port, LITELLM_ENABLE_MCP_STDIO="true", LITELLM_LOG="ERROR"),
        client(f"http://127.0.0.1:{port}/mcp", **{"x-litellm-api-key": "Bearer sk-scoreboard"}) as asked,
    ):
        await asked.list_tools()

        async def call(server, tool, arguments, timeout, safe):
            return text_of(await asked.call_tool(f"{server}-{tool}", arguments, read_timeout_seconds=timeout))

        yield call
