"""What hangs or ends over HTTP holds up nobody, and leaves nothing behind."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import Any

import anyio
import mcp_types as types
import pytest
from http_kit import call, hang, notify, reset, status, transport
from mcp import MCPError
from mcp.shared.message import SessionMessage

from recloser.testing.clock import run_virtual
from recloser.transport.http import HttpTransport
from support.http_faults import Exchange, FaultServer, open_session


@pytest.mark.parametrize("fault", [hang, reset, status(503), status(307, location="http://other.invalid/")])
def test_a_notification_that_fails_or_hangs_holds_up_nobody(fault: Any) -> None:
    async def main() -> None:
        on = {"notifications/roots/list_changed": fault}
        async with FaultServer(on=on) as server, open_session(transport(server.url), "legacy") as session:
            await notify(session)
            assert (await call(session, "next")).content

    asyncio.run(main())


def test_no_request_overtakes_the_end_of_the_handshake() -> None:
    async def main() -> None:
        async with FaultServer() as server, open_session(transport(server.url), "legacy"):
            assert server.methods() == ["initialize", "notifications/initialized", "tools/list"]

    asyncio.run(main())


def test_an_end_of_the_handshake_that_hangs_is_given_up_after_five_seconds() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with (
            FaultServer(on={"notifications/initialized": hang}) as server,
            open_session(transport(server.url), "legacy") as session,
        ):
            assert loop.time() >= 5.0
            assert (await call(session, "next")).content

    run_virtual(main, grace=0.5)


def test_an_answer_of_ours_that_the_server_does_not_take_disturbs_nothing() -> None:
    async def main() -> None:
        async with FaultServer(on={"": status(500)}) as server, transport(server.url) as (read, write):
            answer = types.JSONRPCResponse(jsonrpc="2.0", id=7, result={})
            await write.send(SessionMessage(answer))
            request = types.JSONRPCRequest(jsonrpc="2.0", id=8, method="ping")
            await write.send(SessionMessage(request))
            item = await read.receive()
            assert item.message.id == 8

    asyncio.run(main())


def test_leaving_leaves_no_task_behind() -> None:
    async def main() -> None:
        on = {"notifications/roots/list_changed": hang, "slow": hang}
        async with FaultServer(on=on, session=True) as server:
            before = asyncio.all_tasks()
            async with open_session(transport(server.url), "legacy") as session:
                await notify(session)
                calls = [asyncio.create_task(call(session, "slow")) for _ in range(3)]
                while server.methods().count("tools/call") < 3:
                    await asyncio.sleep(0)
            for task in calls:
                with pytest.raises(MCPError):
                    await task
            assert {task for task in asyncio.all_tasks() - before if task.get_coro().__name__ != "_accept"} == set()

    asyncio.run(main())


def test_the_end_of_the_sdks_transport_is_told_by_an_event_and_cancels_nobody() -> None:
    @asynccontextmanager
    async def broken() -> Any:
        async with anyio.create_task_group() as group:
            send, receive = anyio.create_memory_object_stream[Any](0)

            async def fail() -> None:
                with send, receive:
                    await asyncio.sleep(0)
                    raise RuntimeError("the SDK has a bug")

            group.start_soon(fail)
            yield receive, send

    class Broken(HttpTransport):
        def _open(self) -> Any:
            return broken()

    async def main() -> None:
        made = Broken("", lambda: None, max_message=1)  # type: ignore[arg-type,return-value] - makes no client
        async with made:
            await made.died.wait()
            await asyncio.sleep(0)
        assert isinstance(made.error, ExceptionGroup)

    asyncio.run(main())


def test_a_transport_is_entered_once() -> None:
    async def main() -> None:
        async with FaultServer() as server:
            made = transport(server.url)
            async with made:
                assert not made.died.is_set()
                with pytest.raises(RuntimeError, match="only once"):
                    await made.__aenter__()
            assert made.died.is_set()

    asyncio.run(main())


def test_the_end_of_the_read_stream_sets_the_event() -> None:
    async def main() -> None:
        async with FaultServer() as server:
            made = transport(server.url)
            async with made as (read, write):
                await write.aclose()
                with pytest.raises(StopAsyncIteration):
                    await anext(aiter(read))
                assert made.died.is_set()
            again = transport(server.url)
            async with again as (read, write):
                await write.aclose()
                with pytest.raises(anyio.EndOfStream):
                    await read.receive()
                assert again.died.is_set()

    asyncio.run(main())


def test_a_cancelled_close_still_ends_the_transport() -> None:
    async def main() -> None:
        async with FaultServer(session=True, on={"DELETE": hang}) as server:
            made = transport(server.url)

            async def own() -> None:
                async with open_session(made, "legacy"):
                    pass

            owner = asyncio.create_task(own())
            while "DELETE" not in server.methods():
                await asyncio.sleep(0.001)
            owner.cancel()
            with pytest.raises(asyncio.CancelledError):
                await owner
            assert made.died.is_set()

    asyncio.run(main())


def test_a_connection_that_the_server_has_closed_while_idle_is_replaced_unseen() -> None:
    async def then_close(exchange: Exchange) -> None:
        await exchange.result()
        exchange.close()

    async def main() -> None:
        async with (
            FaultServer(on={"one": then_close}) as server,
            open_session(transport(server.url), "modern") as session,
        ):
            for _ in range(5):
                await call(session, "one")
                await asyncio.sleep(0.01)

    asyncio.run(main())
