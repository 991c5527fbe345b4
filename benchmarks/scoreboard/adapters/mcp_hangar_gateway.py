"""mcp-hangar's facade, which calls through what its gateway calls through (https://mcp-hangar.io/docs/guides/FACADE_API).

Its rate limit of 10 calls a second is raised in both modes: it would refuse the load.
"""

import json
from contextlib import asynccontextmanager
from pathlib import Path

from common import versions as installed
from mcp_hangar import Hangar


def versions():
    return installed("mcp-hangar", "mcp")


def spec(server):
    if "url" in server:
        return {"mode": "remote", "endpoint": server["url"]}
    return {"mode": "subprocess", "command": [server["command"], *server["args"]]}


@asynccontextmanager
async def connect(servers, deadline, tuned):
    config = {
        "mcp_servers": {server["name"]: spec(server) for server in servers},
        "rate_limit": {"rps": 10_000, "burst": 10_000},
        "logging": {"level": "ERROR"},
    }
    if tuned:
        config["retry"] = {"default_policy": {"max_attempts": 3, "initial_delay": 0.05}}
    path = Path("hangar.yaml")
    path.write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML
    async with Hangar.from_config(path) as hangar:

        async def call(server, tool, arguments, timeout, safe):
            result = await hangar.invoke(server, tool, arguments, timeout_s=timeout)
            return "".join(block.get("text", "") for block in result["content"])

        yield call
