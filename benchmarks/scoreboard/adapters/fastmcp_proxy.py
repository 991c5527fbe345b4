"""FastMCP's proxies, one for each server, mounted into one front (https://gofastmcp.com/servers/composition).

Its retries: https://gofastmcp.com/servers/middleware. One proxy of the whole configuration is the other documented
form; it starts every server anew for each call. The front speaks the handshake era, as the servers do: a proxy mirrors
its client's era, and would list no tools otherwise.
"""

from contextlib import asynccontextmanager

from common import text_of
from common import versions as installed
from fastmcp import Client, FastMCP
from fastmcp.server import create_proxy
from fastmcp.server.middleware.error_handling import RetryMiddleware


def versions():
    return installed("fastmcp", "mcp")


@asynccontextmanager
async def connect(servers, deadline, tuned):
    front = FastMCP("front")
    for server in servers:
        name, where = server["name"], {key: value for key, value in server.items() if key != "name"}
        front.mount(create_proxy({"mcpServers": {name: where}}, name=name), namespace=name)
    if tuned:
        front.add_middleware(RetryMiddleware(max_retries=2, base_delay=0.05, retry_exceptions=(Exception,)))
    async with Client(front, mode="legacy") as client:

        async def call(server, tool, arguments, timeout, safe):
            name = f"{server}_{tool}"
            return text_of(await client.call_tool(name, arguments, timeout=timeout, raise_on_error=False))

        yield call
