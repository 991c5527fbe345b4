"""The dispatchers under the real client packages, at an endpoint that checks what it is sent as the real ones do."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from anthropic import Anthropic, AsyncAnthropic
from dispatch_kit import PNG, local, math, nobody
from openai import AsyncOpenAI, OpenAI

from recloser import Router, Server, SyncRouter
from recloser.hosts import Dispatcher, SyncDispatcher
from support.peers import Peer, tool
from support.scripted_model import ScriptedModel, Step

pytestmark = pytest.mark.processes

QUESTION = [{"role": "user", "content": "How many hours do 5 days have, and what time is it?"}]

ROUNDS: tuple[Step, ...] = (
    [("math__multiply", {"a": 5, "b": 24}), ("down__get", {}), ("local__now", {})],
    [("math__add", {"a": "x"}), ("local__nothing", {}), ("local__now", {})],
)
BROKEN: Step = [("math__multiply", '{"a": 5, "b": 24'), ("math__multiply", '{"a": 5, "b": 24}'), ("local__now", "")]
LAST: Step = "120 hours, at noon."


class AsyncHost:
    """A host with an event loop: each method is an agent loop as a user would write it."""

    def __init__(self, servers: tuple[Server, ...]) -> None:
        self.servers = servers

    def chat(self, model: ScriptedModel) -> str | None:
        return asyncio.run(self._chat(model))

    async def _chat(self, model: ScriptedModel) -> str | None:
        messages: list[Any] = list(QUESTION)
        async with (
            Router(*self.servers) as router,
            AsyncOpenAI(base_url=f"{model.origin}/v1", api_key="none", max_retries=0) as client,
        ):
            dispatcher = Dispatcher(router)
            tools: Any = await dispatcher.tools_openai()
            while True:
                answer = await client.chat.completions.create(model="scripted", messages=messages, tools=tools)
                message = answer.choices[0].message
                messages.append(message)
                results = await dispatcher.openai(message.tool_calls)
                if not results:
                    return message.content
                messages += results

    def responses(self, model: ScriptedModel) -> str | None:
        return asyncio.run(self._responses(model))

    async def _responses(self, model: ScriptedModel) -> str | None:
        items: list[Any] = list(QUESTION)
        async with (
            Router(*self.servers) as router,
            AsyncOpenAI(base_url=f"{model.origin}/v1", api_key="none", max_retries=0) as client,
        ):
            dispatcher = Dispatcher(router)
            tools: Any = await dispatcher.tools_openai(api="responses")
            while True:
                response = await client.responses.create(model="scripted", input=items, tools=tools)
                items += response.output
                results = await dispatcher.openai(response.output)
                if not results:
                    return response.output_text
                items += results

    def messages(self, model: ScriptedModel) -> str | None:
        return asyncio.run(self._messages(model))

    async def _messages(self, model: ScriptedModel) -> str | None:
        messages: list[Any] = list(QUESTION)
        async with (
            Router(*self.servers) as router,
            AsyncAnthropic(base_url=model.origin, api_key="none", max_retries=0) as client,
        ):
            dispatcher = Dispatcher(router)
            tools: Any = await dispatcher.tools_anthropic()
            while True:
                answer = await client.messages.create(model="scripted", messages=messages, tools=tools, max_tokens=100)
                messages.append({"role": "assistant", "content": answer.content})
                results = await dispatcher.anthropic(answer.content)
                if results is None:
                    return answer.content[0].text  # type: ignore[union-attr] # the script's last answer is text
                messages.append(results)


class SyncHost:
    """A host without an event loop."""

    def __init__(self, servers: tuple[Server, ...]) -> None:
        self.servers = servers

    def chat(self, model: ScriptedModel) -> str | None:
        messages: list[Any] = list(QUESTION)
        with (
            SyncRouter(*self.servers) as router,
            OpenAI(base_url=f"{model.origin}/v1", api_key="none", max_retries=0) as client,
        ):
            dispatcher = SyncDispatcher(router)
            tools: Any = dispatcher.tools_openai()
            while True:
                answer = client.chat.completions.create(model="scripted", messages=messages, tools=tools)
                message = answer.choices[0].message
                messages.append(message)
                results = dispatcher.openai(message.tool_calls)
                if not results:
                    return message.content
                messages += results

    def responses(self, model: ScriptedModel) -> str | None:
        items: list[Any] = list(QUESTION)
        with (
            SyncRouter(*self.servers) as router,
            OpenAI(base_url=f"{model.origin}/v1", api_key="none", max_retries=0) as client,
        ):
            dispatcher = SyncDispatcher(router)
            tools: Any = dispatcher.tools_openai(api="responses")
            while True:
                response = client.responses.create(model="scripted", input=items, tools=tools)
                items += response.output
                results = dispatcher.openai(response.output)
                if not results:
                    return response.output_text
                items += results

    def messages(self, model: ScriptedModel) -> str | None:
        messages: list[Any] = list(QUESTION)
        with (
            SyncRouter(*self.servers) as router,
            Anthropic(base_url=model.origin, api_key="none", max_retries=0) as client,
        ):
            dispatcher = SyncDispatcher(router)
            tools: Any = dispatcher.tools_anthropic()
            while True:
                answer = client.messages.create(model="scripted", messages=messages, tools=tools, max_tokens=100)
                messages.append({"role": "assistant", "content": answer.content})
                results = dispatcher.anthropic(answer.content)
                if results is None:
                    return answer.content[0].text  # type: ignore[union-attr] # the script's last answer is text
                messages.append(results)


@pytest.fixture
def servers() -> Iterator[tuple[Server, ...]]:
    with nobody() as down:
        yield local(), math(), down


@pytest.fixture(params=[AsyncHost, SyncHost])
def host(request: pytest.FixtureRequest, servers: tuple[Server, ...], monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return request.param(servers)


def check_rounds(model: ScriptedModel) -> None:
    assert model.left == 0
    assert {"math__multiply", "math__sum_of_primes", "local__now"} <= set(model.tools)
    first, down, time, refused, unknown, again = model.told[:6]
    assert (first, time, again) == ("120", "noon", "noon")
    assert down.startswith("Error: ")
    assert "'down' cannot be reached" in down
    assert refused.startswith("Error: ")
    assert "There is no tool 'local__nothing'" in unknown


@pytest.mark.parametrize("api", ["chat", "responses"])
def test_a_model_at_openais_apis_uses_the_tools_of_all_servers_and_is_told_what_went_wrong(host: Any, api: str) -> None:
    with ScriptedModel(*ROUNDS, BROKEN, LAST) as model:
        assert getattr(host, api)(model) == LAST
        check_rounds(model)
        broken, right, time = model.told[6:]
    assert "not valid JSON" in broken
    assert (right, time) == ("120", "noon")


def test_a_model_at_anthropics_api_uses_the_tools_of_all_servers_and_is_told_what_went_wrong(host: Any) -> None:
    with ScriptedModel(*ROUNDS, LAST) as model:
        assert host.messages(model) == LAST
        check_rounds(model)


ODD: tuple[dict[str, Any], ...] = (
    tool("either", inputSchema={"type": "object", "anyOf": [{"required": ["a"]}, {"required": ["b"]}]}),
    tool("key", inputSchema={"type": "object", "properties": {"$top": {}}, "required": ["$top"]}),
    tool("range", inputSchema={"type": "object", "properties": {"n": {"minimum": 0, "exclusiveMinimum": True}}}),
    tool("long", description="half \ud83d" + "d" * 2000),
)


def odd() -> Server:
    """A server whose tools and results both APIs would refuse as they come."""

    def saying(**result: Any) -> Any:
        async def say(_line: object, _params: object) -> dict[str, Any]:
            return {"content": [{"type": "image", "data": "", "mimeType": "image/png"}], **result}

        return say

    picture = [{"type": "image", "data": PNG, "mimeType": "image/jpeg"}]
    peer = Peer(on={"either": saying(), "range": saying(isError=True, content=picture), "long": saying()})
    peer.tools = list(ODD)
    return peer.server("odd")


@pytest.mark.parametrize("api", ["chat", "responses", "messages"])
@pytest.mark.parametrize("kind", [AsyncHost, SyncHost])
def test_a_server_of_odd_tools_and_results_stops_no_conversation(
    kind: Any, api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    calls: Step = [("odd__either", {"a": 1}), ("odd__range", {}), ("odd__long", {}), ("local__now", {})]
    with ScriptedModel(calls, LAST) as model:
        assert getattr(kind((odd(), local())), api)(model) == LAST
        assert {"odd__either", "odd__range", "odd__long", "local__now"} <= set(model.tools)
        assert ("odd__key" in model.tools) == (api != "messages")
        assert model.left == 0


def test_the_endpoint_of_these_tests_refuses_what_the_real_ones_refuse() -> None:
    with ScriptedModel([("x", {})], "never") as model:
        client = OpenAI(base_url=f"{model.origin}/v1", api_key="none", max_retries=0)
        messages: list[Any] = list(QUESTION)
        with client:
            answer = client.chat.completions.create(model="scripted", messages=messages)
            messages.append(answer.choices[0].message)
            with pytest.raises(Exception, match="must be followed by one result each"):
                client.chat.completions.create(model="scripted", messages=messages)
            with pytest.raises(Exception, match="is not valid"):
                client.chat.completions.create(
                    model="scripted",
                    messages=messages[:1],
                    tools=[{"type": "function", "function": {"name": "a.b", "parameters": {"type": "object"}}}],
                )
        assert model.left == 1
