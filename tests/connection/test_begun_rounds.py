"""A tool that has asked in one round has begun: no refusal of a later round proves that nothing has run."""

import pytest
from asks_kit import FORM, asking, our_side
from connection_kit import call_of, run, watched

from recloser import Breaker, Retry, Router, RouterError, Server, error_of
from recloser.connection import Callbacks
from recloser.testing.clock import run_virtual
from support.http_faults import ANSWER, FaultServer
from support.peers import Peer

LISTED = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
ASKED = {"q": {"method": "elicitation/create", "params": FORM}}
EAGER = {"retry": Retry(attempts=3, backoff=0.01, throttled_backoff=0.01), "breaker": Breaker(enabled=False)}


def status(code):
    async def answer(exchange):
        await exchange.reply(code)

    return answer


async def reset(exchange):
    exchange.reset()


class Shop(FaultServer):
    """A server whose tool `pay` asks before it pays; what it is told is met by `then`, if there is such a thing."""

    def __init__(self, then=None):
        super().__init__(on={"tools/list": self._list, "pay": self._pay})
        self.then = then
        self.begun = 0
        self.header = "A"

    async def _list(self, exchange):
        text = {"type": "string", "x-mcp-header": self.header}
        schema = {"type": "object", "properties": {"text": text}}
        await exchange.result({"tools": [{"name": "pay", "inputSchema": schema}], **LISTED})

    async def _pay(self, exchange):
        if "inputResponses" in exchange.message["params"]:
            then, self.then = self.then, None
            await (exchange.result(ANSWER) if then is None else then(exchange))
            return
        self.begun += 1
        await exchange.result({"resultType": "input_required", "inputRequests": ASKED, "requestState": "S"})


def counted():
    """Callbacks, and how often they were asked."""
    asked = []
    elicitation = our_side()["elicitation"]

    async def counting(context, params):
        asked.append(params)
        return await elicitation(context, params)

    return counting, asked


@pytest.mark.parametrize(
    ("then", "code"),
    [
        (status(429), "overloaded"),
        (status(401), "unauthenticated"),
        (status(400), "invalid_request"),
        (status(503), "server_error"),
        (reset, "connection_lost"),
    ],
    ids=["429", "401", "400", "503", "reset"],
)
def test_a_tool_that_has_asked_is_not_begun_again_when_the_answer_is_refused(then, code):
    async def main():
        elicitation, asked = counted()
        async with (
            Shop(then) as shop,
            Router(Server("shop", shop.url, era="modern", **EAGER), elicitation=elicitation) as router,
        ):
            error = error_of(await router.call_tool("shop__pay", {"text": "t"}))
            assert (error.code, error.delivered, error.attempts) == (code, "maybe", 1)
            assert (shop.begun, len(asked)) == (1, 1)

    run(main)


def test_a_tool_that_may_be_repeated_is_begun_again():
    async def main():
        elicitation, asked = counted()
        async with (
            Shop(status(429)) as shop,
            Router(Server("shop", shop.url, era="modern", **EAGER), elicitation=elicitation) as router,
        ):
            result = await router.call_tool("shop__pay", {"text": "t"}, idempotent=True)
            assert error_of(result) is None
            assert (shop.begun, len(asked)) == (2, 2)

    run(main)


def test_a_tool_that_has_asked_may_have_run_though_the_answer_could_not_be_written():
    async def main():
        async def elicitation(context, params):
            peer.line.from_client.close()  # it does not read any more, and has not gone yet
            return await our_side()["elicitation"](context, params)

        peer = asking(Peer(), "elicitation")
        async with watched(peer.server(), Callbacks(elicitation=elicitation)) as seen:
            call = call_of("ask")
            with pytest.raises(RouterError) as caught:
                await seen.connection.send(call)
            assert (caught.value.payload.code, caught.value.payload.delivered) == ("connection_lost", "maybe")
            assert call.trail.sent

    run_virtual(main)


def test_a_round_whose_headers_do_not_match_any_more_is_sent_again_and_no_other():
    async def main():
        async def elicitation(context, params):
            asked.append(params)
            shop.header = "B"
            return await our_side()["elicitation"](context, params)

        async def mismatch(exchange):
            await exchange.error(400, -32020, "the headers do not match the body")

        asked = []
        async with (
            Shop(mismatch) as shop,
            watched(Server("peer", shop.url, era="modern"), Callbacks(elicitation=elicitation)) as seen,
        ):
            assert await seen.call("pay", arguments={"text": "t"}) == "ok"
            assert (shop.begun, len(asked)) == (1, 1)
            answered = [each.headers for each in shop.seen if each.method == "tools/call"][1:]
            assert ["mcp-param-a" in headers for headers in answered] == [True, False]
            assert ["mcp-param-b" in headers for headers in answered] == [False, True]

    run(main)
