"""langchain-mcp-adapters, a session for each call (https://docs.langchain.com/oss/python/langchain/mcp).

The interceptor is the one that the page shows for retries, with shorter pauses.
"""

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta

from common import versions as installed
from langchain_mcp_adapters.client import MultiServerMCPClient


def versions():
    return installed("langchain-mcp-adapters", "mcp")


async def retry_interceptor(request, handler, max_retries=3, delay=0.05):
    for attempt in range(max_retries):
        try:
            return await handler(request)
        except Exception:
            if attempt == max_retries - 1:
                raise
            await asyncio.sleep(delay * 2**attempt)
    raise AssertionError("unreachable")


def connection(server, deadline, tuned):
    more = {"session_kwargs": {"read_timeout_seconds": timedelta(seconds=deadline / 3)}} if tuned else {}
    if "url" in server:
        return {"transport": "streamable_http", "url": server["url"], **more}
    return {"transport": "stdio", "command": server["command"], "args": server["args"], **more}


@asynccontextmanager
async def connect(servers, deadline, tuned):
    client = MultiServerMCPClient(
        {server["name"]: connection(server, deadline, tuned) for server in servers},
        tool_name_prefix=True,
        tool_interceptors=[retry_interceptor] if tuned else None,
    )
    tools = {tool.name: tool for tool in await client.get_tools()}

    async def call(server, tool, arguments, timeout, safe):
        content = await tools[f"{server}_{tool}"].ainvoke(arguments)
        return content if isinstance(content, str) else "".join(block.get("text", "") for block in content)

    yield call
