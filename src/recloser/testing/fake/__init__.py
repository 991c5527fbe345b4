"""An MCP server in memory that a test drives by hand: it asserts what comes, and answers, fails or holds it.

    async with FakeServer("web") as fake, Router(fake.server("search")) as router:
        task = asyncio.create_task(router.call_tool("search__web", {"q": "tower"}))
        request = await fake.expect("tools/call", name="web")
        request.answer("330 m")

It opens no socket and starts no task, so that it works on virtual time too. It negotiates and lists by itself, in both
eras of the protocol; what callers ask for is the test's to answer.
"""

from recloser.testing.fake.request import Request
from recloser.testing.fake.server import BY_HAND, FakeServer

__all__ = ["BY_HAND", "FakeServer", "Request"]
