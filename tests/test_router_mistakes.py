"""Mistakes of the program that calls: they raise, name the value, and reach no server."""

import asyncio

import mcp_types as types
import pytest
from mcp.server import MCPServer

from recloser import Call, CriticalError, Limits, Router, Server, error_of
from recloser.testing.clock import run_virtual
from recloser.testing.faulty import FaultyHttp, FaultyStdio
from support.peers import Peer
from support.routers import full, text

REFERENCE = types.PromptReference(type="ref/prompt", name="brief")


def test_a_router_that_is_not_open_raises_from_everything():
    async def main():
        router = Router(Peer().server())
        spread = [Call.tool("peer__echo")]
        for wish in (
            lambda: router.call_tool("peer__echo"),
            lambda: router.read_resource("a://b"),
            lambda: router.get_prompt("x"),
            lambda: router.complete(types.PromptReference(type="ref/prompt", name="x"), {"name": "a", "value": ""}),
            lambda: router.fan_out(spread),
            lambda: anext(router.stream(spread)),
            router.list_tools,
            router.list_resources,
            router.list_resource_templates,
            router.list_prompts,
            lambda: router.ready("peer"),
            lambda: router.add_server(Peer().server("b")),
            lambda: router.remove_server("peer"),
            lambda: router.reload({"mcpServers": {}}),
        ):
            with pytest.raises(RuntimeError, match="not open"):
                await wish()
        for now_ in (
            router.health,
            lambda: router.listing("peer"),
            lambda: router.disable("peer"),
            lambda: router.enable("peer"),
        ):
            with pytest.raises(RuntimeError, match="not open"):
                now_()
        assert list(router.servers) == ["peer"]
        await router.close()

    run_virtual(main)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"timeout": "5"}, TypeError),
        ({"timeout": True}, TypeError),
        ({"timeout": 0}, ValueError),
        ({"timeout": -1}, ValueError),
        ({"timeout": float("nan")}, ValueError),
        ({"arguments": ["a"]}, TypeError),
        ({"meta": "x"}, TypeError),
        ({"server_name": 5}, TypeError),
        ({"arguments": [("text", "hi")]}, TypeError),
        ({"timeout": 10**400}, ValueError),
        ({"idempotent": "no"}, TypeError),
        ({"idempotent": 1}, TypeError),
        ({"session": [1]}, TypeError),
        ({"session": 5, "timeout": 1}, TypeError),
        ({"caller": 5}, TypeError),
        ({"caller": 5, "timeout": 1}, TypeError),
        ({"progress": 5}, TypeError),
        ({"raise_on_error": "no"}, TypeError),
    ],
)
def test_mistakes_in_a_call_raise_and_are_no_result(options, error):
    async def main():
        peer = Peer()
        async with Router(peer.server()) as router:
            with pytest.raises(error):
                await router.call_tool("peer__echo", **options)
            assert "tools/call" not in peer.methods
            assert text(await router.call_tool("peer__echo", {"text": "hi"})) == "hi"
            with pytest.raises(error):  # also on the short way of a tool that was called before
                await router.call_tool("peer__echo", **options)
            assert peer.methods.count("tools/call") == 1

    run_virtual(main)


@pytest.mark.parametrize(
    "wrong",
    [{"idempotent": "no"}, {"timeout": "5"}, {"session": [1]}, {"caller": 5}, {"progress": 5}, {"timeout": 10**400}],
    ids=["idempotent", "timeout", "session", "caller", "progress", "beyond-any-float"],
)
def test_a_mistake_in_one_of_many_calls_raises_before_any_of_them_is_made(wrong):
    async def main():
        peer = Peer()
        async with Router(peer.server()) as router:
            spread = [Call.tool("peer__echo"), Call.tool("peer__echo").replace(**wrong)]
            for wish in (router.fan_out(spread), anext(router.stream(spread)), router.fan_out(spread, timeout=1)):
                with pytest.raises((TypeError, ValueError), match=next(iter(wrong))):
                    await wish
            assert "tools/call" not in peer.methods

    run_virtual(main)


