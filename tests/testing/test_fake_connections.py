"""Connections to the fake server: they end, come back, and keep to their era."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio
import mcp_types as types
import pytest
from fake_kit import Case, each_era, run
from mcp.client import Client
from mcp.shared.message import SessionMessage

from recloser import Timeouts, TransientError
from recloser.testing.fake import FakeServer


@each_era
def test_a_connection_that_ends_under_a_call_is_lost_and_the_next_one_is_made(era: Any) -> None:
    async def main() -> None:
        async with Case("web", era=era) as case:
            assert case.fake.connections == 1
            task = case.call()
            request = await case.fake.expect()
            case.fake.disconnect()
            with pytest.raises(TransientError) as caught:
                await task
            assert (caught.value.payload.code, caught.value.payload.delivered) == ("connection_lost", "maybe")
            assert request.cancelled
            task = case.call()
            again = await case.fake.expect(timeout=60)
            assert again.connection == 2
            again.answer("back")
            assert (await task).content[0].text == "back"

    run(main)


@each_era
def test_a_server_that_is_down_is_unreachable_until_it_is_up_again(era: Any) -> None:
    async def main() -> None:
        async with Case("web", era=era, options={"timeouts": Timeouts(attempt=2, total=5)}) as case:
            case.fake.down()
            with pytest.raises(TransientError) as caught:
                await case.call()
            assert caught.value.payload.code in ("unreachable", "connection_lost", "timeout")
            assert caught.value.payload.delivered == "no"
            case.fake.up()
            case.fake.on("web", "back")
            await asyncio.sleep(60)
            assert (await case.call()).content[0].text == "back"

    run(main)


@each_era
def test_a_list_that_changes_is_announced_and_fetched_again(era: Any) -> None:
    async def main() -> None:
        async with Case("web", era=era) as case:
            await asyncio.sleep(1)
            case.fake.tools = ["web", types.Tool(name="grep", input_schema={"type": "object"})]
            assert case.fake.tools[1]["name"] == "grep"
            case.fake.announce()
            await asyncio.sleep(1)
            assert [tool.name for tool in await case.router.list_tools()] == ["search__web", "search__grep"]
        case.fake.announce()

    run(main)


@pytest.mark.parametrize(
    ("era", "version"), [("legacy", "2025-11-25"), ("modern", "2026-07-28"), ("dual", "2026-07-28")]
)
def test_it_speaks_the_protocol_that_it_is_told_to(era: Any, version: str) -> None:
    async def main() -> None:
        async with Case("web", era=era) as case:
            assert case.router.health()["search"].protocol_version == version

    run(main)


def test_a_modern_server_refuses_a_handshake() -> None:
    async def main() -> None:
        async with FakeServer("web", era="modern") as fake:
            with pytest.raises(BaseExceptionGroup):
                async with Client(fake.connect(), mode="legacy"):
                    raise AssertionError("unreachable")
            assert fake.requests["initialize"] == 1

    run(main)


def test_requests_over_a_connection_that_has_ended_are_refused() -> None:
    async def main() -> None:
        async with FakeServer("web") as fake, fake.connect() as (_, write):
            assert fake.connections == 1
            await write.aclose()
            assert fake.connections == 0
            with pytest.raises(anyio.BrokenResourceError):
                await write.send(SessionMessage(types.JSONRPCRequest(jsonrpc="2.0", id=1, method="ping")))

    run(main)
