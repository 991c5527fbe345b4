"""Half a character, as some tools leave it when they cut a text, never comes out as what no UTF-8 can hold."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from connection_kit import ERAS, run, watched
from mcp.server import MCPServer

from recloser import Server
from recloser.connection import passing
from recloser.testing.clock import run_virtual
from support.peers import Peer, said, tool


@pytest.mark.parametrize("era", ["modern", "legacy", "auto"])
def test_a_server_of_this_process_may_cut_a_character_in_two(era: Any) -> None:
    program = MCPServer("cutting")

    @program.tool(description="half \ud83d")
    async def cut() -> str:
        return "a\ud83db \U0001f600"

    async def main() -> None:
        async with watched(Server("peer", program, era=era)) as seen:
            await seen.connection.ready()
            assert seen.listings[-1].tools[0].description == "half ?"
            assert await seen.call("cut") == "a?b \U0001f600"

    run(main)


@ERAS
def test_a_transport_of_a_users_own_may_bring_half_a_character(modern: bool) -> None:
    async def main() -> None:
        peer = Peer(modern=modern, legacy=not modern)
        peer.on["cut"] = lambda line, params: asyncio.sleep(0, said("half \ud83d", structuredContent={"\ude00": ["é"]}))
        peer.tools = [tool("cut", description="\ud83d")]
        async with watched(peer.server()) as seen:
            await seen.connection.ready()
            assert seen.listings[-1].tools[0].description == "?"
            assert await seen.call("cut") == "half ?"

    run_virtual(main)


def test_all_else_of_a_dispatcher_is_its_own():
    class Inner:
        answered = 7

    assert passing.Plain(Inner()).answered == 7
