"""openai-agents: its servers under its MCPServerManager (https://openai.github.io/openai-agents-python/mcp/)."""

from contextlib import asynccontextmanager

from agents.mcp import MCPServerManager, MCPServerStdio, MCPServerStreamableHttp
from common import text_of
from common import versions as installed


def versions():
    return installed("openai-agents", "mcp")


def served(server, more):
    if "url" in server:
        return MCPServerStreamableHttp({"url": server["url"]}, name=server["name"], **more)
    return MCPServerStdio({"command": server["command"], "args": server["args"]}, name=server["name"], **more)


@asynccontextmanager
async def connect(servers, deadline, tuned):
    more = {}
    if tuned:
        more = {
            "client_session_timeout_seconds": deadline / 3,
            "max_retry_attempts": 2,
            "retry_backoff_seconds_base": 0.05,
            "cache_tools_list": True,
        }
    every = {server["name"]: served(server, more) for server in servers}
    limits = {"connect_timeout_seconds": 2.0, "connect_in_parallel": True} if tuned else {}
    async with MCPServerManager(every.values(), **limits):

        async def call(server, tool, arguments, timeout, safe):
            return text_of(await every[server].call_tool(tool, arguments))

        yield call
