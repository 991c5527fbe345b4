"""Errands to an authorization server: one for all who need it, which outlives those it was begun for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx2
import pytest

from recloser.testing.clock import run_virtual
from recloser.transport.bodies import TooLarge
from recloser.transport.errands import ANSWER, LONGEST, SETTLE, UNWIND, Errand, Errands, Unavailable, may_pass

TOKEN = httpx2.Request("POST", "http://login.example/token")
Fetch = Callable[[httpx2.Request], Awaitable[httpx2.Response]]


async def never(request: httpx2.Request) -> httpx2.Response:
    await asyncio.Event().wait()
    raise AssertionError(request)


def nothing(errand: Errand) -> None:
    pass


class Held:
    """An authorization server that answers when it is let."""

    def __init__(self) -> None:
        self.asked = 0
        self.open = asyncio.Event()

    async def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.asked += 1
        await self.open.wait()
        return httpx2.Response(200, text="token", headers={"content-length": "5"}, request=request)


async def ask(errand: Errand) -> str:
    return (await errand.ask(TOKEN)).text


def test_all_who_need_the_same_wait_for_one_errand() -> None:
    async def main() -> None:
        server = Held()
        errands = Errands(server, 100)
        waiting = [asyncio.create_task(errands.join("token", ask, nothing)) for _ in range(5)]
        other = asyncio.create_task(errands.join("other", ask, nothing))
        await asyncio.sleep(0.1)
        assert server.asked == 2
        server.open.set()
        assert await asyncio.gather(*waiting, other) == ["token"] * 6
        assert await errands.join("token", ask, nothing) == "token"
        assert server.asked == 3

    run_virtual(main)


def test_an_answer_that_is_on_its_way_is_waited_for_though_nobody_needs_it_any_more() -> None:
    async def main() -> None:
        stored: list[str] = []

        async def refresh(errand: Errand) -> None:
            stored.append(await ask(errand))

        server = Held()
        errands = Errands(server, 100)
        caller = asyncio.create_task(errands.join("token", refresh, nothing))
        await asyncio.sleep(0.1)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        await asyncio.sleep(SETTLE * 3)
        server.open.set()
        await asyncio.sleep(0.1)
        assert stored == ["token"]

    run_virtual(main)


def test_a_person_whom_nobody_waits_for_is_left_alone_soon_but_a_retry_finds_the_sign_in_under_way() -> None:
    async def main() -> None:
        begun: list[str] = []
        done = asyncio.Event()

        async def sign_in(errand: Errand) -> str:
            begun.append("window")
            await done.wait()
            return "token"

        async def give_up() -> None:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1):
                    await errands.join("token", sign_in, nothing)

        errands = Errands(never, 100)
        await give_up()
        await asyncio.sleep(SETTLE / 2)
        await give_up()
        assert len(begun) == 1
        await asyncio.sleep(SETTLE + 0.1)
        retry = asyncio.create_task(errands.join("token", sign_in, nothing))
        await asyncio.sleep(SETTLE * 2)
        assert len(begun) == 2
        done.set()
        assert await retry == "token"

    run_virtual(main)


def test_an_authorization_server_that_hangs_is_given_up() -> None:
    async def main() -> None:
        told: list[Errand] = []
        loop = asyncio.get_running_loop()
        with pytest.raises(httpx2.ReadTimeout):
            await Errands(never, 100).join("token", ask, told.append)
        assert loop.time() == pytest.approx(ANSWER)
        assert [errand.status for errand in told] == [None]

    run_virtual(main)


def test_a_sign_in_that_never_ends_is_given_up() -> None:
    async def main() -> None:
        async def sign_in(errand: Errand) -> None:
            await asyncio.Event().wait()

        with pytest.raises(Unavailable):
            await Errands(never, 100).join("token", sign_in, nothing)
        assert asyncio.get_running_loop().time() == pytest.approx(LONGEST)

    run_virtual(main)


def test_closing_ends_all_errands_and_tells_those_who_wait() -> None:
    async def main() -> None:
        errands = Errands(never, 100)
        await errands.aclose()
        waiting = asyncio.create_task(errands.join("token", ask, nothing))
        await asyncio.sleep(0.1)
        await errands.aclose()
        with pytest.raises(Unavailable):
            await waiting
        assert asyncio.get_running_loop().time() == pytest.approx(0.1)

    run_virtual(main)


def test_closing_does_not_wait_for_a_sign_in_that_swallows_its_cancellation() -> None:
    async def main() -> None:
        async def stubborn(errand: Errand) -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                await asyncio.sleep(UNWIND * 5)

        errands = Errands(never, 100)
        waiting = asyncio.create_task(errands.join("token", stubborn, nothing))
        await asyncio.sleep(0.1)
        await errands.aclose()
        assert asyncio.get_running_loop().time() == pytest.approx(0.1 + UNWIND)
        await waiting

    run_virtual(main)


def test_what_makes_an_errand_fail_reaches_all_who_wait_with_what_the_server_said() -> None:
    async def main() -> None:
        answers = [(503, "7"), (200, "1")]

        async def down(request: httpx2.Request) -> httpx2.Response:
            status, wait = answers.pop(0)
            return httpx2.Response(status, headers={"retry-after": wait}, request=request)

        async def fails(errand: Errand) -> None:
            await errand.ask(TOKEN)
            await errand.ask(TOKEN)
            raise KeyError("no token")

        told: list[Errand] = []
        errands = Errands(down, 100)
        waiting = [asyncio.create_task(errands.join("token", fails, told.append)) for _ in range(2)]
        for each in waiting:
            with pytest.raises(KeyError):
                await each
        assert [(errand.status, errand.retry_after) for errand in told] == [(503, 7.0)] * 2

    run_virtual(main)


def body(size: int, *, chunked: bool) -> Fetch:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(size):
            yield b"x"

    async def answer(request: httpx2.Request) -> httpx2.Response:
        headers = {"transfer-encoding": "chunked"} if chunked else {"content-length": str(size)}
        response = httpx2.Response(200, headers=headers, content=parts(), request=request)
        response.next_request = TOKEN
        return response

    return answer


@pytest.mark.parametrize("chunked", [True, False])
def test_an_answer_is_whole_and_no_larger_than_a_message_may_be(chunked: bool) -> None:
    async def main() -> None:
        answer = await Errands(body(100, chunked=chunked), 100).fetch(TOKEN)
        assert (await answer.aread(), answer.next_request) == (b"x" * 100, TOKEN)
        with pytest.raises(TooLarge):
            await Errands(body(101, chunked=chunked), 100).fetch(TOKEN)

    run_virtual(main)


@pytest.mark.parametrize(("status", "passing"), [(None, False), (200, False), (400, False), (429, True), (503, True)])
def test_what_may_pass_is_told_by_the_status(status: int | None, passing: bool) -> None:
    assert may_pass(status) is passing
