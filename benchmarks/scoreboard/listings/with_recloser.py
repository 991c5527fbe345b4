"""recloser's router: its catalog, once every server has listed."""

import asyncio
from contextlib import asynccontextmanager

from common import versions as installed

from recloser import Router, Server


def versions():
    return installed("recloser", "mcp")


@asynccontextmanager
async def connect(servers, deadline, tuned):
    async with Router(*(Server(server["name"], server["url"]) for server in servers)) as router:
        every = asyncio.gather(*map(router.ready, router.servers))

        async def count(server, tool, arguments, timeout, safe):
            await every
            return str(len(await router.list_tools()))

        yield count
