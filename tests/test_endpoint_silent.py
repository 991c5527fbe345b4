"""A connection that falls silent: whichever it is, it is looked at, and replaced where there is no sign of life."""

import asyncio

import pytest

from recloser import Breaker, CircuitOpen, Retry, RouterError, Timeouts
from recloser.events import CircuitChanged
from recloser.testing.clock import run_virtual
from recloser.testing.leaks import no_leaks
from support.endpoints import ONCE, SHORT
from support.peers import Peer, Refusal, Silence, said
from support.routers import hangs, now, text
from support.upstreams import call_of, watched

ERAS = pytest.mark.parametrize("modern", [True, False], ids=["modern", "legacy"])
SESSIONS = pytest.mark.parametrize("session", [None, "alice"], ids=["shared", "session"])


class Freezing(Peer):
    """A peer some of whose lines read and answer nothing any more."""

    def __init__(self, **options):
        super().__init__(**options)
        self.frozen = set()

    async def answer(self, line, request):
        if line.number in self.frozen:
            raise Silence
        return await super().answer(line, request)

    @property
    def looks(self):
        """How often each line was asked for a sign of life, beyond what its start asks."""
        asked = [[one.method for one in line.seen] for line in self.lines]
        return [methods.count("ping") + methods.count("server/discover") - 1 for methods in asked]


class OneAtATime(Freezing):
    """A server of the handshake era that does one thing after the other."""

    def __init__(self, **options):
        super().__init__(modern=False, **options)
        self.busy = asyncio.Lock()

    async def answer(self, line, request):
        async with self.busy:
            return await super().answer(line, request)


def states(seen):
    return [(event.state, event.reason) for event in seen.of(CircuitChanged)]


async def both(seen):
    """Open the shared connection and one of a session: the first line and the second."""
    await seen.call("echo")
    await seen.call("echo", session="alice")


async def fail(seen, times, *, session, name="echo", also=()):
    """Make calls of one session, one after the other, that time out, and one of each of `also` after each."""
    for _ in range(times):
        with pytest.raises(RouterError) as caught:
            await seen.call(name, session=session)
        assert caught.value.payload.code == "timeout"
        for other in also:
            await seen.call("echo", session=other)


OTHERS = {None: "alice", "alice": None}
LINES = {None: 1, "alice": 2}
LONG = Breaker(open_for=100, open_cap=100)


@ERAS
@SESSIONS
def test_a_connection_that_falls_silent_is_replaced_whosever_it_is(modern, session):
    async def main():
        made = Freezing(modern=modern)
        async with watched(made.server(retry=ONCE, timeouts=SHORT, breaker=LONG)) as seen:
            await both(seen)
            made.frozen.add(LINES[session])
            await fail(seen, 5, session=session)
            assert seen.circuit.state == "open"
            await asyncio.sleep(1.9)
            assert len(made.lines) == 2  # the look has its time
            await asyncio.sleep(0.2)
            assert len(made.lines) == 3
            assert states(seen) == [("open", "failures"), ("half_open", "reconnected")]
            assert text(await seen.call("echo", session=session)) == "echo"
            assert seen.circuit.state == "closed"
            await seen.call("echo", session=OTHERS[session])
            assert len(made.lines) == 3  # the other one was left alone
            assert made.looks[LINES[OTHERS[session]] - 1] == 0

    run_virtual(main)


@ERAS
@SESSIONS
def test_a_silent_connection_is_replaced_also_while_others_keep_the_circuit_closed(modern, session):
    async def main():
        made = Freezing(modern=modern)
        async with watched(made.server(retry=ONCE, timeouts=SHORT)) as seen:
            await both(seen)
            made.frozen.add(LINES[session])
            await fail(seen, 5, session=session, also=[OTHERS[session]])
            await asyncio.sleep(2.1)
            assert text(await seen.call("echo", session=session)) == "echo"
            assert len(made.lines) == 3
            assert states(seen) == []

    run_virtual(main)


def test_a_silent_connection_is_replaced_also_where_the_circuit_is_switched_off():
    async def main():
        made = Freezing()
        server = made.server(retry=ONCE, timeouts=SHORT, breaker=Breaker(enabled=False, consecutive=3))
        async with watched(server) as seen:
            await seen.call("echo")
            made.frozen.add(1)
            await fail(seen, 3, session=None)
            await asyncio.sleep(2.1)
            assert text(await seen.call("echo")) == "echo"

    run_virtual(main)


@ERAS
def test_calls_that_hang_cost_a_connection_nothing_that_gives_a_sign_of_life(modern):
    async def main():
        made = Freezing(modern=modern, on={"hangs": hangs})
        async with watched(made.server(retry=ONCE, timeouts=SHORT)) as seen:
            await both(seen)
            await fail(seen, 12, session="alice", name="hangs", also=[None])
            assert made.looks == [0, 2]  # the fifth and the tenth in a row
            assert len(made.lines) == 2
            assert states(seen) == []

    run_virtual(main)


