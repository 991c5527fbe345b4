"""The router for code without an event loop: the same methods, from any thread."""

import asyncio
import contextvars
import gc
import inspect
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
from mcp.server.mcpserver import Context
from opentelemetry import trace

from recloser import Call, Router, RouterError, Server, SyncRouter, error_of
from recloser.session import ServerSession, SyncServerSession
from recloser.testing.faulty import FaultyHttp
from recloser.testing.leaks import snapshot
from support.peers import MODERN
from support.routers import text
from support.sync_routers import Local, router

NAME = contextvars.ContextVar("name", default="nobody")


# --- the same face


def public(kind):
    return {
        name: member
        for name, member in inspect.getmembers_static(kind)
        if not name.startswith("_") and callable(getattr(kind, name))
    }


def test_it_has_the_methods_of_the_router():
    assert set(public(SyncRouter)) == set(public(Router))
    assert isinstance(SyncRouter.servers, property)


@pytest.mark.parametrize("name", sorted(public(Router)))
def test_its_methods_take_what_those_of_the_router_take_and_say_what_they_do(name):
    ours, theirs = getattr(SyncRouter, name), getattr(Router, name)
    assert inspect.signature(ours).parameters == inspect.signature(theirs).parameters
    assert not inspect.iscoroutinefunction(ours)
    assert inspect.getdoc(ours)
    expected = inspect.signature(theirs).return_annotation
    expected = {"AsyncGenerator[Reply, None]": "Iterator[Reply]", "ServerSession": "SyncServerSession"}.get(
        expected, expected
    )
    assert inspect.signature(ours).return_annotation == expected


def test_it_is_made_of_what_the_router_is_made_of():
    assert inspect.signature(SyncRouter).parameters == inspect.signature(Router).parameters


def test_everything_works_without_await():
    before = threading.active_count()
    with router() as made:
        assert text(made.call_tool("local__echo", {"text": "hi"})) == "hi"
        assert [one.name for one in made.list_tools(server="local")] == ["local__echo", "local__hang"]
        assert [one.uri for one in made.list_resources()] == ["note://1"]
        assert made.list_resource_templates() == []
        assert [one.name for one in made.list_prompts()] == ["local__brief"]
        assert made.read_resource("note://1").contents[0].text == "inside"
        assert made.get_prompt("local__brief").messages[0].content.text == "do it"
        assert made.listing("local").tools[0].name == "echo"
        assert made.health()["local"].state == "ready"
        assert list(made.servers) == ["local"]
        made.ready("local")
        made.add_server(Local().options("two"))
        assert text(made.call_tool("two__echo", {"text": "hi"})) == "hi"
        made.disable("two")
        assert error_of(made.call_tool("two__echo", {"text": "hi"})).code == "unknown_tool"
        made.enable("two")
        made.isolate("two")
        assert error_of(made.call_tool("two__echo", {"text": "hi"})).code == "circuit_open"
        made.release("two")
        assert text(made.call_tool("two__echo", {"text": "hi"})) == "hi"
        assert text(made.call_tool("two__echo", {"text": "hi"}, session="alice")) == "hi"
        made.close_session("alice")
        made.remove_server("two")
        spread = made.fan_out([Call.tool("local__echo", {"text": str(number)}) for number in range(3)])
        assert [text(reply.result) for reply in spread.replies] == ["0", "1", "2"]
    assert threading.active_count() == before


def test_errors_are_returned_or_raised_as_by_the_router():
    import mcp_types as types

    with router(raise_on_error=True) as made:
        with pytest.raises(RouterError) as caught:
            made.call_tool("nobody__x")
        assert caught.value.payload.code == "unknown_tool"
        assert error_of(made.call_tool("nobody__x", raise_on_error=False)).code == "unknown_tool"
        with pytest.raises(ValueError, match="timeout"):
            made.call_tool("local__echo", timeout=-1)
        with pytest.raises(TypeError, match="idempotent must be True or False, got 'no'"):
            made.call_tool("local__echo", idempotent="no")
        with pytest.raises(TypeError, match="session must be a string"):
            next(made.stream([Call.tool("local__echo", session=5)]))
        with pytest.raises(RouterError):
            made.complete(types.PromptReference(type="ref/prompt", name="x"), {"name": "a", "value": ""})


