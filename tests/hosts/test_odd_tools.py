"""Tools that a model API would refuse, among others that it would take: one of them must not cost the whole request."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from recloser import Router, SyncRouter
from recloser.hosts import Dispatcher, SyncDispatcher
from support.peers import Peer, said, tool

ALTERNATIVES = {"type": "object", "properties": {"a": {"type": "string"}}, "anyOf": [{"required": ["a"]}]}
NEEDS = {"type": "object", "properties": {"$top": {"type": "integer"}}, "required": ["$top"]}


def peer(*tools: dict[str, Any], **on: Any) -> Peer:
    found = Peer(on=on)
    found.tools = list(tools)
    return found


def test_a_tool_whose_schema_is_mended_gets_the_arguments_as_its_server_expects_them() -> None:
    came: list[Any] = []

    async def take(_line: object, params: dict[str, Any]) -> dict[str, Any]:
        came.append(params["arguments"])
        return said("taken")

    async def main() -> None:
        odd = tool("odd", inputSchema=ALTERNATIVES)
        async with Router(peer(odd, tool("good"), odd=take).server()) as router:
            dispatcher = Dispatcher(router)
            listed = {each["name"]: each["input_schema"] for each in await dispatcher.tools_anthropic()}
            assert listed["peer__good"] == {"type": "object", "properties": {}}
            assert listed["peer__odd"] == {
                "type": "object",
                "properties": {"a": {"type": "string"}},
                "required": ["a"],
            }
            await dispatcher.dispatch("peer__odd", '{"a": "x", "unlisted": 1}')

    asyncio.run(main())
    assert came == [{"a": "x", "unlisted": 1}]


def test_a_tool_that_an_api_refuses_is_told_once_and_can_still_be_called(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with Router(peer(tool("odd", inputSchema=NEEDS), tool("good")).server()) as router:
            dispatcher = Dispatcher(router)
            for _ in range(2):
                assert [each["name"] for each in await dispatcher.tools_anthropic()] == ["peer__good"]
            assert len(await dispatcher.tools_openai()) == len(await dispatcher.tools_openai(api="responses")) == 2
            assert (await dispatcher.dispatch("peer__odd", {"$top": 1})).is_error is not True

    asyncio.run(main())
    told = [record.getMessage() for record in caplog.records if "peer__odd" in record.getMessage()]
    assert told == ["tool peer__odd: left out, it needs an argument whose name Anthropic's API refuses"]


def test_a_server_that_names_refused_tools_without_end_is_told_of_up_to_a_limit(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recloser.hosts.dispatch._TOLD_MAX", 2)
    odd = peer(*(tool(f"odd{n}", inputSchema=NEEDS) for n in range(5)))
    with SyncRouter(odd.server()) as router:
        assert SyncDispatcher(router).tools_anthropic() == []
    assert caplog.text.count("left out") == 2
