"""The router's servers: start, end, and what they offer."""

import asyncio
import json

import pytest

from recloser import Router, RouterError, error_of
from recloser.testing.clock import run_virtual
from recloser.testing.leaks import no_leaks
from support.fleets import hanging, opened, silent
from support.peers import ALL, Peer, tool
from support.routers import names, now, text


def down():
    peer = Peer()
    peer.down = ConnectionRefusedError("nobody listens")
    return peer


# --- start and end


def test_a_router_may_be_opened_again_after_it_was_closed():
    async def main():
        router = Router(Peer().server())
        async with no_leaks():
            for _ in range(2):
                async with router:
                    assert text(await router.call_tool("peer__echo")) == "echo"
                    with pytest.raises(RuntimeError, match="open already"):
                        await router.open()
                await router.close()

    run_virtual(main)


def test_a_router_that_is_not_open_says_so_everywhere():
    async def main():
        router = Router(Peer().server())
        for calling in (
            lambda: router.call_tool("peer__echo"),
            router.list_tools,
            router.list_prompts,
            lambda: router.read_resource("x:"),
            lambda: router.fan_out([]),
            lambda: anext(router.stream([])),
            lambda: router.ready("peer"),
            lambda: router.remove_server("peer"),
            lambda: router.reload({"mcpServers": {}}),
        ):
            with pytest.raises(RuntimeError, match="not open"):
                await calling()
        for asking in (router.health, lambda: router.disable("peer"), lambda: router.listing("peer")):
            with pytest.raises(RuntimeError, match="not open"):
                asking()

    run_virtual(main)


def test_start_waits_for_no_server_longer_than_two_seconds():
    async def main():
        async with opened(Peer().server("well"), hanging().server("slow"), down().server("down")) as router:
            assert now() == 2
            health = router.health()
            assert [health[name].state for name in ("well", "slow", "down")] == ["ready", "connecting", "failed"]
            assert text(await router.call_tool("well__echo")) == "echo"
            assert error_of(await router.call_tool("down__echo", timeout=1)).code == "unreachable"
            assert now() < 3.1

    run_virtual(main)


def test_start_waits_for_nobody_when_all_are_ready():
    async def main():
        async with opened(Peer().server("one"), Peer().server("two"), Peer().server("lazy", lazy=True)):
            assert now() == 0

    run_virtual(main)


def test_a_required_server_that_is_down_fails_the_start_and_everything_is_closed():
    well = Peer()

    async def main():
        router = Router(well.server("well"), hanging().server("slow"), down().server("down", required=True))
        async with no_leaks():
            with pytest.raises(RouterError) as caught:
                await router.open()
        assert (caught.value.payload.code, caught.value.payload.server) == ("unreachable", "down")
        with pytest.raises(RuntimeError, match="not open"):
            await router.call_tool("well__echo")

    run_virtual(main)


def test_a_required_server_may_take_its_whole_time_to_start():
    async def listed(line, params):
        await asyncio.sleep(10)
        return {"tools": []}

    peer = Peer(on={"tools/list": listed})

    async def main():
        async with opened(peer.server(required=True)) as router:
            assert now() == 10
            assert router.health()["peer"].required

    run_virtual(main)


def test_a_start_that_is_cancelled_leaves_nothing_behind():
    async def main():
        async with no_leaks():
            opening = asyncio.ensure_future(Router(hanging().server()).open())
            await asyncio.sleep(1)
            opening.cancel()
            with pytest.raises(asyncio.CancelledError):
                await opening

    run_virtual(main)


def test_closing_ends_calls_in_flight_with_an_error_that_says_so():
    async def main():
        async with no_leaks():
            router = Router(Peer(on={"hang": silent}).server())
            await router.open()
            calling = asyncio.ensure_future(router.call_tool("peer__hang"))
            await asyncio.sleep(0.1)
            await router.close()
            assert error_of(await calling).code == "connection_lost"

    run_virtual(main)


