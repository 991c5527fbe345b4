"""Servers that ask in rounds: how often in one call, how many questions at once, and who ends it."""

import asyncio

import mcp_types as types
import pytest
from asks_kit import FORM, QUESTIONS, asking, our_side
from connection_kit import call_of, clocks, watched

from recloser import RouterError
from recloser.connection import Callbacks
from recloser.testing.clock import run_virtual
from support.peers import Peer, said


def rounds(count, *, state_only=False):
    """A tool that asks so many times before it answers."""

    async def handler(line, params):
        so_far = int(params.get("requestState", "0"))
        if so_far:
            expected = set() if state_only else {f"q{so_far}"}
            assert set(params.get("inputResponses", {})) == expected
        if so_far == count:
            return said(f"after {so_far}")
        result = {"resultType": "input_required", "requestState": str(so_far + 1)}
        if not state_only:
            result["inputRequests"] = {f"q{so_far + 1}": {"method": "elicitation/create", "params": FORM}}
        return result

    return handler


def test_a_server_may_ask_ten_times_in_one_call():
    async def main():
        async with watched(Peer(on={"ask": rounds(10)}).server(), Callbacks(**our_side())) as seen:
            assert await seen.call("ask") == "after 10"

    run_virtual(main)


def test_a_server_that_asks_without_end_is_stopped():
    async def main():
        async with watched(Peer(on={"ask": rounds(99)}).server(), Callbacks(**our_side())) as seen:
            with pytest.raises(RouterError) as caught:
                await seen.call("ask")
            assert caught.value.payload.code == "protocol_violation"
            assert not caught.value.evidence

    run_virtual(main)


def test_rounds_that_only_carry_state_slow_down_and_do_not_stop_the_clocks():
    async def main():
        async with watched(Peer(on={"wait": rounds(6, state_only=True)}).server()) as seen:
            await seen.connection.ready()
            loop = asyncio.get_running_loop()
            begun = loop.time()
            hands = clocks(5, 5)
            assert await seen.call("wait", **hands) == "after 6"
            assert loop.time() - begun == pytest.approx(0.05 + 0.1 + 0.2 + 3 * 0.25)
            assert hands["deadline"].at == begun + 5

    run_virtual(main)


def test_a_round_without_state_is_answered_without_state():
    async def asks(line, params):
        assert "requestState" not in params
        if "inputResponses" in params:
            return said("answered")
        asked = {"q": {"method": "roots/list"}}
        return {"resultType": "input_required", "inputRequests": asked}

    async def main():
        async with watched(Peer(on={"ask": asks}).server(), Callbacks(**our_side())) as seen:
            assert await seen.call("ask") == "answered"

    run_virtual(main)


def test_several_questions_of_one_round_are_put_at_once():
    async def asks(line, params):
        if "inputResponses" in params:
            return said(",".join(sorted(params["inputResponses"])))
        asked = {kind: {"method": method, "params": given} for kind, (method, given) in QUESTIONS.items()}
        return {"resultType": "input_required", "inputRequests": asked}

    async def main():
        async with watched(Peer(on={"ask": asks}).server(), Callbacks(**our_side(10))) as seen:
            await seen.connection.ready()
            begun = asyncio.get_running_loop().time()
            assert await seen.call("ask") == "elicitation,roots,sampling"
            assert asyncio.get_running_loop().time() == begun + 10

    run_virtual(main)


def test_a_question_that_our_side_declines_stays_declined_though_the_server_has_gone_meanwhile():
    async def main():
        async def elicitation(context, params):
            peer.line.end()
            await asyncio.sleep(1)
            return types.ErrorData(code=types.INVALID_REQUEST, message="no")

        peer = asking(Peer(), "elicitation")
        async with watched(peer.server(), Callbacks(elicitation=elicitation)) as seen:
            with pytest.raises(RouterError) as caught:
                await seen.call("ask")
            assert caught.value.payload.code == "invalid_request"

    run_virtual(main)


def test_a_caller_who_leaves_while_our_side_thinks_leaves_no_question_open():
    async def main():
        gone = []

        async def elicitation(context, params):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                gone.append(True)
                raise

        peer = asking(Peer(), "elicitation")
        async with watched(peer.server(), Callbacks(elicitation=elicitation)) as seen:
            await seen.connection.ready()
            call = asyncio.ensure_future(seen.connection.send(call_of("ask", **clocks(5, 5))))
            await asyncio.sleep(1)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            await asyncio.sleep(0)
            assert gone == [True]

    run_virtual(main)
