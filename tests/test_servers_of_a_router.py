"""What becomes of calls while a router's servers come up, change, go and come back."""

import asyncio

import pytest

from recloser import CriticalError, Router, RouterError, Server, Timeouts, error_of
from recloser.events import CallFinished, CatalogChanged
from recloser.testing.clock import run_virtual
from recloser.testing.faulty import FaultyHttp
from support.peers import Peer, Silence, said, tool


def now():
    return asyncio.get_running_loop().time()


async def hangs(line, params):
    raise Silence


async def slow(line, params):
    await asyncio.sleep(5)
    return said("slow")


def starting(seconds):
    """A server that takes its time to come up."""

    async def listed(line, params):
        await asyncio.sleep(seconds)
        return {"tools": line.peer.tools}

    return Peer(on={"tools/list": listed})


def down():
    peer = Peer()
    peer.down = ConnectionRefusedError()
    return peer


def text(result):
    return result.content[0].text


def names(tools):
    return [one.name for one in tools]


# --- start and end


def test_required_servers_are_waited_for_and_others_are_not():
    async def main():
        async with Router(starting(20).server("a", required=True), starting(25).server("b")) as router:
            assert now() == 20
            assert router.health()["a"].state == "ready"
            await router.ready("b")
            assert now() == 25

    run_virtual(main)


def test_a_required_server_that_is_down_does_not_wait_for_one_that_is_slow():
    async def main():
        before = asyncio.all_tasks()
        good, bad = starting(5), down()
        router = Router(good.server("good", required=True), bad.server("bad", required=True), starting(9).server("x"))
        with pytest.raises(RouterError) as caught:
            await router.open()
        assert (caught.value.payload.server, now()) == ("bad", 0)
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == before
        bad.down = None
        async with router:
            assert router.health()["good"].state == "ready"

    run_virtual(main)


def test_closing_twice_at_once_returns_only_when_nothing_is_left():
    async def main():
        before = asyncio.all_tasks()
        router = Router(*(Peer().server(f"s{number}") for number in range(3)))
        await router.open()
        with pytest.raises(RuntimeError, match="open already"):
            await router.open()
        await asyncio.gather(router.close(), router.close())
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == before

    run_virtual(main)


def test_closing_while_it_opens_leaves_nothing():
    async def main():
        before = asyncio.all_tasks()
        router = Router(starting(20).server("a", required=True))
        opening = asyncio.ensure_future(router.open())
        await asyncio.sleep(1)
        await router.close()
        with pytest.raises(RouterError):
            await opening
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == before

    run_virtual(main)


def test_a_router_checks_what_it_is_made_of():
    with pytest.raises(TypeError, match="takes Server objects"):
        Router("x")
    with pytest.raises(ValueError, match="two servers are named 'a'"):
        Router(Peer().server("a"), Peer().server("a"))
    with pytest.raises(ValueError, match="names must be 'qualified' or 'bare'"):
        Router(names="short")


# --- lazy servers


def test_a_lazy_servers_tool_is_called_by_its_real_name_once_that_is_known():
    async def main():
        peer = Peer(on={"do.it": lambda line, params: asyncio.sleep(0, said(params["name"]))})
        async with Router(peer.server(lazy=True)) as router, Router(peer.server("peer")) as other:
            qualified = next(name for name in names(await other.list_tools()) if "do" in name)
            assert qualified != "peer__do.it"
            assert text(await router.call_tool(qualified)) == "do.it"

    run_virtual(main)


def test_a_lazy_server_that_has_no_such_tool_is_not_sent_the_call():
    async def main():
        peer = Peer()
        async with Router(peer.server(lazy=True)) as router:
            assert error_of(await router.call_tool("peer__nothing")).code == "unknown_tool"
            assert "tools/call" not in peer.methods

    run_virtual(main)


def test_a_call_stays_with_the_server_that_it_was_sent_to():
    """A bare name may mean another server by the time that the first one is listed."""

    async def main():
        first, second = starting(5), Peer()
        second.tools = [tool("thing")]
        async with Router(first.server("first", lazy=True)) as router:
            call = asyncio.ensure_future(router.call_tool("thing"))
            await asyncio.sleep(1)
            await router.add_server(second.server("second"))
            assert text(await call) == "thing"
            assert "tools/call" in first.methods
            assert "tools/call" not in second.methods

    run_virtual(main)


# --- added and removed


def test_servers_can_be_added_in_every_condition():
    async def main():
        async with Router(Peer(on={"slow": slow}).server("old")) as router:
            call = asyncio.ensure_future(router.call_tool("old__slow"))
            await router.add_server(starting(1).server("new"))
            assert now() == 1
            assert text(await router.call_tool("new__echo", {"text": "hi"})) == "hi"
            with pytest.raises(ValueError, match="there is a server named 'new' already"):
                await router.add_server(Peer().server("new"))
            await router.add_server(down().server("down"))
            await router.add_server(Peer().server("off", enabled=False))
            await router.add_server(Peer().server("lazy", lazy=True))
            assert now() == 1
            states = {name: health.state for name, health in router.health().items() if name in ("off", "lazy")}
            assert states == {"off": "disabled", "lazy": "idle"}
            assert error_of(await router.call_tool("down__x", timeout=1)).server == "down"
            assert text(await call) == "slow"

    run_virtual(main)


def test_a_router_that_closes_does_not_wait_for_the_last_calls_of_a_removed_server():
    async def main():
        before = asyncio.all_tasks()
        async with Router(Peer(on={"hangs": hangs}).server(timeouts=Timeouts(attempt=20))) as router:
            call = asyncio.ensure_future(router.call_tool("peer__hangs"))
            await asyncio.sleep(1)
            await router.remove_server("peer")
            with pytest.raises(RouterError) as caught:
                await router.ready("peer")
            assert "known are: none" in caught.value.payload.message
        assert now() == 1
        assert error_of(await call).code == "connection_lost"
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == before

    run_virtual(main)


