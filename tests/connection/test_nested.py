"""A router within a tool of a server in the same process: what it does is nothing of the call that runs the tool."""

import asyncio

import anyio
import pytest
from mcp.server import MCPServer

from recloser import Breaker, Retry, Router, RouterError, Server, Timeouts, error_of
from recloser.call import CURRENT
from recloser.testing.clock import run_virtual
from support.peers import Peer

TIMES = Timeouts(total=20, attempt=4)
EAGER = {"retry": Retry(attempts=3), "breaker": Breaker(enabled=False), "timeouts": TIMES}


class Deaf:
    """A transport to a peer that has answered the handshake and takes nothing more."""

    def __init__(self):
        self._opened = Peer(modern=False)()

    async def __aenter__(self):
        reads, self._writes = await self._opened.__aenter__()
        return reads, self

    async def __aexit__(self, *error):
        await self._opened.__aexit__(*error)

    async def send(self, item):
        if item.message.method == "tools/list":
            raise anyio.BrokenResourceError
        await self._writes.send(item)

    async def aclose(self):
        await self._writes.aclose()


def deaf():
    return Deaf()


async def probes(peer):
    async with Router(peer.server("b", era="legacy")) as inner:
        await inner.ready("b")
        peer.line.from_client.close()
        with pytest.raises(RouterError):
            await inner.probe("b")
        await asyncio.sleep(30)


async def opens(peer):
    async with Router(Server("b", deaf, era="legacy")) as inner:
        with pytest.raises(RouterError):
            await inner.ready("b")
        await asyncio.sleep(30)


@pytest.mark.parametrize("era", ["modern", "legacy"])
@pytest.mark.parametrize("use", [probes, opens])
def test_a_tool_that_uses_a_router_of_its_own_runs_once_whatever_becomes_of_that_ones_server(use, era):
    async def main():
        ran = []
        server = MCPServer("a", log_level="CRITICAL")

        @server.tool()
        async def mail() -> str:
            ran.append(True)
            await use(Peer(modern=False))
            return "sent"

        async with Router(Server("a", server, era=era, **EAGER)) as outer:
            error = error_of(await outer.call_tool("a__mail"))
            assert (error.code, error.delivered, len(ran)) == ("timeout", "maybe", 1)

    run_virtual(main)


def test_a_connection_that_a_tool_has_opened_keeps_nothing_of_the_call_that_ran_the_tool():
    async def main():
        seen = []
        server = MCPServer("a", log_level="CRITICAL")
        peer = Peer()

        def transport():
            seen.append(CURRENT.get())
            return peer()

        @server.tool()
        async def mail() -> str:
            assert CURRENT.get().key == "a__mail"
            return (await inner.call_tool("b__echo")).content[0].text

        async with Router(Server("b", transport, lazy=True)) as inner, Router(Server("a", server)) as outer:
            assert (await outer.call_tool("a__mail")).content[0].text == "echo"
            assert seen == [None]

    run_virtual(main)
