"""What is expected of the fake server: a request that nobody foresaw fails the test, and one that never comes too."""

from __future__ import annotations

import asyncio

import mcp_types as types
import pytest
from fake_kit import Case, now, run
from mcp.shared.message import SessionMessage

from recloser import AuthError, Router, Timeouts, error_of
from recloser.testing.fake import BY_HAND, FakeServer, Request


def test_an_unexpected_request_fails_the_test_and_is_shown() -> None:
    async def main() -> None:
        case = Case("web", options={"timeouts": Timeouts(attempt=2, total=4)})
        with pytest.raises(AssertionError) as caught:
            async with case:
                await case.router.call_tool("search__web", {"q": "x" * 300})
        assert "the fake server 'fake' got requests that nobody expected:\n- tools/call 'web' {" in str(caught.value)
        assert "x…" in str(caught.value)
        assert "at 0 s over connection 1" in str(caught.value)
        assert len(str(caught.value)) < 400
        assert len(case.fake.unexpected) == 1
        assert "1 unexpected" in repr(case.fake)

    run(main)


def test_an_exception_of_the_body_goes_first_and_carries_what_was_unexpected() -> None:
    async def main() -> None:
        with pytest.raises(KeyError) as caught:
            async with Case("web", options={"timeouts": Timeouts(attempt=2, total=4)}) as case:
                await case.router.call_tool("search__web")
                raise KeyError("mine")
        assert "got requests that nobody expected" in caught.value.__notes__[0]
        with pytest.raises(KeyError) as caught:
            async with FakeServer():
                raise KeyError("mine")
        assert not hasattr(caught.value, "__notes__")

    run(main)


def test_a_request_that_never_comes_fails_the_test_and_says_what_came_instead() -> None:
    async def main() -> None:
        async with Case("web", "grep") as case:
            with pytest.raises(AssertionError, match=r"expected tools/call within 2 s; no other request is waiting"):
                await case.fake.expect(timeout=2)
            task = case.call("grep", {"p": "x"})
            with pytest.raises(AssertionError) as caught:
                await case.fake.expect(name="web", arguments={"q": "x"}, timeout=2)
            assert "expected tools/call 'web' {'q': 'x'} within 2 s" in str(caught.value)
            assert '- tools/call \'grep\' {"p": "x"}' in str(caught.value)
            other = case.call("web")
            await asyncio.sleep(0)
            await asyncio.sleep(1)
            (await case.fake.expect(name="web")).answer()
            (await case.fake.expect(name="grep")).answer("found late")
            await asyncio.gather(task, other)

    run(main)


def test_a_request_that_comes_at_the_last_moment_has_come() -> None:
    async def main() -> None:
        async with FakeServer("web") as fake, fake.connect() as (_, write):
            message = types.JSONRPCRequest(jsonrpc="2.0", id=1, method="tools/call", params={"name": "web"})
            asyncio.get_running_loop().call_at(1.0, write._line.take, message)
            assert (await fake.expect(timeout=1.0)).name == "web"
            assert now() == 1

    run(main)


def test_requests_that_come_in_any_order_are_each_claimed_by_whom_they_are_for() -> None:
    async def main() -> None:
        async with Case("web", "grep") as case:
            first = asyncio.create_task(case.fake.expect(name="grep"))
            second = asyncio.create_task(case.fake.expect(name="web"))
            await asyncio.sleep(0)
            tasks = [case.call("web", {"n": 1}), case.call("web", {"n": 2}), case.call("grep")]
            assert (await first).name == "grep"
            assert (await second).arguments == {"n": 1}
            other = await case.fake.expect(arguments={"n": 2})
            for request in (await first, await second, other):
                request.answer()
            await asyncio.gather(*tasks)

    run(main)


def test_a_method_that_the_server_answers_itself_cannot_be_expected_unless_it_was_asked_for() -> None:
    async def main() -> None:
        async with FakeServer("web") as fake:
            with pytest.raises(ValueError, match="answers 'tools/list' itself; to answer it, name it in by_hand="):
                await fake.expect("tools/list")
        async with FakeServer("web", by_hand=["tools/list"]) as fake:
            router = Router(fake.server())
            opening = asyncio.create_task(router.__aenter__())
            request = await fake.expect("tools/list")
            request.answer(raw={"tools": [{"name": "other", "inputSchema": {"type": "object"}}]})
            await opening
            assert [tool.name for tool in await router.list_tools()] == ["fake__other"]
            await router.__aexit__(None, None, None)
        assert "tools/list" not in BY_HAND

    run(main)


def test_an_answer_to_a_method_of_its_own_kind_is_empty_unless_given() -> None:
    async def main() -> None:
        async with FakeServer(by_hand=["ping"], era="legacy") as fake, fake.connect() as (read, write):
            await write.send(SessionMessage(types.JSONRPCRequest(jsonrpc="2.0", id=1, method="ping")))
            (await fake.expect("ping")).answer("not said")
            assert (await read.receive()).message.result == {}

    run(main)


def test_what_becomes_of_a_request_can_be_settled_in_advance() -> None:
    async def main() -> None:
        async with Case("web", "grep", "sum", prompts=["review"]) as case:
            fake = case.fake
            fake.on("web", "always this")
            fake.on("grep", lambda request: request.fail("forbidden"))
            fake.on("tools/call", lambda request: request.answer(structured=request.arguments))
            assert (await case.call("web")).content[0].text == "always this"
            with pytest.raises(AuthError):
                await case.call("grep")
            assert (await case.call("sum", {"a": 1})).structured_content == {"a": 1}
            fake.on("prompts/get", "Look.")
            assert (await case.router.get_prompt("search__review")).messages[0].content.text == "Look."
            assert [request.name for request in fake.received] == ["web", "grep", "sum", "review"]

    run(main)


def test_executions_are_told_by_their_labels_and_refused_requests_are_none() -> None:
    async def main() -> None:
        async with Case("web", "grep") as case:

            def act(request: Request) -> None:
                if request.arguments.get("text") == "refused":
                    request.fail("forbidden")
                else:
                    request.answer()

            case.fake.on("tools/call", act)
            for name, arguments in [("web", {"text": "a"}), ("grep", {"b": 2, "a": 1}), ("web", {"text": "refused"})]:
                result = await case.call(name, arguments, raise_on_error=False)
                assert (error_of(result) is None) == (arguments.get("text") != "refused")
            assert case.fake.executed() == ["a", '{"a": 1, "b": 2}']
            assert case.fake.executed("web") == ["a"]

    run(main)