def test_it_can_be_made_of_a_configuration_and_reloaded():
    config = {"mcpServers": {"a": {"command": "/nowhere/a"}}}
    for made in (SyncRouter.from_config(config), SyncRouter.from_dict(config, raise_on_error=True)):
        with made:
            assert made.health()["a"].error.code == "cannot_start"
            made.reload({"mcpServers": {"b": {"command": "/nowhere/b"}}})
            assert list(made.servers) == ["b"]


# --- its life


def test_a_router_that_is_not_open_says_so():
    made = router()
    with pytest.raises(RuntimeError, match="not open; use `with router:`"):
        made.call_tool("local__echo")
    made.close()
    with made, pytest.raises(RuntimeError, match="open already"):
        made.open()
    made.close()
    with made:
        assert text(made.call_tool("local__echo", {"text": "again"})) == "again"


def test_a_router_that_cannot_open_leaves_no_thread():
    before = threading.active_count()
    made = SyncRouter(Server("a", command="/nowhere/a", required=True))
    with pytest.raises(RouterError) as caught:
        made.open()
    assert caught.value.payload.code == "cannot_start"
    assert threading.active_count() == before
    with pytest.raises(RuntimeError, match="not open"):
        made.health()


def test_closing_leaves_nothing_and_ends_what_other_threads_wait_for():
    before = snapshot()
    local = Local()
    made = router(local)
    made.open()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(made.call_tool, "local__hang")
        assert local.entered.wait(10)
        made.close()
        assert error_of(waiting.result(10)).code == "connection_lost"
    gc.collect()
    assert snapshot().beyond(before) == []


# --- threads and loops


def test_many_threads_may_call_at_once():
    with router() as made, ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda number: text(made.call_tool("local__echo", {"text": str(number)})), range(100)))
        assert results == [str(number) for number in range(100)]


def test_it_works_beside_a_running_loop():
    async def main():
        with router() as made:
            assert text(made.call_tool("local__echo", {"text": "hi"})) == "hi"
            assert text(await asyncio.to_thread(made.call_tool, "local__echo", {"text": "ho"})) == "ho"

    asyncio.run(main())


def test_a_callback_that_calls_back_into_the_router_is_told_that_it_would_wait_for_itself():
    seen = []

    def listener(event):
        try:
            made.health()
        except RuntimeError as error:
            seen.append(str(error))

    made = router(listeners=[listener])
    with made:
        pass
    assert seen
    assert all("event loop thread" in told for told in seen)


def test_a_callback_or_listener_that_closes_the_router_is_refused_and_spoils_nothing():
    refused = []

    def close():
        try:
            made.close()
        except RuntimeError as error:
            refused.append(str(error))

    async def progress(done, total, message):
        close()

    local = Local()

    @local.server.tool()
    async def step(ctx: Context) -> str:
        await ctx.report_progress(1)
        return "done"

    before = threading.active_count()
    made = router(local, listeners=[lambda event: close()])
    with made:
        heard = len(refused)
        assert text(made.call_tool("local__step", progress=progress)) == "done"
        assert len(refused) > heard > 0
        assert all("its own event loop thread" in told for told in refused)
        assert text(made.call_tool("local__echo", {"text": "hi"})) == "hi"
    assert threading.active_count() == before
    with made:
        assert text(made.call_tool("local__echo", {"text": "again"})) == "again"


