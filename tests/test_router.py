"""The public object: what callers may say, and what there is to be called, read and fetched."""

import asyncio

import mcp_types as types
import pytest

from recloser import Call, CriticalError, Retry, Router, RouterError, Timeouts, error_of
from recloser.catalog import Listing
from recloser.events import CallFinished, FanOutFinished
from recloser.testing.clock import run_virtual
from support.peers import Peer, Silence, said
from support.routers import full, hangs, names, now, text


def after(seconds, text="done"):
    async def handler(line, params):
        await asyncio.sleep(seconds)
        return said(text)

    return handler


# --- calls


@pytest.mark.parametrize("name", ["peer__echo", "peer.echo", "echo"])
def test_a_tool_is_called_by_its_qualified_its_dotted_and_its_bare_name(name):
    async def main():
        async with Router(Peer().server()) as router:
            assert text(await router.call_tool(name, {"text": "hi"})) == "hi"

    run_virtual(main)


def test_a_server_that_is_named_beside_is_used_whatever_the_name_says():
    async def main():
        a, b = Peer(), Peer()
        async with Router(a.server("a"), b.server("b")) as router:
            assert text(await router.call_tool("echo", {"text": "hi"}, server_name="b")) == "hi"
            assert "tools/call" in b.methods
            assert "tools/call" not in a.methods
            payload = error_of(await router.call_tool("echo", {"text": "hi"}))
            assert payload.code == "unknown_tool"
            assert "a__echo" in payload.message and "b__echo" in payload.message
            assert error_of(await router.call_tool("echo", server_name="c")).code == "unknown_server"

    run_virtual(main)


def test_a_call_may_go_over_a_connection_of_its_own_and_carry_what_a_caller_adds():
    async def main():
        peer = Peer()
        async with Router(peer.server()) as router:
            await router.call_tool("peer__echo", {"text": "hi"}, session="alice", meta={"k": "v"}, caller="alice")
            assert len(peer.lines) == 2
            sent = peer.lines[1].seen[-1]
            assert sent.params["_meta"]["k"] == "v"
            assert "alice" not in str(sent.params)

    run_virtual(main)


def test_progress_is_heard():
    async def main():
        async def talks(line, params):
            token = params["_meta"]["progressToken"]
            line.notify(
                "notifications/progress", {"progressToken": token, "progress": 1, "total": 2, "message": "half"}
            )
            await asyncio.sleep(1)
            return said("done")

        heard = []

        async def progress(*step):
            heard.append(step)

        async with Router(Peer(on={"talks": talks}).server()) as router:
            await router.call_tool("peer__talks", progress=progress)
            assert heard == [(1, 2, "half")]

    run_virtual(main)


def test_a_timeout_is_the_callers_promise_and_never_exceeds_the_ceiling():
    async def main():
        peer = Peer(on={"hangs": hangs})
        async with Router(peer.server(timeouts=Timeouts(attempt=5, total=10, ceiling=12), retry=Retry())) as router:
            for asked, took in ((1, 1), (None, 5), (100, 5)):
                begun = now()
                payload = error_of(await router.call_tool("peer__hangs", timeout=asked))
                assert payload.code == "timeout"
                assert now() - begun == pytest.approx(took)
            begun = now()
            payload = error_of(await router.call_tool("peer__hangs", timeout=100, idempotent=True))
            assert now() - begun <= 12
            assert payload.attempts == 3

    run_virtual(main)


def test_a_call_that_may_be_repeated_is_and_another_is_not():
    async def main():
        async def dies(line, params):
            line.end()
            raise Silence

        for idempotent, attempts in ((True, 3), (None, 1), (False, 1)):
            async with Router(Peer(on={"dies": dies}).server()) as router:
                payload = error_of(await router.call_tool("peer__dies", idempotent=idempotent))
                assert (payload.code, payload.attempts) == ("connection_lost", attempts)

    run_virtual(main)


# --- what there is


def test_lists_show_everything_by_server_and_by_tag():
    async def main():
        a, b = full(), Peer()
        async with Router(a.server("a", tags={"finance"}), b.server("b")) as router:
            assert names(await router.list_tools()) == ["a__echo", "b__echo"]
            assert names(await router.list_tools(tags=["finance"])) == ["a__echo"]
            assert names(await router.list_tools(server="b")) == ["b__echo"]
            assert [one.uri for one in await router.list_resources()] == ["note://1"]
            assert await router.list_resources(server="b") == []
            assert [one.uri_template for one in await router.list_resource_templates(server="a")] == ["page://{n}"]
            assert names(await router.list_prompts()) == ["a__brief"]
            assert names(router.listing("a").prompts) == ["brief"]
            with pytest.raises(CriticalError):
                router.listing("nobody")

    run_virtual(main)


