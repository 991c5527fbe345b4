"""Servers that are changed while calls go on: what stays, what is replaced, and what is known meanwhile."""

import asyncio

import pytest

from recloser import Router, error_of
from recloser.events import CatalogChanged, ConnectionChanged
from recloser.testing.clock import run_virtual
from recloser.testing.leaks import no_leaks
from support.peers import Peer, said, tool


def now():
    return asyncio.get_running_loop().time()


async def changed(router, *servers):
    """Take over servers as `reload` does, without a file."""
    await router._fleet.reload(servers)


async def three_seconds(line, params):
    await asyncio.sleep(3)
    return said("done")


def down():
    peer = Peer()
    peer.down = ConnectionRefusedError("nobody listens")
    return peer


def test_reloading_leaves_alone_what_did_not_change():
    stays, goes = {"command": "no-such-command"}, {"command": "no-such-either"}

    async def main():
        router = Router.from_config({"mcpServers": {"stays": stays, "goes": goes, "changes": {"command": "no-such"}}})
        async with no_leaks(), router:
            before = router.servers["stays"]
            new = {"mcpServers": {"stays": stays, "changes": {"command": "no-such", "args": ["x"]}, "comes": goes}}
            await router.reload(new)
            assert router.servers["stays"] is before
            assert list(router.servers) == ["stays", "changes", "comes"]
            assert list(router.servers["changes"].args) == ["x"]
            with pytest.raises(ValueError, match="mcpServers"):
                await router.reload({"mcpServers": {"stays": 3}})
            assert list(router.servers) == ["stays", "changes", "comes"]

    run_virtual(main)


def test_the_end_of_a_session_that_was_replaced_is_not_taken_for_that_of_the_new_one():
    heard = []

    def listen(event):
        if isinstance(event, ConnectionChanged):
            heard.append((event.state, event.generation, event.lasted))

    async def main():
        peer = Peer(on={"slow": three_seconds})
        async with no_leaks(), Router(peer.server("a"), listeners=[listen]) as router:
            call = asyncio.create_task(router.call_tool("a__slow"))
            await asyncio.sleep(1)
            await changed(router, peer.server("a", priority=1))
            await call
            await asyncio.sleep(1)
            # Its length, which metrics want, is told all the same.
            assert heard[:2] == [("connecting", 1, None), ("ready", 1, None)]
            assert heard[2:] == [("connecting", 2, None), ("ready", 2, None), ("closed", 1, 3.0)]
            assert router.health()["a"].endpoints[0].generation == 2
            assert router.health()["a"].state == "ready"

    run_virtual(main)


def test_a_server_that_is_changed_keeps_its_names_and_what_was_switched_off():
    first, second = Peer(), Peer()
    first.tools.append(tool("pay"))

    async def main():
        a, b = first.server("a", priority=5), second.server("b")
        async with no_leaks(), Router(a, b, names="bare") as router:
            router.disable("pay")
            await changed(router, first.server("a", priority=5, trusted=True), b)
            assert [each.name for each in await router.list_tools()] == ["echo", "b__echo"]
            before = second.methods.count("tools/call")
            assert not (await router.call_tool("echo")).is_error
            assert second.methods.count("tools/call") == before
            assert error_of(await router.call_tool("pay")).code == "unknown_tool"

    run_virtual(main)


def test_a_changed_server_that_does_not_come_up_stays_listed_as_unavailable():
    heard = []

    async def main():
        async with no_leaks(), Router(Peer().server("a"), listeners=[heard.append]) as router:
            await router.ready("a")
            heard.clear()
            await changed(router, down().server("a"))
            (shown,) = await router.list_tools()
            assert (shown.name, shown.meta["recloser/available"]) == ("a__echo", False)
            assert error_of(await router.call_tool("a__echo")).code == "unreachable"
            assert [event.removed for event in heard if isinstance(event, CatalogChanged)] == [()]

    run_virtual(main)


def test_calls_in_flight_have_all_their_time_when_their_server_is_changed():
    peer = Peer(on={"long": three_seconds})

    async def main():
        async with no_leaks(), Router(peer.server("a")) as router:
            calling = asyncio.ensure_future(router.call_tool("a__long"))
            await asyncio.sleep(0.5)
            await changed(router, peer.server("a", priority=1))
            assert not (await router.call_tool("a__echo")).is_error
            assert not (await calling).is_error
            assert now() == 3

    run_virtual(main)


def test_a_server_that_an_operator_has_enabled_stays_so_when_it_is_changed():
    async def main():
        made = Peer()
        async with no_leaks(), Router(made.server("a", enabled=False)) as router:
            router.enable("a")
            await router.ready("a")
            await changed(router, made.server("a", enabled=False, priority=1))
            assert not (await router.call_tool("a__echo")).is_error
            router.disable("a")
            await changed(router, made.server("a", enabled=False, priority=2))
            assert router.health()["a"].state == "disabled"

    run_virtual(main)


def test_two_reloads_at_once_and_a_close_in_between_disturb_nobody():
    async def main():
        one = {"mcpServers": {"a": {"command": "no-such-command"}}}
        two = {"mcpServers": {"a": {"command": "no-such-command", "args": ["x"]}}}
        async with no_leaks():
            router = Router.from_config(one)
            await router.open()
            await asyncio.gather(router.reload(two), router.reload(one), router.close())
            assert list(router.servers) == ["a"]

    run_virtual(main)