def test_what_the_caller_has_set_in_his_context_is_seen_in_the_call():
    names = []

    def classify(result):
        names.append((NAME.get(), trace.get_current_span().get_span_context().span_id))
        return

    with SyncRouter(Local().options(classify=classify)) as made:
        NAME.set("alice")
        span = trace.NonRecordingSpan(trace.SpanContext(trace_id=1, span_id=7, is_remote=False))
        with trace.use_span(span):
            made.call_tool("local__echo", {"text": "hi"})
        contextvars.Context().run(made.call_tool, "local__echo", {"text": "hi"})
    assert names == [("alice", 7), ("nobody", 0)]


# --- streams


def test_replies_come_one_by_one_and_leaving_early_cancels_the_rest():
    local = Local()
    with router(local) as made:
        replies = made.stream([Call.tool("local__hang"), Call.tool("local__echo", {"text": "hi"})])
        for reply in replies:
            assert text(reply.result) == "hi"
            assert local.entered.wait(10)
            break
        replies.close()
        assert local.cancelled.wait(10)
        assert [text(reply.result) for reply in made.stream([Call.tool("local__echo", {"text": "ho"})])] == ["ho"]


def test_a_stream_that_is_left_open_when_the_router_closes_disturbs_nobody():
    made = router()
    with made:
        replies = made.stream([Call.tool("local__hang"), Call.tool("local__echo", {"text": "hi"})])
        next(replies)
    replies.close()
    del replies
    gc.collect()


def test_a_stream_that_is_collected_in_the_loops_own_thread_is_closed_without_a_word(caplog):
    local, ended = Local(), threading.Event()

    class Loop:
        """A cycle that only the collector ends."""

        def __init__(self, replies):
            self.me, self.replies = self, replies
            weakref.finalize(self, ended.set)

    async def collect(done, total, message):
        gc.collect()

    @local.server.tool()
    async def step(ctx: Context) -> str:
        await ctx.report_progress(1)
        return "done"

    with router(local) as made:
        gc.disable()
        try:
            loop = Loop(made.stream([Call.tool("local__hang"), Call.tool("local__echo", {"text": "hi"})]))
            next(loop.replies)
            assert local.entered.wait(10)
            del loop
            assert text(made.call_tool("local__step", progress=collect)) == "done"
        finally:
            gc.enable()
        assert ended.wait(10)
        assert local.cancelled.wait(10)
    gc.collect()
    assert "asynchronous generator" not in caplog.text


def test_a_server_over_http_is_reached_too():
    async def main():
        async with FaultyHttp() as faulty:

            def work():
                with SyncRouter(Server("s", faulty.url)) as made:
                    return text(made.call_tool("s__echo", {"text": "hi"}))

            assert await asyncio.to_thread(work) == "hi"

    asyncio.run(main())


# --- one server's own face


def test_one_servers_own_face_has_the_same_methods_without_await():
    import mcp_types as types

    with router() as made:
        session = made.session("local")
        assert repr(session) == "SyncServerSession('local')"
        assert session.protocol_version == MODERN
        assert [one.name for one in session.list_tools().tools] == ["echo", "hang"]
        assert [one.uri for one in session.list_resources().resources] == ["note://1"]
        assert session.list_resource_templates().resource_templates == []
        assert [one.name for one in session.list_prompts().prompts] == ["brief"]
        assert text(session.call_tool("echo", {"text": "hi"})) == "hi"
        assert session.read_resource("note://1").contents[0].text == "inside"
        assert session.send_ping() == types.EmptyResult()
        assert session.get_prompt("brief").messages[0].content.text == "do it"
        with pytest.raises(RouterError):
            session.complete(types.PromptReference(type="ref/prompt", name="x"), {"name": "a", "value": ""})
        with pytest.raises(RouterError):
            made.session("nobody")


def test_the_methods_of_that_face_take_what_those_of_the_other_take():
    theirs = {name: member for name, member in vars(ServerSession).items() if inspect.iscoroutinefunction(member)}
    for name, member in theirs.items():
        assert inspect.signature(getattr(SyncServerSession, name)) == inspect.signature(member)
        assert inspect.getdoc(getattr(SyncServerSession, name))