def test_what_a_server_offers_that_was_never_listed_is_nothing():
    async def main():
        async with Router(Peer().server(lazy=True)) as router:
            assert router.listing("peer") == Listing()

    run_virtual(main)


def test_other_things_than_tools_are_read_fetched_and_completed():
    async def main():
        async with Router(full().server("a"), Peer().server("b")) as router:
            for uri in ("note://1", "a:note://1", "page://7"):
                assert (await router.read_resource(uri, caller="me", meta={"k": 1})).contents[0].text == "inside"
            assert (await router.read_resource("x://y", server_name="a")).contents[0].uri == "x://y"
            prompt = await router.get_prompt("a__brief", {"city": "Bonn"})
            assert prompt.messages[0].content.text == "brief {'city': 'Bonn'}"
            assert (await router.get_prompt("brief", server_name="a")).messages[0].content.text == "brief {}"
            ref = types.PromptReference(type="ref/prompt", name="a__brief")
            done = await router.complete(ref, {"name": "city", "value": "B"})
            assert done.completion.values == ["{'type': 'ref/prompt', 'name': 'brief'}", "None"]
            template = types.ResourceTemplateReference(type="ref/resource", uri="page://{n}")
            done = await router.complete(template, {"name": "n", "value": "1"}, context={"city": "Bonn"}, timeout=5)
            assert done.completion.values[1] == "{'arguments': {'city': 'Bonn'}}"
            for wish in (
                router.read_resource("nothing://here"),
                router.get_prompt("a__nothing"),
                router.complete(types.PromptReference(type="ref/prompt", name="nothing"), {"name": "a", "value": ""}),
            ):
                with pytest.raises(RouterError):
                    await wish

    run_virtual(main)


def test_a_prompt_of_a_lazy_server_is_fetched_by_its_real_name():
    async def main():
        async with Router(full().server(lazy=True)) as router:
            prompt = await router.get_prompt("peer__brief")
            assert prompt.messages[0].content.text == "brief {}"

    run_virtual(main)


def test_reading_is_safe_to_repeat():
    async def main():
        async def dies_once(line, params):
            if line.number == 1:
                line.end()
                raise Silence
            return {"contents": []}

        peer = full()
        peer.on["resources/read"] = dies_once
        async with Router(peer.server()) as router:
            assert (await router.read_resource("note://1")).contents == []

    run_virtual(main)


# --- many at once


def test_many_calls_have_one_verdict():
    async def main():
        events = []
        peer = Peer(on={"slow": after(9)})
        async with Router(peer.server(), listeners=[events.append]) as router:
            calls = [Call.tool("peer__echo", {"text": "hi"}), Call.tool("peer__slow"), Call.tool("nobody__x")]
            spread = await router.fan_out(calls, timeout=3)
            assert spread.degraded
            assert set(spread.results) == {"peer__echo"}
            assert {key: error.code for key, error in spread.errors.items()} == {
                "peer__slow": "timeout",
                "nobody__x": "unknown_tool",
            }
            with pytest.raises(RouterError) as caught:
                await router.fan_out(calls, quorum=2, timeout=3)
            assert caught.value.payload.code == "quorum_missed"
            assert [event.outcome for event in events if isinstance(event, FanOutFinished)] == ["degraded", "failed"]

    run_virtual(main)


def test_the_same_call_may_be_made_again_and_begins_anew_each_time():
    async def main():
        events = []
        server = Peer(on={"hangs": hangs}).server(timeouts=Timeouts(attempt=1))
        async with Router(server, listeners=[events.append]) as router:
            call = Call.tool("peer__hangs")
            for _ in range(2):
                spread = await router.fan_out([call, call], quorum=0)
                assert [reply.error.attempts for reply in spread.replies] == [1, 1]
            assert call.trail.attempts == 0
        ids = [event.call_id for event in events if isinstance(event, CallFinished)]
        assert len(set(ids)) == 4
        assert call.call_id in ids

    run_virtual(main)


def test_replies_come_as_they_are_there_and_leaving_early_cancels_the_rest():
    async def main():
        peer = Peer(on={"one": after(1, "one"), "two": after(2, "two"), "hangs": hangs})
        async with Router(peer.server()) as router:
            replies = router.stream([Call.tool(f"peer__{name}") for name in ("hangs", "two", "one")])
            got = []
            async for reply in replies:
                got.append(text(reply.result))
                if len(got) == 2:
                    break
            await replies.aclose()
            assert got == ["one", "two"]
            await asyncio.sleep(0.01)
            assert peer.cancelled == 1
            assert router.health()["peer"].endpoints[0].in_flight == 0

    run_virtual(main)
