"""The loops on the page about hosts, run with the real client packages against an endpoint that plays a script."""

from __future__ import annotations

import ast
import asyncio
import inspect
from typing import Any

import pytest
from anthropic import AsyncAnthropic
from openai import AsyncOpenAI, OpenAI
from pages import ROOT, blocks

from support.scripted_model import Refusal, ScriptedModel

PAGE = ROOT / "docs" / "hosts.md"

STEPS = ([("math__multiply", {"a": 5, "b": 24}), ("math__divide", {"a": 1, "b": 0})], "120 hours.")


async def names_of_the_page() -> dict[str, Any]:
    """Run the page up to its last definition, with its router open."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks(PAGE):
        if block.mark == "run" and "router.close()" not in block.text:
            code = compile(block.text, str(block), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
            waiting = eval(code, names)
            if inspect.iscoroutine(waiting):
                await waiting
    return names


def client_for(loop: str, model: ScriptedModel) -> Any:
    if loop == "ask_anthropic":
        return AsyncAnthropic(base_url=model.origin, api_key="none", max_retries=0)
    kind = OpenAI if loop == "ask_in_sync" else AsyncOpenAI
    return kind(base_url=f"{model.origin}/v1", api_key="none", max_retries=0)


async def ask(loop: str, model: ScriptedModel) -> Any:
    names = await names_of_the_page()
    client = client_for(loop, model)
    if loop == "ask_in_sync":
        with client:
            answer = await asyncio.to_thread(names[loop], client, "scripted", "How many hours?")
    else:
        async with client:
            answer = await names[loop](client, "scripted", "How many hours?")
    await names["router"].close()
    return answer


@pytest.mark.parametrize("loop", ["ask_openai", "ask_responses", "ask_anthropic", "ask_in_sync"])
def test_the_loops_of_the_page_bring_a_model_to_its_answer(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ScriptedModel(*STEPS) as model:
        assert asyncio.run(ask(loop, model)) == "120 hours."
        assert model.left == 0
        right, unknown = model.told
    assert right == "120.0"
    assert "There is no tool 'math__divide'" in unknown


@pytest.mark.parametrize("loop", ["ask_openai", "ask_in_sync"])
def test_the_loops_of_the_page_return_a_refusal_as_the_answer(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ScriptedModel(Refusal("I cannot help with that.")) as model:
        assert asyncio.run(ask(loop, model)) == "I cannot help with that."