def test_a_connection_that_answers_other_calls_is_not_looked_at():
    async def refuses(line, params):
        raise Refusal(-32602, "no")

    async def main():
        made = Freezing(on={"hangs": hangs, "refuses": refuses})
        async with watched(made.server(retry=ONCE, timeouts=SHORT)) as seen:
            await both(seen)
            for _ in range(3):
                await fail(seen, 4, session="alice", name="hangs", also=[None])
                with pytest.raises(RouterError):
                    await seen.call("refuses", session="alice")
            assert made.looks == [0, 0]

    run_virtual(main)


def test_one_call_that_tries_many_times_begins_no_look():
    async def main():
        made = Freezing(on={"hangs": hangs})
        server = made.server(retry=Retry(attempts=10, backoff=0.01), timeouts=Timeouts(attempt=2, total=40))
        async with watched(server) as seen:
            await both(seen)
            call = call_of("hangs", session="alice", safe=True)
            with pytest.raises(RouterError):
                await seen.upstream.send(call)
            assert call.trail.attempts == 10
            assert made.looks == [0, 0]

    run_virtual(main)


@ERAS
def test_a_silent_connection_is_replaced_when_an_attempt_would_have_timed_out_however_long_that_is(modern):
    async def main():
        made = Freezing(modern=modern)
        async with watched(made.server(retry=ONCE, breaker=LONG)) as seen:
            await seen.call("echo")
            made.frozen.add(1)
            await seen.fail(5, "echo")
            assert now() == 30
            await asyncio.sleep(29.9)
            assert len(made.lines) == 1
            await asyncio.sleep(0.2)
            assert len(made.lines) == 2
            assert states(seen)[-1] == ("half_open", "reconnected")

    run_virtual(main)


# --- calls that go on


async def talks(line, params):
    """Tell of its progress for ten seconds."""
    for step in range(10):
        await asyncio.sleep(1)
        token = params["_meta"]["progressToken"]
        line.notify("notifications/progress", {"progressToken": token, "progress": step})
    return said("done")


async def heard(progress, total, message):
    """Take notice."""


@pytest.mark.parametrize("circuit", ["open", "closed"])
def test_a_server_that_does_one_thing_at_a_time_does_not_lose_the_long_call_that_it_is_busy_with(circuit):
    async def main():
        made = OneAtATime(on={"talks": talks})
        breaker = Breaker(open_for=100, open_cap=100, enabled=circuit == "open")
        server = made.server(retry=ONCE, timeouts=Timeouts(attempt=2, total=20), breaker=breaker)
        async with watched(server) as seen:
            await seen.call("echo")
            long = asyncio.ensure_future(seen.call("talks", progress=heard))
            await asyncio.sleep(0.5)
            await seen.fail(5, "echo")  # until 2.5; no sign of life until 4.5, nor when it is looked for again
            assert text(await long) == "done"
            assert now() == 10
            await asyncio.sleep(5)
            assert text(await seen.call("echo")) == "echo"
            assert len(made.lines) == 1

    run_virtual(main)


def test_a_server_that_answers_calls_but_no_probe_is_not_replaced_while_it_does():
    async def main():
        async def slow(line, params):
            await asyncio.sleep(1.5)
            return said("slow")

        made = Freezing(modern=False, on={"slow": slow, "hangs": hangs, "ping": hangs})
        async with watched(made.server(retry=ONCE, timeouts=SHORT, breaker=Breaker(enabled=False))) as seen:
            await seen.call("echo")
            await seen.fail(5, "hangs")
            assert text(await seen.call("slow")) == "slow"
            await asyncio.sleep(5)
            assert made.looks == [1]
            assert len(made.lines) == 1
            await fail(seen, 5, session=None, name="hangs")
            await asyncio.sleep(2.1)
            assert len(made.lines) == 2  # nothing was heard of it this time

    run_virtual(main)


def test_calls_that_come_while_a_silent_server_is_looked_at_do_not_keep_it():
    async def main():
        made = Freezing()
        async with watched(made.server(retry=ONCE, timeouts=SHORT, breaker=Breaker(enabled=False))) as seen:
            await seen.call("echo")
            made.frozen.add(1)
            await seen.fail(5, "echo")
            await asyncio.sleep(0.5)
            late = asyncio.ensure_future(seen.call("echo"))
            await asyncio.sleep(1.4)
            assert not late.done()
            with pytest.raises(RouterError) as caught:
                await late
            assert caught.value.payload.code == "connection_lost"
            assert caught.value.payload.delivered == "maybe"
            assert text(await seen.call("echo")) == "echo"

    run_virtual(main)


