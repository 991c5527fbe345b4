"""The fake server: a test drives it by hand, through the router and through the SDK's own client."""

from __future__ import annotations

import asyncio
from typing import Any

import mcp_types as types
import pytest
from fake_kit import Case, each_era, now, run
from mcp.client import Client

from recloser import AuthError, CriticalError, RouterError, Timeouts, TransientError
from recloser.classify import classify
from recloser.errors import CODES
from recloser.testing.fake import FakeServer
from recloser.testing.fake.answers import CAUSES


@each_era
def test_a_request_is_asserted_and_answered(era: Any) -> None:
    async def main() -> None:
        async with Case("web", "grep", era=era) as case:
            tools = await case.router.list_tools()
            assert {tool.name for tool in tools} == {"search__web", "search__grep"}
            task = case.call("web", {"q": "tower"}, meta={"com.example/x": 1})
            request = await case.fake.expect("tools/call", name="web", arguments={"q": "tower"})
            assert (request.name, request.arguments, request.connection) == ("web", {"q": "tower"}, 1)
            assert request.meta["com.example/x"] == 1
            assert request.modern == (era == "modern")
            assert not request.answered
            request.answer("330 m")
            result = await task
            assert (result.content[0].text, result.is_error) == ("330 m", False)
            assert request.answered
            assert case.fake.received == [request]
            assert case.fake.requests["tools/call"] == 1
            assert case.fake.requests["tools/list"] == 1

    run(main)


@each_era
def test_a_tool_may_answer_in_every_form(era: Any) -> None:
    async def main() -> None:
        async with Case("web", era=era) as case:

            async def answered(**how: Any) -> Any:
                task = case.call()
                (await case.fake.expect()).answer(**how)
                return await task

            structured = await answered(structured={"height": 330})
            assert structured.structured_content == {"height": 330}
            assert structured.content[0].text == '{"height": 330}'
            assert (await answered(text="said", structured={"x": 1})).content[0].text == "said"
            failed = await answered(text="no such tower", is_error=True)
            assert failed.is_error
            raw = await answered(raw={"content": [{"type": "text", "text": "raw"}]})
            assert raw.content[0].text == "raw"
            model = types.CallToolResult(content=[types.TextContent(type="text", text="model")])
            assert (await answered(raw=model)).content[0].text == "model"

    run(main)


@each_era
def test_resources_and_prompts_and_completions_are_answered_by_hand_too(era: Any) -> None:
    async def main() -> None:
        async with Case(era=era, resources=["test://a"], prompts=[{"name": "review", "description": "x"}]) as case:
            router, fake = case.router, case.fake
            assert [str(each.uri) for each in await router.list_resources()] == ["test://a"]
            read = asyncio.create_task(router.read_resource("test://a"))
            (await fake.expect("resources/read", name="test://a")).answer("content of a")
            assert (await read).contents[0].text == "content of a"
            get = asyncio.create_task(router.get_prompt("search__review", {"text": "x"}))
            (await fake.expect("prompts/get", name="review", arguments={"text": "x"})).answer("Look at x.")
            assert (await get).messages[0].content.text == "Look at x."

    run(main)

    async def by_the_sdk() -> None:
        async with FakeServer(prompts=["review"], era=era) as fake, Client(fake.connect()) as client:
            reference = types.PromptReference(type="ref/prompt", name="review")
            task = asyncio.create_task(client.complete(reference, {"name": "x", "value": ""}))
            (await fake.expect("completion/complete")).answer("alpha")
            assert (await task).completion.values == ["alpha"]
            task = asyncio.create_task(client.complete(reference, {"name": "x", "value": ""}))
            (await fake.expect("completion/complete")).answer()
            assert (await task).completion.values == []

    run(by_the_sdk)


@pytest.mark.parametrize("code", CAUSES)
def test_a_request_can_fail_with_what_a_server_causes(code: str) -> None:
    async def main() -> None:
        async with Case("web") as case:
            task = case.call()
            request = await case.fake.expect()
            request.fail(code, retry_after=None)
            if code in ("overloaded", "unreachable"):
                (await case.fake.expect(timeout=60)).answer("again")
                assert (await task).content[0].text == "again"
            else:
                with pytest.raises(RouterError) as caught:
                    await task
                assert caught.value.payload.code == code
                assert (caught.value.payload.delivered == "no") == (not request.executed)
            assert request.executed == (CODES[code].delivered != "no")

    run(main)


def test_a_server_says_when_to_come_again() -> None:
    async def main() -> None:
        async with Case("web") as case:
            task = case.call()
            (await case.fake.expect()).fail("overloaded", retry_after=4)
            begun = now()
            (await case.fake.expect(timeout=60)).answer("now")
            assert now() - begun >= 4
            assert (await task).content[0].text == "now"

    run(main)


@each_era
def test_a_request_can_fail_with_a_code_of_json_rpc(era: Any) -> None:
    async def main() -> None:
        async with Case("web", era=era) as case:
            task = case.call()
            request = await case.fake.expect()
            request.fail(-32602, "bad arguments", data={"x": 1})
            with pytest.raises(CriticalError) as caught:
                await task
            assert caught.value.payload.code == "invalid_request"
            assert not request.executed
            task = case.call()
            request = await case.fake.expect()
            request.fail()
            with pytest.raises(CriticalError) as caught:
                await task
            assert caught.value.payload.code == "server_fault"
            assert request.executed

    run(main)


def test_a_code_that_no_server_causes_is_refused_and_the_request_stays_open() -> None:
    async def main() -> None:
        async with Case("web") as case:
            task = case.call()
            request = await case.fake.expect()
            with pytest.raises(ValueError, match="no server causes 'circuit_open'; known: unauthenticated"):
                request.fail("circuit_open")
            request.answer("all the same")
            assert (await task).content[0].text == "all the same"

    run(main)


def test_an_sdk_client_sees_an_error_where_the_router_sees_a_status() -> None:
    async def main() -> None:
        async with FakeServer("web") as fake, Client(fake.connect()) as client:
            task = asyncio.create_task(client.call_tool("web"))
            (await fake.expect()).fail("unauthenticated", "no")
            with pytest.raises(Exception, match="no") as caught:
                await task
            assert isinstance(classify(caught.value, server="x"), AuthError)

    run(main)


def test_a_request_is_answered_once() -> None:
    async def main() -> None:
        async with Case("web") as case:
            task = case.call()
            request = await case.fake.expect()
            request.answer("once")
            with pytest.raises(RuntimeError, match="was answered already: tools/call 'web'"):
                request.answer("twice")
            with pytest.raises(RuntimeError, match="was answered already"):
                request.fail("server_error")
            await task

    run(main)


@each_era
def test_a_request_that_is_held_runs_into_the_limit_and_its_late_answer_is_lost(era: Any) -> None:
    async def main() -> None:
        async with Case("web", era=era, options={"timeouts": Timeouts(attempt=3, total=10)}) as case:
            task = case.call()
            request = (await case.fake.expect()).hold()
            assert request.held
            assert "held" in repr(request)
            with pytest.raises(TransientError) as caught:
                await task
            assert caught.value.payload.code == "timeout"
            assert now() - request.at == pytest.approx(3)
            await request.until_cancelled()
            assert request.cancelled
            request.answer("too late")
            await asyncio.sleep(1)
            assert case.router.health()["search"].available

    run(main)
