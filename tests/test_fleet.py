"""The router's servers: start, end, what they offer, and changes while calls go on."""

import asyncio
import json
import sys
from contextlib import asynccontextmanager

import mcp_types as types
import pytest

from recloser import Router, RouterError, Server, Timeouts, error_of
from recloser.catalog import Listing
from recloser.catalog.snapshot import save
from recloser.events import CatalogChanged
from recloser.testing.clock import run_virtual
from recloser.testing.leaks import no_leaks
from support.peers import ALL, Peer, Silence, tool


def now():
    return asyncio.get_running_loop().time()


def text(result):
    return result.content[0].text


def names(tools):
    return [tool.name for tool in tools]


async def silent(line, params):
    raise Silence


def down():
    peer = Peer()
    peer.down = ConnectionRefusedError("nobody listens")
    return peer


def hanging():
    """A peer that never becomes ready."""
    return Peer(on={"server/discover": silent, "initialize": silent})


@asynccontextmanager
async def opened(*servers, **options):
    async with no_leaks(), Router(*servers, **options) as router:
        yield router


@asynccontextmanager
async def in_flight(router, peer):
    """A call that waits for the server until the block ends, and must succeed then."""
    go = asyncio.Event()

    async def wait(line, params):
        await go.wait()
        return {"content": [{"type": "text", "text": "done"}]}

    peer.on["wait"] = wait
    calling = asyncio.ensure_future(router.call_tool("peer__wait"))
    await asyncio.sleep(0.1)
    yield
    go.set()
    assert text(await calling) == "done"


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


# --- changes while the router is open


def test_servers_come_and_go_and_calls_in_flight_end_undisturbed():
    peer = Peer(on={"wait": silent})

    async def main():
        async with opened() as router:
            await router.add_server(peer.server())
            async with in_flight(router, peer):
                await router.add_server(hanging().server("slow"))
                assert now() == pytest.approx(2.1)
                with pytest.raises(ValueError, match="already"):
                    await router.add_server(peer.server())
                with pytest.raises(TypeError):
                    await router.add_server("peer")
                await router.remove_server("peer")
                assert list(router.servers) == ["slow"]
                assert await router.list_tools() == []
                assert error_of(await router.call_tool("peer__echo", server_name="peer")).code == "unknown_server"
                with pytest.raises(RouterError):
                    await router.remove_server("peer")
            await router.add_server(peer.server())
            assert text(await router.call_tool("peer__echo")) == "echo"

    run_virtual(main)


def test_a_server_that_is_removed_is_closed_when_its_calls_had_their_time():
    peer = Peer(on={"hang": silent})

    async def main():
        async with opened(peer.server(timeouts=Timeouts(attempt=5, total=5))) as router:
            calling = asyncio.ensure_future(router.call_tool("peer__hang"))
            await asyncio.sleep(1)
            await router.remove_server("peer")
            assert error_of(await calling).code == "timeout"
            async with no_leaks():
                await asyncio.sleep(10)

    run_virtual(main)


def test_closing_does_not_wait_for_the_calls_of_a_removed_server():
    async def main():
        async with opened(Peer(on={"hang": silent}).server()) as router:
            calling = asyncio.ensure_future(router.call_tool("peer__hang"))
            await asyncio.sleep(1)
            await router.remove_server("peer")
            await asyncio.sleep(1)
            await router.close()
            assert now() == 2
            assert error_of(await calling).code == "connection_lost"

    run_virtual(main)


@pytest.mark.processes
def test_what_was_given_as_a_secret_stays_one_whatever_configurations_say(monkeypatch):
    monkeypatch.setenv("TEST_KEY", "sesame-sesame")
    told = "import sys; print('keys: hunter2-hunter2 sesame-sesame', file=sys.stderr, flush=True); sys.stdin.read()"

    async def said(router):
        async with asyncio.timeout(60):
            while router.health()["s"].stderr is None:
                await asyncio.sleep(0.01)
        return router.health()["s"].stderr

    async def main():
        server = {"command": sys.executable, "args": ["-c", told], "env": {"KEY": "${TEST_KEY}"}}
        config = {"mcpServers": {"s": server}}
        async with no_leaks(), Router.from_config(config, secrets=["hunter2-hunter2"]) as router:
            first = await said(router)
            del server["env"]
            await router.reload(config)
            second = await said(router)
        for heard in (first, second):
            assert heard.startswith("keys:")
            assert "hunter2" not in heard
        assert "sesame" not in first

    asyncio.run(main())


