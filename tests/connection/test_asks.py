"""What servers ask of our side, and what happens to the clocks meanwhile."""

import asyncio
from typing import Annotated

import mcp_types as types
import pytest
from asks_kit import QUESTIONS, asking, our_side
from connection_kit import ERAS, clocks, watched
from mcp.server import MCPServer
from mcp.server.mcpserver import Elicit, Resolve
from pydantic import BaseModel

from recloser import Router, RouterError, Server, Timeouts, error_of
from recloser.connection import Callbacks
from recloser.testing.clock import run_virtual
from recloser.testing.faulty import FaultyHttp, FaultyStdio
from support.peers import Peer, Silence, said

EXPECTED = {"elicitation": '"answer"', "sampling": "a-model", "roots": "file:///home/me"}
KINDS = pytest.mark.parametrize("kind", list(QUESTIONS))


@KINDS
@ERAS
def test_the_clocks_of_a_call_stand_still_while_our_side_thinks(modern, kind):
    async def main():
        peer = asking(Peer(modern=modern), kind)
        async with watched(peer.server(), Callbacks(**our_side(100))) as seen:
            await seen.connection.ready()
            loop = asyncio.get_running_loop()
            begun = loop.time()
            hands = clocks(total=5, attempt=2)
            assert EXPECTED[kind] in await seen.call("ask", **hands)
            assert loop.time() == begun + 100
            assert hands["deadline"].at == begun + 105
            assert hands["limit"].at == begun + 102
            assert not hands["deadline"].paused

    run_virtual(main)


class Answer(BaseModel):
    answer: str


async def question() -> Elicit[Answer]:
    return Elicit("What?", Answer)


def an_asking_server():
    server = MCPServer("asks", log_level="ERROR")

    @server.tool()
    async def ask(got: Annotated[Answer, Resolve(question)]) -> str:
        return got.answer

    return server


@pytest.mark.parametrize("era", ["auto", "legacy", "modern"])
def test_a_call_with_a_short_attempt_survives_a_long_answer_of_ours_within_one_process(era):
    async def main():
        times = Timeouts(attempt=0.3, total=0.5)
        server = Server("asks", an_asking_server(), era=era, timeouts=times)
        async with Router(server, elicitation=our_side(100)["elicitation"]) as router:
            result = await router.call_tool("asks__ask")
            assert result.content[0].text == "42"
            assert asyncio.get_running_loop().time() >= 100

    run_virtual(main)


@KINDS
@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_questions_arrive_over_http_and_answers_go_back(era, kind):
    async def main():
        async with FaultyHttp(era=era) as faulty:
            callbacks = Callbacks(**our_side())
            async with watched(Server("peer", faulty.url), callbacks) as seen:
                assert EXPECTED[kind] in await seen.call("ask", arguments={"kind": kind})

    asyncio.run(main())


@pytest.mark.processes
@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_questions_arrive_over_a_pipe_and_answers_go_back(era):
    async def main():
        with FaultyStdio(era=era) as faulty:
            server = Server("peer", command=faulty.command, args=faulty.args)
            async with watched(server, Callbacks(**our_side())) as seen:
                for kind, expected in EXPECTED.items():
                    assert expected in await seen.call("ask", arguments={"kind": kind})

    asyncio.run(main())


@KINDS
@ERAS
def test_what_nobody_answers_is_not_offered(modern, kind):
    async def main():
        peer = Peer(modern=modern)
        callbacks = our_side()
        del callbacks[kind]
        async with watched(peer.server(), Callbacks(**callbacks)) as seen:
            await seen.connection.ready()
            await seen.call("echo")
            if modern:
                offered = peer.line.seen[-1].params["_meta"]["io.modelcontextprotocol/clientCapabilities"]
            else:
                offered = next(m for m in peer.line.seen if m.method == "initialize").params["capabilities"]
            assert set(QUESTIONS) - {kind} <= set(offered)
            assert kind not in offered

    run_virtual(main)


@ERAS
def test_a_question_that_nobody_can_answer_is_refused(modern):
    async def main():
        peer = asking(Peer(modern=modern), "roots")
        async with watched(peer.server()) as seen:
            if not modern:
                assert "not supported" in await seen.call("ask")
                return
            with pytest.raises(RouterError) as caught:
                await seen.call("ask")
            payload = caught.value.payload
            assert (payload.code, payload.delivered, payload.next_action) == (
                "invalid_request",
                "maybe",
                "use_other_tool",
            )
            assert not caught.value.evidence

    run_virtual(main)


