"""The fake server: a test drives it by hand, through the router and through the SDK's own client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Self

import anyio
import mcp_types as types
import pytest
from mcp.client import Client
from mcp.shared.message import SessionMessage

from recloser import AuthError, CriticalError, Router, RouterError, Timeouts, TransientError, error_of
from recloser.classify import classify
from recloser.errors import CODES
from recloser.testing.clock import run_virtual
from recloser.testing.fake import BY_HAND, FakeServer, Request
from recloser.testing.fake.answers import CAUSES
from recloser.testing.faulty.work import RpcError
from recloser.testing.leaks import no_leaks

ERAS = ["legacy", "modern"]
each_era = pytest.mark.parametrize("era", ERAS)


def run(main: Callable[[], Any]) -> Any:
    async def whole() -> Any:
        async with no_leaks():
            return await main()

    return run_virtual(whole)


def now() -> float:
    return asyncio.get_running_loop().time()


class Case:
    """A fake server with a router before it."""

    def __init__(self, *tools: Any, options: dict[str, Any] | None = None, **facts: Any) -> None:
        self.fake = FakeServer(*tools, **facts)
        self.router = Router(self.fake.server("search", **(options or {})))
        self.tasks: list[asyncio.Task[Any]] = []

    async def __aenter__(self) -> Self:
        await self.fake.__aenter__()
        await self.router.__aenter__()
        return self

    async def __aexit__(self, kind: object, error: object, trace: object) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.router.__aexit__(kind, error, trace)
        await self.fake.__aexit__(kind, error, trace)

    def call(self, name: str = "web", arguments: Any = None, **options: Any) -> asyncio.Task[Any]:
        options.setdefault("raise_on_error", True)
        task = asyncio.create_task(self.router.call_tool(f"search__{name}", arguments, **options))
        self.tasks.append(task)
        return task


# --- what a test can do with a request


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


# --- what is expected and what is not


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


# --- connections


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