def test_what_a_server_says_on_its_way_out_is_not_heard_as_that_of_its_successor():
    async def main():
        old, new = Peer(modern=False, on={"slow": slow}), Peer()
        old.capabilities = {"tools": {"listChanged": True}}
        async with Router(old.server()) as router:
            call = asyncio.ensure_future(router.call_tool("peer__slow"))
            await asyncio.sleep(1)
            await router.remove_server("peer")
            await router.add_server(new.server())
            old.tools.append(tool("late"))
            old.line.notify("notifications/tools/list_changed")
            await asyncio.sleep(2)
            assert old.methods.count("tools/list") == 2
            assert names(await router.list_tools()) == ["peer__echo"]
            await call
            await asyncio.sleep(1)
            [shown] = await router.list_tools()
            assert "recloser/available" not in shown.meta

    run_virtual(main)


def config(**servers):
    return {"mcpServers": {name: {"url": url} for name, url in servers.items()}}


def test_reloading_leaves_what_has_not_changed_alone_over_http_too():
    async def main():
        async with (
            FaultyHttp() as a,
            FaultyHttp() as b,
            FaultyHttp() as c,
            Router.from_dict(config(a=a.url, b=b.url)) as router,
        ):
            calls = [asyncio.ensure_future(router.call_tool(f"{name}__sleep", {"seconds": 0.1})) for name in ("a", "b")]
            while not (a.executions() and b.executions()):
                await asyncio.sleep(0.005)
            await router.reload(config(a=a.url, c=c.url))
            assert list(router.servers) == ["a", "c"]
            assert text(await router.call_tool("c__echo", {"text": "hi"})) == "hi"
            assert [text(await call) for call in calls] == ["slept", "slept"]
            assert a.requests("server/discover") == 1

    asyncio.run(main())


# --- switched off and on


def test_a_hidden_server_stays_connected_and_its_calls_end():
    async def main():
        peer = Peer(on={"slow": slow})
        async with Router(peer.server(), Peer().server("other")) as router:
            call = asyncio.ensure_future(router.call_tool("peer__slow"))
            await asyncio.sleep(1)
            router.disable("peer")
            assert names(await router.list_tools()) == ["other__echo"]
            health = router.health()["peer"]
            assert (health.state, health.available, health.endpoints[0].state) == ("disabled", False, "ready")
            assert text(await call) == "slow"
            router.enable("peer")
            assert text(await router.call_tool("peer__echo", {"text": "hi"})) == "hi"
            assert len(peer.lines) == 1

    run_virtual(main)


def test_a_server_that_was_enabled_stays_so_when_the_router_is_opened_again():
    async def main():
        peer = Peer()
        router = Router(peer.server(enabled=False))
        async with router:
            with pytest.raises(CriticalError) as caught:
                await router.ready("peer")
            assert "disabled" in caught.value.payload.message
            router.enable("peer")
            await router.ready("peer")
        async with router:
            assert router.health()["peer"].state == "ready"
            await router.remove_server("peer")
            assert router.health() == {}

    run_virtual(main)


def test_a_disabled_server_that_is_removed_is_gone():
    async def main():
        async with Router(Peer().server(enabled=False)) as router:
            await router.remove_server("peer")
            assert router.health() == {}

    run_virtual(main)


# --- unavailable is not unknown


def test_the_tools_of_a_server_that_goes_down_stay_listed_and_marked():
    async def main():
        events = []
        peer = Peer()
        async with Router(peer.server(), listeners=[events.append]) as router:
            peer.down = ConnectionRefusedError()
            await asyncio.sleep(10)
            peer.line.end()
            await asyncio.sleep(1)
            [shown] = await router.list_tools()
            assert shown.meta["recloser/available"] is False
            assert shown.meta["recloser/code"] == "unreachable"
            payload = error_of(await router.call_tool("peer__echo"))
            assert (payload.code, payload.server) == ("unreachable", "peer")
            peer.down = None
            await router.ready("peer")
            [shown] = await router.list_tools()
            assert "recloser/available" not in shown.meta
            told = [event.available for event in events if isinstance(event, CatalogChanged)]
            assert told == [True, False, True]

    run_virtual(main)


def test_a_server_nobody_listens_on_does_not_keep_the_others_from_working():
    async def main():
        async with FaultyHttp() as good, FaultyHttp() as gone:
            await gone.stop()
            async with Router(Server("good", good.url), Server("bad", gone.url)) as router:
                assert text(await router.call_tool("good__echo", {"text": "hi"})) == "hi"
                assert error_of(await router.call_tool("bad__echo", {"text": "hi"})).code == "unreachable"

    asyncio.run(main())


def test_a_call_that_reaches_no_server_is_in_the_audit_too():
    async def main():
        events = []
        async with Router(Peer().server(), listeners=[events.append]) as router:
            await router.call_tool("nobody__x")
            [told] = [event for event in events if isinstance(event, CallFinished)]
            assert (told.outcome, told.code, told.attempts, told.server) == ("error", "unknown_tool", 0, None)

    run_virtual(main)


def test_the_scheme_of_a_url_may_be_written_in_capitals():
    async def main():
        async with FaultyHttp() as faulty:
            url = faulty.url.replace("http://", "HTTP://")
            async with Router(Server("loud", url)) as router:
                assert text(await router.call_tool("loud__echo", {"text": "hi"})) == "hi"

    asyncio.run(main())
