"""Calls of what no list names yet, since its server is lazy or slow: what is told of them once it has been listed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Literal

import pytest

from recloser import Call, Retry, Router, RouterError, Timeouts
from recloser.audit import AuditRecord
from recloser.catalog.names import qualify
from recloser.errors import error_for
from recloser.events import AttemptFinished, CallFinished
from recloser.metrics.names import PROMPT, TOOL
from recloser.testing.clock import run_virtual
from support.metering import Metered
from support.peers import Peer, Silence, tool
from support.routers import full
from support.traces import Node, Traces

OPERATION, CALL = "mcp.client.operation.duration", "recloser.call.duration"
SECRET = "CanaryKey-9f8e7d6c5b4a"


class Seen:
    """What a router tells of calls, by every way that it has."""

    def __init__(self) -> None:
        self.traces, self.metered = Traces(), Metered()
        self.events: list[Any] = []
        self.records: list[AuditRecord] = []

    def names(self, of: type[Any]) -> list[tuple[str, bool]]:
        return [(event.name, event.known) for event in self.events if isinstance(event, of)]

    def measured(self, metric: str, key: str = TOOL) -> list[Any]:
        # The requests of a connection are measured by the same metric and have no target.
        points = self.metered.points(metric)
        return [point.attributes[key] for point in points if key in point.attributes for _ in range(point.count)]

    @property
    def calls(self) -> list[Node]:
        return [node for node in self.traces.trees() if node.name.startswith(("execute_tool", "get_prompt"))]

    @property
    def shown(self) -> list[Any]:
        """The title and the target of each call's span, and of its attempts' spans."""
        spans = [span for call in self.calls for span in (call, *call.children)]
        return [(span.name, span[TOOL] or span[PROMPT]) for span in spans]


def observed(
    peer: Peer,
    work: Callable[[Router], Awaitable[Any]],
    *,
    names: Literal["qualified", "bare"] = "qualified",
    **more: Any,
) -> Seen:
    """Run calls against a router whose only server is lazy."""
    seen = Seen()

    async def main() -> None:
        async with Router(
            peer.server(**{"lazy": True, "timeouts": Timeouts(total=20, attempt=2), **more}),
            names=names,
            secrets=[SECRET],
            listeners=[seen.events.append],
            audit=seen.records.append,
            meter_provider=seen.metered.provider,
            tracer_provider=seen.traces.provider,
            rng=lambda: 0.5,
        ) as router:
            await work(router)

    run_virtual(main())
    return seen


def echo(router: Router) -> Any:
    return router.call_tool("peer__echo", {"text": "hello"}, idempotent=True)


def given_up_at(step: str) -> Seen:
    """Return what was told of a call whose server never answers that, and whose caller gives up then."""
    reached = asyncio.Event()

    async def hangs(line: Any, params: Any) -> Any:
        reached.set()
        raise Silence

    async def work(router: Router) -> None:
        call = asyncio.ensure_future(echo(router))
        await reached.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    return observed(Peer(on={step: hangs}), work)


def assert_told_as_listed(seen: Seen, name: str = "echo", attempts: int = 1) -> None:
    assert seen.names(AttemptFinished) == [(name, True)] * attempts
    assert seen.names(CallFinished) == [(name, True)]
    assert seen.shown == [(f"execute_tool {name}", name), *[(f"tools/call {name}", name)] * attempts]
    assert set(seen.measured(OPERATION)) == set(seen.measured(CALL)) == {name}
    assert [(record.tool, record.known) for record in seen.records] == [(name, True)]


def assert_told_as_unknown(seen: Seen, name: str) -> None:
    assert {known for _, known in seen.names(AttemptFinished) + seen.names(CallFinished)} == {False}
    assert {target for _, target in seen.shown} == {"_OTHER"}
    assert set(seen.measured(OPERATION)) | set(seen.measured(CALL)) == {"_OTHER"}
    assert [(record.tool, record.known) for record in seen.records] == [(name, False)]


# --- it is listed


@pytest.mark.parametrize("modern", [True, False], ids=["modern", "legacy"])
@pytest.mark.parametrize("names", ["qualified", "bare"])
@pytest.mark.parametrize("asked", ["peer__echo", "peer.echo", "echo"])
def test_the_first_call_of_a_lazy_server_s_tool_is_told_of_under_its_name(
    asked: str, names: Literal["qualified", "bare"], modern: bool
) -> None:
    seen = observed(Peer(modern=modern), lambda router: router.call_tool(asked), names=names)
    assert_told_as_listed(seen)
    (done,) = [event for event in seen.events if isinstance(event, CallFinished)]
    assert done.key == ("echo" if names == "bare" else "peer__echo")


def test_it_is_told_of_under_the_name_that_its_server_gives_it_and_not_the_one_that_callers_use() -> None:
    peer = Peer()
    peer.tools = [tool("web.search")]
    assert_told_as_listed(observed(peer, lambda router: router.call_tool(qualify("peer", "web.search"))), "web.search")


def test_a_prompt_of_a_lazy_server_is_told_of_under_its_name() -> None:
    seen = observed(full(), lambda router: router.get_prompt("peer__brief"))
    assert seen.names(AttemptFinished) == seen.names(CallFinished) == [("brief", True)]
    assert seen.shown == [("get_prompt brief", "brief"), ("prompts/get brief", "brief")]
    assert seen.measured(OPERATION, PROMPT) == seen.measured(CALL, PROMPT) == ["brief"]
    assert [(record.tool, record.known) for record in seen.records] == [("brief", True)]
    assert TOOL not in seen.calls[0].attributes


def test_each_of_many_calls_at_once_is_told_of_under_its_name() -> None:
    peer = Peer()
    peer.tools = [tool("one"), tool("two")]
    seen = observed(peer, lambda router: router.fan_out([Call.tool("peer__one"), Call.tool("peer__two")]))
    assert sorted(seen.names(CallFinished)) == sorted(seen.names(AttemptFinished)) == [("one", True), ("two", True)]
    assert sorted(record.tool for record in seen.records) == ["one", "two"]
    (spread,) = seen.traces.named("recloser.fan_out")
    assert sorted(call.name for call in spread.children) == ["execute_tool one", "execute_tool two"]


def test_so_is_one_that_failed_after_its_server_was_listed() -> None:
    async def hangs(line: Any, params: Any) -> Any:
        raise Silence

    async def work(router: Router) -> None:
        with pytest.raises(RouterError) as failed:
            await router.call_tool(qualify("peer", "web.search"), raise_on_error=True)
        assert (failed.value.payload.code, failed.value.payload.tool) == ("timeout", "web.search")

    assert_told_as_listed(observed(Peer(on={"web.search": hangs}), work), "web.search")


def test_so_is_one_that_its_caller_gave_up_after_its_server_was_listed() -> None:
    seen = given_up_at("echo")
    assert_told_as_listed(seen)
    assert [record.outcome for record in seen.records] == ["cancelled"]


def test_each_try_is_told_of_by_what_was_known_at_its_end() -> None:
    failures = iter(["unreachable", "server_error"])

    async def policy(call: Any, call_next: Any) -> Any:
        code = next(failures, None)
        if code == "server_error":  # the second one fails on its way back, when the server has been listed
            await call_next(call)
        if code is not None:
            raise error_for(code, "on purpose", server=call.server)
        return await call_next(call)

    seen = observed(Peer(), echo, chaos=(policy,), retry=Retry(attempts=3))
    assert [known for _, known in seen.names(AttemptFinished)] == [False, True, True]
    assert seen.names(CallFinished) == [("echo", True)]
    assert [name for name, _ in seen.shown] == ["execute_tool echo", "tools/call _OTHER", *["tools/call echo"] * 2]
    assert sorted(seen.measured(OPERATION)) == ["_OTHER", "echo", "echo"]
    assert [(record.tool, record.known) for record in seen.records] == [("echo", True)]


def test_a_call_that_was_let_through_before_the_list_came_is_told_of_under_its_name() -> None:
    asked = asyncio.Event()

    async def lists(line: Any, params: Any) -> Any:
        await asked.wait()
        return {"tools": line.peer.tools}

    async def answers(line: Any, params: Any) -> Any:
        asked.set()
        await asyncio.sleep(1)
        return {"content": []}

    assert_told_as_listed(observed(Peer(on={"tools/list": lists, "echo": answers}), echo, timeouts=Timeouts(total=60)))


def test_a_name_that_is_a_secret_stays_hidden_when_it_proves_to_be_listed() -> None:
    peer = Peer()
    peer.tools = [tool(SECRET)]
    seen = observed(peer, lambda router: router.call_tool(f"peer__{SECRET}"))
    assert {target for _, target in seen.shown} == {"[redacted]"}
    assert set(seen.measured(OPERATION)) | set(seen.measured(CALL)) == {"[redacted]"}
    assert [(record.tool, record.known) for record in seen.records] == [("[redacted]", True)]


# --- it is not


def test_a_tool_that_turns_out_not_to_exist_stays_unnamed() -> None:
    async def work(router: Router) -> None:
        with pytest.raises(RouterError) as failed:
            await router.call_tool(f"peer__{SECRET}", raise_on_error=True)
        assert failed.value.payload.code == "unknown_tool"
        assert SECRET not in str(failed.value.payload)

    assert_told_as_unknown(observed(Peer(), work), "[redacted]")


def test_a_tool_of_a_server_that_never_came_up_stays_unnamed() -> None:
    peer = Peer()
    peer.down = ConnectionRefusedError("no route")
    seen = observed(peer, echo, retry=Retry(attempts=2))
    assert_told_as_unknown(seen, "echo")
    assert len(seen.names(AttemptFinished)) == 2


def test_a_call_that_is_given_up_before_its_server_was_listed_stays_unnamed() -> None:
    assert_told_as_unknown(given_up_at("server/discover"), "echo")


# --- it was listed all along


def test_a_call_of_a_listed_tool_is_not_looked_up_again() -> None:
    settles: list[Any] = []

    async def policy(call: Any, call_next: Any) -> Any:
        settles.append((call.settle, call.trail.listed))
        return await call_next(call)

    async def work(router: Router) -> None:
        await echo(router)
        await echo(router)

    seen = observed(Peer(), work, lazy=False, chaos=(policy,))
    assert settles == [(None, None)] * 2
    assert seen.names(CallFinished) == [("echo", True)] * 2