def test_ready_waits_until_the_server_may_be_used_and_starts_a_lazy_one():
    peer = down()

    async def main():
        async with opened(Peer().server("lazy", lazy=True), peer.server()) as router:
            assert router.health()["lazy"].state == "idle"
            await router.ready("lazy")
            assert router.health()["lazy"].state == "ready"
            with pytest.raises(RouterError):
                await router.ready("peer")
            peer.down = None
            await router.ready("peer")
            with pytest.raises(RouterError) as caught:
                await router.ready("nobody")
            assert caught.value.payload.code == "unknown_server"

    run_virtual(main)


# --- what there is


def test_lists_can_be_had_by_server_and_by_tag():
    one, two = Peer(), Peer()
    one.capabilities = two.capabilities = ALL

    async def listed(line, params):
        return {"resources": [{"name": "note", "uri": "note://1"}]}

    one.on["resources/list"] = listed
    two.tools += [tool("pay")]

    async def main():
        servers = one.server("one", tags={"home"}), two.server("two", tool_tags={"pay": ["finance"]})
        async with opened(*servers) as router:
            assert names(await router.list_tools()) == ["one__echo", "two__echo", "two__pay"]
            assert names(await router.list_tools(tags={"finance", "home"})) == ["one__echo", "two__pay"]
            assert names(await router.list_tools(tags=["finance"], server="one")) == []
            assert names(await router.list_tools(server="two")) == ["two__echo", "two__pay"]
            assert len(await router.list_resources()) == len(await router.list_resources(server="one")) == 1
            assert await router.list_resources(server="two") == []
            assert await router.list_prompts(server="one") == await router.list_resource_templates(server="one") == []
            assert names(router.listing("two").tools) == ["echo", "pay"]
            for listing in (router.list_tools, router.list_prompts):
                with pytest.raises(RouterError) as caught:
                    await listing(server="nobody")
                assert caught.value.payload.code == "unknown_server"
            with pytest.raises(TypeError, match="tags"):
                await router.list_tools(tags="finance")

    run_virtual(main)


def test_health_is_plain_json_with_an_error_in_it_too():
    async def main():
        server = Peer(on={"hang": silent}).server()
        async with opened(server, Peer().server("off", enabled=False)) as router:
            await router.call_tool("peer__hang", timeout=1)
            told = {name: json.loads(json.dumps(one.to_dict())) for name, one in router.health().items()}
        peer, off = told["peer"], told["off"]
        assert (peer["state"], peer["available"], peer["tools"], peer["kind"]) == ("ready", True, 2, "transport")
        assert (peer["error"]["code"], peer["since"]) == ("timeout", 1)
        assert peer["endpoints"][0]["circuit"]["state"] == "closed"
        assert peer["endpoints"][0]["last_failure_ago"] == 0
        assert (off["state"], off["available"], off["endpoints"]) == ("disabled", False, [])

    run_virtual(main)


def test_a_server_that_was_never_listed_has_an_empty_listing():
    async def main():
        async with opened(down().server()) as router:
            assert router.listing("peer").tools == ()

    run_virtual(main)


def test_bare_names_that_collide_are_refused_at_start_unless_priority_decides():
    async def main():
        async with no_leaks():
            with pytest.raises(ValueError, match="collide"):
                await Router(Peer().server("one"), Peer().server("two"), names="bare").open()
        async with opened(Peer().server("one"), Peer().server("two", priority=1), names="bare") as router:
            assert names(await router.list_tools()) == ["one__echo", "echo"]
            assert text(await router.call_tool("echo")) == "echo"

    run_virtual(main)


def test_a_server_that_went_down_while_the_router_was_closed_is_not_shown_as_available():
    peer = Peer()

    async def main():
        router = Router(peer.server(), Peer().server("lazy", lazy=True))
        async with router:
            await router.ready("lazy")
        peer.on["server/discover"] = peer.on["initialize"] = silent
        async with router:
            shown = {tool.name: tool.meta.get("recloser/available", True) for tool in await router.list_tools()}
            assert shown == {"peer__echo": False, "lazy__echo": True}

    run_virtual(main)
