"""recloser's router: README.md and docs/quickstart.md."""

from contextlib import asynccontextmanager

from common import text_of
from common import versions as installed

from recloser import Breaker, Router, Server, Timeouts


def versions():
    return installed("recloser", "mcp")


def settings(deadline):
    return {
        "trusted": True,
        "timeouts": Timeouts(total=deadline, attempt=deadline / 3, start=deadline / 2),
        "breaker": Breaker(open_for=deadline / 6, open_cap=deadline / 6),
    }


@asynccontextmanager
async def connect(servers, deadline, tuned):
    more = settings(deadline) if tuned else {}
    async with Router(*(Server(**server, **more) for server in servers)) as router:

        async def call(server, tool, arguments, timeout, safe):
            known = True if safe else None
            return text_of(await router.call_tool(f"{server}__{tool}", arguments, timeout=timeout, idempotent=known))

        yield call
