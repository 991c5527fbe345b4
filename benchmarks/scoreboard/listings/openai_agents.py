"""openai-agents: what an agent collects of its servers before each turn."""

from contextlib import asynccontextmanager

from agents import Agent, RunContextWrapper
from agents.mcp import MCPServerManager, MCPUtil
from common import versions as installed
from openai_agents import served


def versions():
    return installed("openai-agents", "mcp")


@asynccontextmanager
async def connect(servers, deadline, tuned):
    every = [served(server, {}) for server in servers]
    async with MCPServerManager(every):
        agent = Agent(name="host", mcp_servers=every)

        async def count(server, tool, arguments, timeout, safe):
            context = RunContextWrapper(context=None)
            return str(len(await MCPUtil.get_all_function_tools(every, False, context, agent, None, True)))

        yield count