# --- looking while a circuit opens


def test_a_connection_that_falls_silent_when_its_circuit_half_opens_is_replaced():
    async def main():
        made = Freezing(on={"hangs": hangs})
        async with watched(made.server(retry=ONCE, timeouts=SHORT)) as seen:
            await both(seen)
            await fail(seen, 5, session="alice", name="hangs")
            await asyncio.sleep(0.1)  # it is looked at, and well
            made.frozen.add(2)
            await asyncio.sleep(5)
            with pytest.raises(RouterError) as caught:
                await seen.call("echo", session="alice")
            assert caught.value.payload.code == "unreachable"
            assert caught.value.payload.delivered == "no"
            await asyncio.sleep(2.1)
            assert states(seen)[-2:] == [("open", "probe_failed"), ("half_open", "reconnected")]
            assert text(await seen.call("echo", session="alice")) == "echo"
            assert len(made.lines) == 3

    run_virtual(main)


def test_a_look_goes_on_to_its_end_however_often_the_circuit_opens_meanwhile():
    async def main():
        made = Freezing()
        server = made.server(retry=ONCE, timeouts=Timeouts(attempt=20, total=20))
        async with watched(server) as seen:
            await both(seen)
            made.frozen.add(2)
            calls = (asyncio.ensure_future(seen.call("echo", session="alice")) for _ in range(5))
            await asyncio.gather(*calls, return_exceptions=True)
            assert now() == 20
            for pause in (5.1, 10.1):
                await asyncio.sleep(pause)
                hasty = call_of("echo", session="alice", timeout=0.5)
                with pytest.raises(RouterError) as caught:
                    await seen.upstream.send(hasty)
                assert caught.value.payload.code == "unreachable"
            assert [state for state, _ in states(seen)] == ["open", "half_open", "open", "half_open", "open"]
            await asyncio.sleep(40 - now() + 0.1)
            assert len(made.lines) == 3

    run_virtual(main)


def test_a_session_that_is_replaced_under_its_own_probe_half_opens_the_circuit_again_at_once():
    async def main():
        made = Freezing()
        breaker = Breaker(open_for=1, open_cap=100)
        async with watched(made.server(retry=ONCE, timeouts=SHORT, breaker=breaker)) as seen:
            await both(seen)
            made.frozen.add(2)
            await fail(seen, 5, session="alice")
            await asyncio.sleep(1.1)
            with pytest.raises(RouterError) as caught:
                await seen.call("echo", session="alice")  # it waits for a sign of life when the look ends
            assert caught.value.payload.code == "connection_lost"
            await asyncio.sleep(0.1)
            assert states(seen)[-2:] == [("open", "probe_failed"), ("half_open", "reconnected")]
            assert text(await seen.call("echo", session="alice")) == "echo"

    run_virtual(main)


def test_a_session_that_comes_back_says_nothing_of_a_circuit_that_opened_for_others():
    async def main():
        made = Freezing(on={"hangs": hangs})
        async with watched(made.server(retry=ONCE, timeouts=SHORT, breaker=LONG)) as seen:
            await both(seen)
            await fail(seen, 5, session=None, name="hangs")
            made.lines[1].end()
            await asyncio.sleep(10)
            assert len(made.lines) == 3
            assert states(seen) == [("open", "failures")]
            with pytest.raises(CircuitOpen):
                await seen.call("echo", session="alice")

    run_virtual(main)


def test_a_call_whose_session_is_closed_under_it_begins_no_look():
    async def main():
        made = Freezing(on={"hangs": hangs})
        breaker = Breaker(consecutive=1, open_for=100, open_cap=100)
        async with watched(made.server(retry=ONCE, timeouts=SHORT, breaker=breaker)) as seen:
            await both(seen)
            call = asyncio.ensure_future(seen.call("hangs", session="alice"))
            await asyncio.sleep(1)
            await seen.endpoint.close_session("alice")
            with pytest.raises(RouterError) as caught:
                await call
            assert caught.value.payload.code == "connection_lost"
            await asyncio.sleep(10)
            assert states(seen) == []
            assert made.looks == [0, 0]

    run_virtual(main)


@pytest.mark.parametrize("reach", [0, 1.5, 2.5])
def test_a_session_that_is_closed_while_it_is_looked_at_leaves_nothing(reach):
    async def main():
        async with no_leaks():
            made = Freezing()
            async with watched(made.server(retry=ONCE, timeouts=SHORT, breaker=LONG)) as seen:
                await both(seen)
                made.frozen |= {2, 3}
                await fail(seen, 5, session="alice")
                await asyncio.sleep(reach)
                await seen.endpoint.close_session("alice")
                await asyncio.sleep(60)
                assert len(made.lines) == (3 if reach > 2 else 2)

    run_virtual(main)
