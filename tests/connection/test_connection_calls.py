"""Calls over a connection: progress, schemas, other methods, and callers who leave."""

import asyncio

import pytest
from connection_kit import call_of, clocks, now, slow, watched

from recloser import Call, RouterError, Timeouts
from recloser.testing.clock import run_virtual
from support.peers import Peer, said, tool


def test_progress_gives_the_attempt_more_time_but_never_the_call():
    async def main():
        heard = []

        async def progress(done, total, message):
            heard.append((done, total, message))

        async def talks(line, params):
            token = params["_meta"]["progressToken"]
            for step in (1, 2):
                await asyncio.sleep(5)
                line.notify("notifications/progress", {"progressToken": token, "progress": step, "total": 2})
            await asyncio.sleep(1)
            return said("done")

        async with watched(Peer(on={"talks": talks}).server(timeouts=Timeouts(attempt=8))) as seen:
            await seen.connection.ready()
            hands = clocks(20, 8)
            assert await seen.call("talks", progress=progress, **hands) == "done"
            assert heard == [(1, 2, None), (2, 2, None)]
            assert hands["limit"].at == 10 + 8
            assert hands["deadline"].at == 20
            hands["limit"].pause(now())
            at = hands["limit"].at
            assert await seen.call("talks", progress=progress, **hands) == "done"
            assert hands["limit"].at == at  # a clock that stands still is left alone
            assert await seen.call("talks", progress=progress) == "done"

    run_virtual(main)


def test_a_progress_callback_that_fails_disturbs_nothing(caplog):
    async def main():
        async def progress(done, total, message):
            raise ValueError("no")

        async def talks(line, params):
            line.notify("notifications/progress", {"progressToken": params["_meta"]["progressToken"], "progress": 1})
            await asyncio.sleep(1)
            return said("done")

        async with watched(Peer(on={"talks": talks}).server()) as seen:
            assert await seen.call("talks", progress=progress) == "done"

    run_virtual(main)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (said("1", structuredContent={"n": 1}), None),
        (said("1", structuredContent={"n": "one"}), "invalid_result"),
        (said("1"), "invalid_result"),
        (said("failed", isError=True), None),
    ],
)
def test_results_are_held_against_their_schema_where_the_tool_has_one(answer, code):
    async def main():
        schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
        peer = Peer(on={"counts": lambda line, params: asyncio.sleep(0, dict(answer))})
        peer.tools.append(tool("counts", outputSchema=schema))
        async with watched(peer.server()) as seen:
            outcome = await asyncio.gather(seen.call("counts"), return_exceptions=True)
            told = outcome[0].payload if isinstance(outcome[0], RouterError) else None
            assert (None if told is None else told.code) == code
            if told is not None:
                assert told.delivered == "yes"

    run_virtual(main)


@pytest.mark.parametrize("schema", [{"type": 7}, {"$ref": "https://nowhere.invalid/schema"}])
def test_a_result_whose_schema_is_broken_is_an_answer(schema):
    async def main():
        peer = Peer(on={"odd": lambda line, params: asyncio.sleep(0, said("1", structuredContent={"n": 1}))})
        peer.tools.append(tool("odd", outputSchema={"type": "object", "properties": {"n": schema}}))
        async with watched(peer.server()) as seen:
            assert [await seen.call("odd") for _ in range(2)] == ["1", "1"]

    run_virtual(main)


def test_what_a_caller_says_of_his_own_goes_along():
    async def main():
        peer = Peer()
        async with watched(peer.server()) as seen:
            await seen.call(meta={"trace": "abc"})
            assert peer.line.seen[-1].params["_meta"]["trace"] == "abc"

    run_virtual(main)


def test_other_methods_than_calls_return_results_of_their_own_types():
    async def main():
        async def reads(line, params):
            return {"contents": [{"uri": params["uri"], "text": "inside"}]}

        async def prompts(line, params):
            return {"messages": []}

        async def completes(line, params):
            return {"completion": {"values": ["a"]}}

        peer = Peer(on={"resources/read": reads, "prompts/get": prompts, "completion/complete": completes})
        async with watched(peer.server()) as seen:
            send = seen.connection.send
            read = await send(Call(method="resources/read", key="a", params={"uri": "a://b"}))
            assert read.contents[0].text == "inside"
            prompt = await send(Call(method="prompts/get", key="a", params={"name": "p", "arguments": {}}))
            assert prompt.messages == []
            ref = {"type": "ref/prompt", "name": "p"}
            params = {"ref": ref, "argument": {"name": "x", "value": "a"}}
            complete = await send(Call(method="completion/complete", key="a", params=params))
            assert complete.completion.values == ["a"]

    run_virtual(main)


def test_a_caller_who_leaves_is_heard_of_by_the_server_and_goes_as_he_came():
    async def main():
        peer = Peer(on={"slow": slow})
        async with watched(peer.server()) as seen:
            await seen.connection.ready()
            call = asyncio.ensure_future(seen.connection.send(call_of("slow")))
            await asyncio.sleep(1)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            await asyncio.sleep(0.01)
            assert peer.cancelled == 1
            assert seen.connection.number == 1

    run_virtual(main)