@ERAS
def test_an_answer_of_ours_that_takes_too_long_is_nobodys_fault(modern):
    async def main():
        peer = asking(Peer(modern=modern), "elicitation")
        server = peer.server(timeouts=Timeouts(callback=7))
        async with watched(server, Callbacks(**our_side(1000))) as seen:
            await seen.connection.ready()
            begun = asyncio.get_running_loop().time()
            if modern:
                with pytest.raises(RouterError) as caught:
                    await seen.call("ask")
                assert caught.value.payload.code == "timeout"
                assert not caught.value.evidence
            else:
                assert await seen.call("ask") == "no answer to elicitation in 7 s"
            assert asyncio.get_running_loop().time() == begun + 7

    run_virtual(main)


async def raises(*_):
    raise TimeoutError("of the host's own")


async def returns_nothing(*_):
    return None


def is_no_coroutine(*_):
    raise ValueError("at once")


@pytest.mark.parametrize("bad", [raises, returns_nothing, is_no_coroutine])
@ERAS
def test_a_callback_that_fails_ends_neither_the_session_nor_the_call_of_somebody_else(modern, bad, caplog):
    async def main():
        peer = asking(Peer(modern=modern), "elicitation")
        async with watched(peer.server(), Callbacks(elicitation=bad)) as seen:
            if modern:
                with pytest.raises(RouterError) as caught:
                    await seen.call("ask")
                assert caught.value.payload.code == "invalid_request"
            else:
                assert await seen.call("ask") == "the callback for elicitation failed"
            assert await seen.call("echo") == "echo"
            assert seen.connection.number == 1

    run_virtual(main)
    assert "server peer asked for elicitation and the callback failed" in caplog.text


def test_a_callback_may_decline_with_an_error_of_its_own():
    async def declines(context, params):
        return types.ErrorData(code=types.INVALID_REQUEST, message="the user says no")

    async def main():
        peer = asking(Peer(modern=False), "elicitation")
        async with watched(peer.server(), Callbacks(elicitation=declines)) as seen:
            assert await seen.call("ask") == "the user says no"

    run_virtual(main)


def test_over_a_pipe_a_question_stops_the_clocks_of_all_calls_in_flight():
    """Nothing says which of them it belongs to."""

    async def main():
        peer = asking(Peer(modern=False), "elicitation")

        async def slow(line, params):
            await asyncio.sleep(120)
            return said("slow")

        peer.on["slow"] = slow
        server = peer.server(timeouts=Timeouts(attempt=30, total=60))
        async with Router(server, elicitation=our_side(100)["elicitation"]) as router:
            other = asyncio.ensure_future(router.call_tool("peer__slow", timeout=60))
            await asyncio.sleep(0)
            mine = await router.call_tool("peer__ask", timeout=60)
            assert "42" in mine.content[0].text
            assert (await other).content[0].text == "slow"

    run_virtual(main)


def test_in_the_modern_era_a_question_stops_the_clocks_of_its_own_call_only():
    async def main():
        peer = asking(Peer(), "elicitation")

        async def slow(line, params):
            raise Silence

        peer.on["slow"] = slow
        server = peer.server(timeouts=Timeouts(attempt=30, total=30))
        async with Router(server, elicitation=our_side(100)["elicitation"]) as router:
            other = asyncio.ensure_future(router.call_tool("peer__slow"))
            await asyncio.sleep(0)
            mine = asyncio.ensure_future(router.call_tool("peer__ask"))
            assert error_of(await other).code == "timeout"
            assert asyncio.get_running_loop().time() == pytest.approx(30, abs=0.1)
            assert "42" in (await mine).content[0].text

    run_virtual(main)


def test_a_question_that_comes_on_its_calls_own_stream_stops_the_clocks_of_that_call_only():
    async def main():
        async with FaultyHttp(era="legacy") as faulty:
            asked, answer = asyncio.Event(), asyncio.Event()

            async def elicitation(context, params):
                asked.set()
                await answer.wait()
                return types.ElicitResult(action="accept", content={"answer": "42"})

            async with watched(Server("peer", faulty.url), Callbacks(elicitation=elicitation)) as seen:
                await seen.connection.ready()
                mine, other = clocks(60, 60), clocks(60, 60)
                calls = [
                    asyncio.ensure_future(seen.call("ask", arguments={"kind": "elicitation"}, **mine)),
                    asyncio.ensure_future(seen.call("sleep", arguments={"seconds": 0.05}, **other)),
                ]
                await asked.wait()
                assert mine["deadline"].paused and mine["limit"].paused
                assert not other["deadline"].paused
                assert await calls[1] == "slept"
                answer.set()
                assert "42" in await calls[0]

    asyncio.run(main())


def test_a_question_between_two_calls_stops_no_clock_and_is_answered_nevertheless():
    async def main():
        peer = Peer(modern=False)
        async with watched(peer.server(), Callbacks(**our_side())) as seen:
            await seen.connection.ready()
            assert await peer.line.ask("roots/list", {}) == {"roots": [{"uri": "file:///home/me"}]}

    run_virtual(main)
