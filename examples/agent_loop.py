"""An agent loop: a host, a model, and the tools of many MCP servers in one toolbox.

    python examples/agent_loop.py                               # four demo servers, three questions
    python examples/agent_loop.py my-mcp.json "What is new?"    # your servers, your questions

Set OPENAI_API_KEY, OPENAI_BASE_URL and OPENAI_MODEL for any endpoint of OpenAI's form (pip install openai), or
ANTHROPIC_API_KEY, ANTHROPIC_BASE_URL and ANTHROPIC_MODEL (pip install anthropic). Without a key a scripted model
answers, which needs neither a network nor a package.
"""

import asyncio
import json
import os
import sys
import textwrap
from asyncio.subprocess import DEVNULL, PIPE
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from recloser import Router
from recloser.hosts import Dispatcher

HERE = Path(__file__).parent
ROUNDS = 8  # A model that still wants tools after so many rounds is going in circles.

# The loop, for each API. The calls of a turn run at once, and whatever goes wrong with one of them is its result.


async def openai_loop(complete, toolbox: Dispatcher, question: str) -> str:
    messages = [{"role": "user", "content": question}]
    for _ in range(ROUNDS):
        message = await complete(messages, await toolbox.tools_openai())
        messages.append(message)
        if not message.get("tool_calls"):
            return message.get("content") or message.get("refusal") or ""
        results = await toolbox.openai(message["tool_calls"])
        for call, result in zip(message["tool_calls"], results, strict=True):
            show(call["function"]["name"], call["function"]["arguments"], result["content"])
        messages += results
    return "(too many rounds)"


async def anthropic_loop(create, toolbox: Dispatcher, question: str) -> str:
    messages = [{"role": "user", "content": question}]
    for _ in range(ROUNDS):
        answer = await create(messages, await toolbox.tools_anthropic())
        messages.append({"role": "assistant", "content": answer.content})
        results = await toolbox.anthropic(answer.content)
        if results is None:
            return "".join(block.text for block in answer.content if block.type == "text")
        calls = (block for block in answer.content if block.type == "tool_use")
        for call, result in zip(calls, results["content"], strict=True):
            show(call.name, json.dumps(call.input), " ".join(part.get("text", "[image]") for part in result["content"]))
        messages.append(results)
    return "(too many rounds)"


def show(name: str, arguments: str, result: str) -> None:
    print(f"  {name} {arguments}\n    -> {textwrap.shorten(result, 100, placeholder=' …')}")


async def choose_model(stack: AsyncExitStack, toolbox: Dispatcher):
    """Return a real model's name and loop if the environment has a key, else those of one that plays a script."""
    if os.environ.get("OPENAI_API_KEY"):
        from openai import AsyncOpenAI

        client, model = await stack.enter_async_context(AsyncOpenAI()), os.environ.get("OPENAI_MODEL", "gpt-5-mini")

        async def complete(messages, tools):
            completion = await client.chat.completions.create(model=model, messages=messages, tools=tools)
            return completion.choices[0].message.model_dump(exclude_none=True)

        return model, lambda question: openai_loop(complete, toolbox, question)
    if os.environ.get("ANTHROPIC_API_KEY"):
        from anthropic import AsyncAnthropic

        client = await stack.enter_async_context(AsyncAnthropic())
        model = os.environ.get("ANTHROPIC_MODEL", "claude-haiku-4-5")

        async def create(messages, tools):
            return await client.messages.create(model=model, messages=messages, tools=tools, max_tokens=4096)

        return model, lambda question: anthropic_loop(create, toolbox, question)
    return "a scripted model", lambda question: openai_loop(scripted, toolbox, question)


SCRIPT = {  # For each question: the calls of each round, and what the model makes of their results.
    "How many hours do 5 days have?": ([[("math__multiply", {"a": 5, "b": 24})]], "5 days have {0} hours.".format),
    "What is on today, what is new, and how is the weather in Berlin?": (
        [
            [("notes__list_notes", {}), ("search__search", {"query": "news", "limit": 1})],
            [("weather__get_weather", {"city": "Berlin"})],
        ],
        lambda *told: f"Your meetings are in your notes; the release is out. {json.loads(told[2])['summary']}.",
    ),
    "And the weather in London? What is a circuit breaker?": (
        [[("weather__get_weather", {"city": "London"}), ("search__search", {"query": "circuit breaker", "limit": 1})]],
        lambda *told: f"No weather ({told[0]}) But I do know this: {json.loads(told[1])['hits'][0]['text']}",
    ),
}


async def scripted(messages, tools):
    rounds, conclude = SCRIPT.get(messages[0]["content"], ([], "That is not in my script.".format))
    turn = sum(message["role"] == "assistant" for message in messages)
    if turn == len(rounds):
        return {"role": "assistant", "content": conclude(*(m["content"] for m in messages if m["role"] == "tool"))}
    calls = [{"name": name, "arguments": json.dumps(arguments)} for name, arguments in rounds[turn]]
    calls = [{"id": f"{turn}.{n}", "type": "function", "function": call} for n, call in enumerate(calls)]
    return {"role": "assistant", "tool_calls": calls}


@asynccontextmanager
async def service(name: str, transport: str):
    """Another team's service, as far as the agent is concerned: a demo server in a process of its own, at a URL."""
    program = [sys.executable, HERE / "servers" / f"{name}_server.py", "--transport", transport, "--until-stdin-closes"]
    process = await asyncio.create_subprocess_exec(*program, stdin=PIPE, stdout=PIPE, stderr=DEVNULL)
    try:
        yield process, (await process.stdout.readline()).decode().strip()
    finally:
        process.stdin.close()  # which ends it
        await process.wait()


async def main(config=None, *questions: str) -> None:
    weather = None
    async with AsyncExitStack() as stack:
        if config is None:
            config = json.loads((HERE / "mcp.json").read_text())
            servers = config["mcpServers"]  # two commands, run by this same Python, and two URLs
            servers["math"]["command"] = servers["notes"]["command"] = sys.executable
            weather, servers["weather"]["url"] = await stack.enter_async_context(service("weather", "http"))
            _, servers["search"]["url"] = await stack.enter_async_context(service("search", "sse"))
        router = await stack.enter_async_context(Router.from_config(config))
        await asyncio.gather(*map(router.ready, router.servers), return_exceptions=True)  # slow ones are waited for
        toolbox = Dispatcher(router)
        model, answer = await choose_model(stack, toolbox)
        print(f"{len(await router.list_tools())} tools of {len(router.servers)} servers, and {model}.")
        for question in questions or SCRIPT:
            if weather is not None and "London" in question:
                weather.kill()
                await weather.wait()
                print("\n(The weather service has just crashed. Nobody has told the agent.)")
            print(f"\n> {question}")
            print(await answer(question))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
