"""The router before `@modelcontextprotocol/server-everything`, over each transport that it speaks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import mcp_types as types
import pytest
from mcp.client import ClientRequestContext
from peers import NAME, Changes, Local, Peer, Remote, npm_server, text

from recloser import Router, error_of

pytestmark = [pytest.mark.thorough, pytest.mark.npm, pytest.mark.processes]

Test = Callable[[Peer, Router], Awaitable[None]]


def everything(transport: str) -> Peer:
    command = npm_server("@modelcontextprotocol/server-everything")
    if transport == "stdio":
        return Local([*command, "stdio"])
    mode, path = {"http": ("streamableHttp", "/mcp"), "sse": ("sse", "/sse")}[transport]
    return Remote([*command, mode], path, running=b" port ", environment={"PORT": "{port}"})


@pytest.fixture(params=["stdio", "http", "sse"])
def peer(request: pytest.FixtureRequest) -> Peer:
    return everything(request.param)


def run(peer: Peer, test: Test, **options: Any) -> None:
    async def main() -> None:
        async with peer, Router(peer.server, **options) as router:
            await router.ready(NAME)
            await test(peer, router)

    asyncio.run(main())


def test_all_that_it_offers_is_listed_and_works(peer: Peer) -> None:
    async def test(peer: Peer, router: Router) -> None:
        assert router.health()[NAME].protocol_version == "2025-11-25"
        assert {"third__echo", "third__get-sum", "third__get-tiny-image"} <= {t.name for t in await router.list_tools()}
        assert text(await router.call_tool("third__echo", {"message": "hello"})) == "Echo: hello"
        assert "is 5." in text(await router.call_tool("third__get-sum", {"a": 2, "b": 3}))
        weather = await router.call_tool("third__get-structured-content", {"location": "New York"})
        assert weather.structured_content is not None
        assert set(weather.structured_content) == {"temperature", "conditions", "humidity"}
        image = await router.call_tool("third__get-tiny-image")
        assert [block.type for block in image.content] == ["text", "image", "text"]

        assert "demo://resource/static/document/features.md" in {r.uri for r in await router.list_resources()}
        for uri in ("demo://resource/static/document/features.md", "demo://resource/dynamic/text/7"):
            (contents,) = (await router.read_resource(uri)).contents
            assert isinstance(contents, types.TextResourceContents)
            assert contents.text
        assert len(await router.list_resource_templates()) == 2

        assert "third__args-prompt" in {prompt.name for prompt in await router.list_prompts()}
        prompt = await router.get_prompt("third__args-prompt", {"city": "Berlin"})
        assert isinstance(prompt.messages[0].content, types.TextContent)
        assert "Berlin" in prompt.messages[0].content.text
        reference = types.PromptReference(type="ref/prompt", name="third__completable-prompt")
        completed = await router.complete(reference, {"name": "department", "value": "E"})
        assert completed.completion.values == ["Engineering"]

    run(peer, test)


def test_what_it_refuses_itself_is_its_own_answer(peer: Peer) -> None:
    async def test(peer: Peer, router: Router) -> None:
        result = await router.call_tool("third__get-sum", {"a": 2, "b": "three"})
        assert result.is_error
        assert error_of(result) is None
        assert "-32602" in text(result)
        assert router.health()[NAME].endpoints[0].circuit.failures == 0

    run(peer, test)


def test_progress_is_heard_before_the_result(peer: Peer) -> None:
    async def test(peer: Peer, router: Router) -> None:
        heard: list[tuple[float, float | None]] = []

        async def hear(done: float, total: float | None, message: str | None) -> None:
            heard.append((done, total))

        arguments = {"duration": 0.2, "steps": 4}
        result = await router.call_tool("third__trigger-long-running-operation", arguments, progress=hear)
        assert "completed" in text(result)
        assert heard == [(1, 4), (2, 4), (3, 4), (4, 4)]

    run(peer, test)


def test_it_may_ask_for_a_models_words_a_users_answer_and_the_roots(peer: Peer) -> None:
    changes = Changes()
    logged: asyncio.Queue[str] = asyncio.Queue()

    async def sampling(
        context: ClientRequestContext, params: types.CreateMessageRequestParams
    ) -> types.CreateMessageResult:
        said = types.TextContent(text="forty-two")
        return types.CreateMessageResult(role="assistant", content=said, model="scripted")

    async def elicitation(context: ClientRequestContext, params: types.ElicitRequestParams) -> types.ElicitResult:
        return types.ElicitResult(action="accept", content={"name": "Ada"})

    async def roots(context: ClientRequestContext) -> types.ListRootsResult:
        return types.ListRootsResult(roots=[types.Root(uri="file:///tmp/of-ours", name="ours")])

    async def on_log(server: str, params: types.LoggingMessageNotificationParams) -> None:
        logged.put_nowait(f"{server}: {params.data}")

    async def test(peer: Peer, router: Router) -> None:
        # It offers these tools only to a client that can answer, and only after it was told that the client is ready.
        await changes.tool(router, "third__trigger-sampling-request")
        sampled = await router.call_tool("third__trigger-sampling-request", {"prompt": "meaning of life?"})
        assert "forty-two" in text(sampled)
        asked = await router.call_tool("third__trigger-elicitation-request")
        assert "Name: Ada" in text(asked)
        told = await router.call_tool("third__get-roots-list")
        assert "file:///tmp/of-ours" in text(told)
        # Over streamable HTTP this comes by a stream of its own, and may come after the results.
        assert await logged.get() == "third: Roots updated: 1 root(s) received from client"

    options = {"sampling": sampling, "elicitation": elicitation, "roots": roots, "on_log": on_log}
    run(peer, test, listeners=[changes], **options)


def test_what_nobody_can_answer_is_not_offered_to_it(peer: Peer) -> None:
    async def test(peer: Peer, router: Router) -> None:
        payload = error_of(await router.call_tool("third__trigger-sampling-request", {"prompt": "anyone?"}))
        assert payload is not None
        assert payload.code == "unknown_tool"

    run(peer, test)


def test_killed_in_the_middle_of_a_call_it_fails_that_call_and_serves_the_next(peer: Peer) -> None:
    async def test(peer: Peer, router: Router) -> None:
        begun = asyncio.Event()

        async def hear(done: float, total: float | None, message: str | None) -> None:
            begun.set()

        arguments = {"duration": 60, "steps": 600}
        call = asyncio.ensure_future(
            router.call_tool("third__trigger-long-running-operation", arguments, progress=hear)
        )
        await begun.wait()
        await peer.kill(router)
        payload = error_of(await call)
        assert payload is not None
        assert (payload.type, payload.code, payload.server) == ("transient", "connection_lost", NAME)
        assert (payload.delivered, payload.attempts) == ("maybe", 1)
        await peer.revive()
        assert text(await router.call_tool("third__echo", {"message": "again"})) == "Echo: again"

    run(peer, test)


def test_killed_while_idle_it_is_back_for_the_next_call(peer: Peer) -> None:
    async def test(peer: Peer, router: Router) -> None:
        assert text(await router.call_tool("third__echo", {"message": "one"})) == "Echo: one"
        await peer.kill(router)
        await peer.revive()
        assert text(await router.call_tool("third__echo", {"message": "two"}, idempotent=True)) == "Echo: two"

    run(peer, test)


@pytest.mark.parametrize("transport", ["http", "sse"])
def test_while_it_is_down_its_tools_stay_listed_and_say_that_it_is(transport: str) -> None:
    async def test(peer: Peer, router: Router) -> None:
        before = [tool.name for tool in await router.list_tools()]
        await peer.kill(router)
        payload = error_of(await router.call_tool("third__echo", {"message": "anyone?"}))
        assert payload is not None
        assert (payload.code, payload.delivered, payload.retryable) == ("unreachable", "no", True)
        assert [tool.name for tool in await router.list_tools()] == before
        await peer.revive()
        assert text(await router.call_tool("third__echo", {"message": "back"})) == "Echo: back"

    run(everything(transport), test)
