"""Servers that come, go and are switched off while a router is open; and what is known at the next start."""

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
from support.fleets import hanging, opened, silent
from support.peers import Peer, tool
from support.routers import names, now, text


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


def test_a_router_that_is_closed_while_it_reads_the_snapshot_starts_nothing(tmp_path):
    async def main():
        peer = Peer()
        async with no_leaks():
            router = Router(peer.server(), snapshot=tmp_path / "catalog.json")
            opening = asyncio.create_task(router.open())
            await asyncio.sleep(0)
            await router.close()
            await opening
        assert peer.lines == []

    asyncio.run(main())
