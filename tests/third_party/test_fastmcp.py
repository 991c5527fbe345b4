"""The router before a server written with fastmcp, over stdio and streamable HTTP, in both protocol eras."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import mcp_types as types
import pytest
from mcp.client import ClientRequestContext
from peers import NAME, Local, Peer, Remote, text

from recloser import Router, error_of

pytestmark = [pytest.mark.thorough, pytest.mark.processes]

if importlib.util.find_spec("fastmcp") is None:
    pytest.skip("fastmcp is not installed: `make setup` installs it", allow_module_level=True)

Test = Callable[[Peer, Router], Awaitable[None]]

SCRIPT = str(Path(__file__).with_name("fastmcp_server.py"))


def fastmcp(transport: str, era: str) -> Peer:
    if transport == "stdio":
        return Local([sys.executable, SCRIPT], era=era)
    return Remote([sys.executable, SCRIPT, "{port}"], "/mcp", running=b"Uvicorn running on", era=era)


@pytest.fixture(params=["stdio-auto", "stdio-legacy", "http-auto", "http-legacy"])
def peer(request: pytest.FixtureRequest) -> Peer:
    transport, era = request.param.split("-")
    return fastmcp(transport, era)


def run(peer: Peer, test: Test, **options: Any) -> None:
    async def main() -> None:
        async with peer, Router(peer.server, **options) as router:
            await router.ready(NAME)
            await test(peer, router)

    asyncio.run(main())


def test_all_that_it_offers_is_listed_and_works_and_its_own_errors_are_passed_on(peer: Peer) -> None:
    heard: list[tuple[float, float | None, str | None]] = []

    async def hear(done: float, total: float | None, message: str | None) -> None:
        heard.append((done, total, message))

    async def test(peer: Peer, router: Router) -> None:
        version = "2025-11-25" if peer.server.era == "legacy" else "2026-07-28"
        assert router.health()[NAME].protocol_version == version
        tools = {tool.name for tool in await router.list_tools()}
        assert tools == {f"third__{name}" for name in ("add", "count", "hang", "ask", "fail")}
        assert [tool.name for tool in await router.list_tools(tags={"sums"})] == ["third__add"]

        added = await router.call_tool("third__add", {"a": 2, "b": 3})
        assert (text(added), added.structured_content) == ("5", {"result": 5})
        assert text(await router.call_tool("third__count", {"upto": 3}, progress=hear)) == "done"
        assert heard == [(1, 3, "step 1"), (2, 3, "step 2"), (3, 3, "step 3")]

        for uri, said in (("data://motto", "recloses by itself"), ("data://Ada/greeting", "Hello, Ada")):
            (contents,) = (await router.read_resource(uri)).contents
            assert isinstance(contents, types.TextResourceContents)
            assert contents.text == said
        prompt = await router.get_prompt("third__review", {"code": "x = 1"})
        assert isinstance(prompt.messages[0].content, types.TextContent)
        assert prompt.messages[0].content.text == "Review this: x = 1"

        mistakes = (("third__add", {"a": "x", "b": 1}, "valid integer"), ("third__fail", {}, "no luck"))
        for name, arguments, said in mistakes:
            result = await router.call_tool(name, arguments)
            assert result.is_error
            assert error_of(result) is None
            assert said in text(result)
        assert router.health()[NAME].endpoints[0].circuit.failures == 0

    run(peer, test)


@pytest.mark.parametrize("transport", ["stdio", "http"])
def test_it_may_ask_the_user_while_a_call_runs(transport: str) -> None:
    async def elicitation(context: ClientRequestContext, params: types.ElicitRequestParams) -> types.ElicitResult:
        return types.ElicitResult(action="accept", content={"value": "Ada"})

    async def test(peer: Peer, router: Router) -> None:
        assert text(await router.call_tool("third__ask")) == "accept: Ada"

    run(fastmcp(transport, "legacy"), test, elicitation=elicitation)


def test_killed_in_the_middle_of_a_call_and_then_while_idle_it_runs_nothing_twice_and_is_back_each_time(
    peer: Peer, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"

    async def test(peer: Peer, router: Router) -> None:
        begun = asyncio.Event()

        async def hear(done: float, total: float | None, message: str | None) -> None:
            begun.set()

        call = asyncio.ensure_future(router.call_tool("third__hang", {"file": str(ran)}, progress=hear))
        await begun.wait()
        await peer.kill(router)
        payload = error_of(await call)
        assert payload is not None
        assert (payload.type, payload.code, payload.server) == ("transient", "connection_lost", NAME)
        assert (payload.delivered, payload.attempts) == ("maybe", 1)
        await peer.revive()
        assert text(await router.call_tool("third__add", {"a": 1, "b": 1})) == "2"

        await peer.kill(router)
        await peer.revive()
        assert text(await router.call_tool("third__add", {"a": 2, "b": 2}, idempotent=True)) == "4"

    run(peer, test)
    assert ran.read_text() == "ran\n"


@pytest.mark.parametrize(("transport", "era"), [("stdio", "auto"), ("http", "legacy")])
def test_a_call_that_hangs_ends_at_its_deadline_and_holds_up_no_other(transport: str, era: str, tmp_path: Path) -> None:
    async def test(peer: Peer, router: Router) -> None:
        hung = router.call_tool("third__hang", {"file": str(tmp_path / "ran")}, timeout=1)
        added = router.call_tool("third__add", {"a": 1, "b": 2})
        late, right = await asyncio.gather(hung, added)
        payload = error_of(late)
        assert payload is not None
        assert payload.code == "timeout"
        assert text(right) == "3"

    run(fastmcp(transport, era), test)