def test_what_is_disabled_is_hidden_and_refused_until_it_is_enabled():
    peer = Peer(on={"wait": silent})
    peer.tools += [tool("pay")]

    async def main():
        async with opened(peer.server(tool_tags={"pay": ["finance"]})) as router:
            for name in ("peer", "peer__pay", "finance"):
                async with in_flight(router, peer):
                    router.disable(name)
                    assert "peer__pay" not in names(await router.list_tools())
                    assert (await router.call_tool("peer__pay")).is_error
                    state = "disabled" if name == "peer" else "ready"
                    assert (router.health()["peer"].state, router.health()["peer"].available) == (state, name != "peer")
                    router.enable(name)
                    assert not (await router.call_tool("peer__pay")).is_error
            for turn in (router.disable, router.enable):
                with pytest.raises(RouterError):
                    turn("nothing")

    run_virtual(main)


def test_a_server_that_the_configuration_disables_may_be_enabled_later():
    peer = Peer()

    async def main():
        router = Router(peer.server(enabled=False))
        async with no_leaks(), router:
            assert peer.lines == []
            assert router.health()["peer"].state == "disabled"
            with pytest.raises(RouterError, match="disabled"):
                await router.ready("peer")
            assert (await router.call_tool("peer__echo")).is_error
            router.enable("peer")
            await router.ready("peer")
            assert text(await router.call_tool("peer__echo")) == "echo"
        async with router:
            assert router.health()["peer"].state == "ready"
            await router.add_server(peer.server("other", enabled=False))
            assert router.health()["other"].state == "disabled"

    run_virtual(main)


# --- the snapshot


@pytest.mark.processes
def test_the_tools_of_a_server_that_is_down_at_the_next_start_are_known_from_the_snapshot(tmp_path):
    server, file = tmp_path / "server.py", tmp_path / "catalog.json"
    server.write_text(
        "from mcp.server import MCPServer\n"
        "server = MCPServer('files', log_level='WARNING')\n"
        "@server.tool()\n"
        "def grep(p: str) -> str:\n"
        "    return p\n"
        "server.run()\n"
    )
    heard = []
    files = Server("files", command=sys.executable, args=[str(server)], required=True)

    async def first():
        async with no_leaks(), Router(files, snapshot=str(file)) as router:
            assert text(await router.call_tool("files__grep", {"p": "x"})) == "x"
        assert list(json.loads(file.read_text())["servers"]) == ["files"]

    async def second():
        lazy = Server("lazy", command=sys.executable, args=[str(server)], lazy=True)
        gone = Server("files", command=sys.executable, args=[str(server)])
        async with no_leaks(), Router(gone, lazy, snapshot=file, listeners=[heard.append]) as router:
            (shown,) = await router.list_tools()
            assert shown.name == "files__grep"
            assert shown.meta["recloser/available"] is False
            assert shown.meta["recloser/code"] == router.health()["files"].error.code
            error = error_of(await router.call_tool("files__grep", {"p": "x"}, timeout=1))
            assert (error.code, error.server, error.delivered) == ("unreachable", "files", "no")

    asyncio.run(first())
    server.unlink()
    asyncio.run(second())
    assert next(event.added for event in heard if isinstance(event, CatalogChanged)) == ("files__grep",)


def test_a_lazy_server_that_is_known_from_the_snapshot_is_not_shown_as_unavailable(tmp_path):
    lazy = Server("lazy", command="no-such-command", lazy=True)
    save(tmp_path / "c", [(lazy, Listing(tools=(types.Tool(name="x", input_schema={"type": "object"}),)))])

    async def main():
        async with no_leaks(), Router(lazy, snapshot=tmp_path / "c") as router:
            (shown,) = await router.list_tools()
            assert (shown.name, "recloser/available" in shown.meta) == ("lazy__x", False)
            assert router.health()["lazy"].state == "idle"

    asyncio.run(main())