@pytest.mark.parametrize("options", [{"timeout": 10**400}, {"quorum": "1"}, {"quorum": True}, {"quorum": 0.5}])
def test_mistakes_in_the_options_of_many_calls_raise_and_name_the_value(options):
    async def main():
        peer = Peer()
        async with Router(peer.server()) as router:
            with pytest.raises((TypeError, ValueError), match=f"{next(iter(options))} must be a"):
                await router.fan_out([Call.tool("peer__echo")], **options)
            assert "tools/call" not in peer.methods

    run_virtual(main)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("brief", {"name": "a", "value": ""}), "reference must be"),
        ((REFERENCE, [("name", "a")]), "argument must be a mapping"),
        ((REFERENCE, None), "argument must be a mapping"),
    ],
)
def test_a_completion_of_what_is_of_a_wrong_type_is_a_mistake(arguments, named):
    async def main():
        async with Router(full().server()) as router:
            with pytest.raises(TypeError, match=named):
                await router.complete(*arguments)
            with pytest.raises(TypeError, match="context must be a mapping"):
                await router.complete(REFERENCE, {"name": "a", "value": ""}, context=[("a", "b")])

    run_virtual(main)


def test_a_router_that_is_told_to_raise_with_anything_but_a_yes_or_no_is_not_made():
    with pytest.raises(TypeError, match="raise_on_error must be True or False, got 'no'"):
        Router(Peer().server(), raise_on_error="no")


def test_a_name_that_is_no_string_is_a_mistake():
    async def main():
        async with Router(full().server()) as router:
            for wish in (router.call_tool, router.read_resource, router.get_prompt):
                with pytest.raises(TypeError, match="must be a string"):
                    await wish(5)
            for spread in (router.fan_out([Call.tool("echo")], timeout=-1), anext(router.stream([], timeout="x"))):
                with pytest.raises((TypeError, ValueError)):
                    await spread
            with pytest.raises(TypeError):
                await router.get_prompt("brief", ["x"])
            with pytest.raises(TypeError, match=r"made by Call\.tool"):
                await router.fan_out(["echo"])

    run_virtual(main)


@pytest.mark.parametrize(
    "arguments",
    [{"text": float("nan")}, {"text": object()}, {"text": "\ud800"}, {"\ud800": 1}, {"text": "x" * 5000}],
    ids=["nan", "object", "surrogate", "surrogate-key", "large"],
)
@pytest.mark.parametrize("where", ["in-process", "stdio", "http"])
@pytest.mark.processes
def test_arguments_that_cannot_be_sent_reach_no_server_and_end_no_session(where, arguments):
    async def check(server):
        async with Router(server) as router:
            payload = error_of(await router.call_tool("s__echo", arguments))
            assert (payload.code, payload.delivered, payload.attempts) == ("invalid_request", "no", 0)
            assert (payload.server, payload.tool) == ("s", "echo")
            assert text(await router.call_tool("s__echo", {"text": "hi"})) == "hi"
            assert router.health()["s"].endpoints[0].generation == 1

    async def main():
        limits = Limits(arguments=4096)
        if where == "http":
            async with FaultyHttp() as faulty:
                await check(Server("s", faulty.url, limits=limits))
        elif where == "stdio":
            with FaultyStdio() as faulty:
                await check(Server("s", command=faulty.command, args=faulty.args, limits=limits))
        else:
            local = MCPServer("local", log_level="ERROR")
            local.tool(name="echo")(lambda text: text)
            await check(Server("s", local, limits=limits))

    asyncio.run(main())


def test_a_router_that_is_used_in_another_event_loop_says_so_and_nothing_is_sent():
    async def main():
        peer = full()
        async with Router(peer.server()) as router:
            before = len(peer.methods)

            async def elsewhere():
                for wish in (router.call_tool("peer__echo"), router.fan_out([Call.tool("peer__echo")])):
                    with pytest.raises(RuntimeError, match=r"opened in another event loop.* SyncRouter"):
                        await wish

            await asyncio.to_thread(asyncio.run, elsewhere())
            assert (await asyncio.to_thread(router.listing, "peer")).tools  # what is not awaited may be asked anywhere
            assert len(peer.methods) == before
            assert error_of(await router.call_tool("peer__echo")) is None

    asyncio.run(main())


def test_what_goes_along_must_be_json_too():
    async def main():
        peer = full()
        async with Router(peer.server()) as router:
            before = len(peer.methods)
            assert error_of(await router.call_tool("peer__echo", meta={"a": object()})).code == "invalid_request"
            ref = types.PromptReference(type="ref/prompt", name="brief")
            for wish in (
                router.read_resource("page://\ud800"),
                router.get_prompt("peer__brief", {"a": "\ud800"}),
                router.complete(ref, {"name": "a", "value": "\ud800"}),
            ):
                with pytest.raises(CriticalError) as caught:
                    await wish
                assert caught.value.payload.code == "invalid_request"
            assert len(peer.methods) == before

    run_virtual(main)
