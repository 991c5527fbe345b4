"""Requests to the fake server that are still open: progress, questions, and callers who leave."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio
import mcp_types as types
import pytest
from fake_kit import Case, each_era, run
from mcp.client import Client
from mcp.shared.message import SessionMessage

from recloser.testing.fake import FakeServer
from recloser.testing.faulty.work import RpcError


@each_era
def test_a_callers_cancellation_reaches_the_request(era: Any) -> None:
    async def main() -> None:
        async with Case("web", "grep", era=era) as case:
            task, other = case.call("web"), case.call("grep")
            request = (await case.fake.expect(name="web")).hold()
            sibling = await case.fake.expect(name="grep")
            with pytest.raises(AssertionError, match="was not cancelled within 1 s: tools/call 'web'"):
                await request.until_cancelled(1)
            task.cancel()
            await request.until_cancelled()
            assert not sibling.cancelled
            sibling.answer("unharmed")
            await other
            assert case.fake.requests["notifications/cancelled"] == 1

    run(main)


@each_era
def test_progress_reaches_whoever_asked_for_it(era: Any) -> None:
    async def main() -> None:
        told: list[Any] = []

        async def hear(progress: float, total: float | None, message: str | None) -> None:
            told.append((progress, total, message))

        async with Case("web", era=era) as case:
            task = case.call(progress=hear)
            request = await case.fake.expect()
            request.progress(1, 2, "half")
            request.progress(2)
            request.answer("done")
            await task
            assert told == [(1, 2, "half"), (2, None, None)]
            task = case.call()
            request = await case.fake.expect()
            with pytest.raises(RuntimeError, match="the client has asked for no progress of tools/call"):
                request.progress(1)
            request.answer()
            await task

    run(main)


def test_a_server_of_the_handshake_era_can_ask_while_it_works() -> None:
    async def elicit(_context: Any, params: Any) -> Any:
        return types.ElicitResult(action="accept", content={"answer": params.message})

    async def main() -> None:
        async with (
            FakeServer("web", era="legacy") as fake,
            Client(fake.connect(), mode="legacy", elicitation_callback=elicit) as client,
        ):
            task = asyncio.create_task(client.call_tool("web"))
            request = await fake.expect()
            schema = {"type": "object", "properties": {"answer": {"type": "string"}}}
            answer = await request.ask("elicitation/create", {"message": "How high?", "requestedSchema": schema})
            assert answer["content"] == {"answer": "How high?"}
            with pytest.raises(RpcError):
                await request.ask("sampling/createMessage", {"messages": [], "maxTokens": 1})
            request.answer("done")
            await task

    run(main)


def test_a_question_whose_connection_ends_says_so() -> None:
    async def main() -> None:
        async with FakeServer("web", era="legacy") as fake, fake.connect() as (read, write):
            await write.send(SessionMessage(types.JSONRPCRequest(jsonrpc="2.0", id=1, method="tools/call")))
            request = await fake.expect()
            question = asyncio.create_task(request.ask("roots/list"))
            asked = await read.receive()
            unasked = types.JSONRPCResponse(jsonrpc="2.0", id="nobody", result={})
            await write.send(SessionMessage(unasked))
            fake.disconnect()
            with pytest.raises(ConnectionError, match="the connection has ended"):
                await question
            late = types.JSONRPCResponse(jsonrpc="2.0", id=asked.message.id, result={})
            with pytest.raises(anyio.BrokenResourceError):
                await write.send(SessionMessage(late))
            request.answer("goes nowhere")

    run(main)


def test_a_modern_server_asks_in_its_answer() -> None:
    async def elicit(_context: Any, params: Any) -> Any:
        return types.ElicitResult(action="accept", content={"answer": "330 m"})

    async def main() -> None:
        async with (
            FakeServer("web", era="modern") as fake,
            Client(fake.connect(), elicitation_callback=elicit) as client,
        ):
            task = asyncio.create_task(client.call_tool("web"))
            schema = {"type": "object", "properties": {"answer": {"type": "string"}}}
            asked = {"method": "elicitation/create", "params": {"message": "How high?", "requestedSchema": schema}}
            (await fake.expect()).answer(raw={"resultType": "input_required", "inputRequests": {"q": asked}})
            again = await fake.expect()
            assert again.params["inputResponses"]["q"]["content"] == {"answer": "330 m"}
            again.answer("done")
            await task

    run(main)


def test_a_cancellation_means_the_request_of_that_connection_alone() -> None:
    async def main() -> None:
        async with FakeServer("web") as fake, fake.connect() as (_, first), fake.connect() as (_, second):
            for write in (first, second):
                await write.send(SessionMessage(types.JSONRPCRequest(jsonrpc="2.0", id=1, method="tools/call")))
            requests = [await fake.expect(), await fake.expect()]
            cancelled = types.JSONRPCNotification(
                jsonrpc="2.0", method="notifications/cancelled", params={"requestId": 1}
            )
            await second.send(SessionMessage(cancelled))
            assert [request.cancelled for request in requests] == [False, True]

    run(main)


def test_a_request_that_was_answered_is_not_cancelled_by_the_end_of_its_connection() -> None:
    async def main() -> None:
        async with FakeServer("web") as fake, fake.connect() as (_, write):
            await write.send(SessionMessage(types.JSONRPCRequest(jsonrpc="2.0", id=1, method="tools/call")))
            request = await fake.expect()
            request.answer("in time")
            fake.disconnect()
            assert not request.cancelled

    run(main)
