"""A connection that is kept up: how it comes, goes, comes back and is closed."""

import asyncio
import logging
from itertools import pairwise

import pytest
from connection_kit import Watched, call_of, clocks, watched

from recloser import Call, RouterError, Timeouts
from recloser.connection import Callbacks, Connection
from recloser.testing.clock import run_virtual
from support.peers import Peer, Refusal, Silence, said, tool

ERAS = pytest.mark.parametrize("modern", [True, False], ids=["modern", "legacy"])


def now():
    return asyncio.get_running_loop().time()


async def hangs(line, params):
    raise Silence


async def slow(line, params):
    await asyncio.sleep(5)
    return said("slow")


async def dies(line, params):
    line.end()
    raise Silence


def broken(peer):
    peer.down = ConnectionRefusedError("nobody there")
    return peer


# --- it comes


def test_nothing_happens_before_somebody_needs_it():
    async def main():
        peer = Peer()
        async with watched(peer.server()) as seen:
            await asyncio.sleep(10)
            assert (seen.states, peer.lines, seen.connection.state) == ([], [], "idle")
            assert await seen.call() == "echo"
            assert seen.states == ["connecting", "ready"]

    run_virtual(main)


def test_a_connection_that_is_started_connects_by_itself_and_once():
    async def main():
        peer = Peer()
        async with watched(peer.server()) as seen:
            seen.connection.start()
            seen.connection.start()
            await seen.until("ready")
            assert len(peer.lines) == 1
            assert seen.connection.error is None

    run_virtual(main)


def test_many_callers_who_come_at_once_share_one_try():
    async def main():
        peer = Peer()
        async with watched(peer.server()) as seen:
            assert await asyncio.gather(*(seen.call() for _ in range(50))) == ["echo"] * 50
            assert len(peer.lines) == 1

    run_virtual(main)


def test_everyone_who_waited_for_a_try_that_failed_gets_an_error_of_his_own():
    async def main():
        async with watched(broken(Peer()).server()) as seen:
            errors = await asyncio.gather(*(seen.connection.ready() for _ in range(20)), return_exceptions=True)
            assert {error.payload.code for error in errors} == {"unreachable"}
            assert len({id(error) for error in errors}) == 20
            assert all(error.__cause__ is seen.connection.error for error in errors)
            assert seen.states == ["connecting", "failed"]

    run_virtual(main)


def test_a_waiter_who_leaves_takes_nothing_from_the_others():
    async def main():
        peer = Peer(on={"tools/list": slow_list})
        async with watched(peer.server()) as seen:
            waiting = [asyncio.ensure_future(seen.connection.ready()) for _ in range(3)]
            await asyncio.sleep(1)
            waiting[1].cancel()
            first, second, third = await asyncio.gather(*waiting, return_exceptions=True)
            assert first is third
            assert isinstance(second, asyncio.CancelledError)

    run_virtual(main)


async def slow_list(line, params):
    await asyncio.sleep(5)
    return {"tools": line.peer.tools}


def test_a_start_that_takes_too_long_is_given_up_and_all_who_wait_are_told_at_once():
    async def main():
        peer = Peer(on={"initialize": hangs})
        async with watched(peer.server(era="legacy", timeouts=Timeouts(start=7))) as seen:
            with pytest.raises(RouterError) as caught:
                await seen.connection.ready()
            assert now() == 7
            assert caught.value.payload.code == "unreachable"
            assert "timeouts.start" in caught.value.payload.message
            assert caught.value.payload.server == "peer"
            del peer.on["initialize"]
            await seen.connection.ready()

    run_virtual(main)


class Slow:
    """A transport that takes a while to close, and notes who disturbs it."""

    def __init__(self, peer, seconds):
        self.inner = peer()
        self.seconds = seconds
        self.disturbed = 0
        self.closed = False

    async def __aenter__(self):
        return await self.inner.__aenter__()

    async def __aexit__(self, *error):
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            self.disturbed += 1
            raise
        finally:
            await self.inner.__aexit__(*error)
            self.closed = True


def slowly(peer, seconds):
    made = []

    def make():
        made.append(Slow(peer, seconds))
        return made[-1]

    server = peer.server(timeouts=Timeouts(start=7, shutdown=4))
    object.__setattr__(server, "target", make)
    return server, made


def test_whoever_waits_for_a_start_that_failed_does_not_wait_for_the_closing():
    async def main():
        peer = Peer(on={"tools/list": refuses_once})
        server, made = slowly(peer, 3)
        async with watched(server) as seen:
            with pytest.raises(RouterError):
                await seen.connection.ready()
            assert now() == 0
            await seen.connection.ready()
            assert now() < 3  # the next one connects while the last one closes
            assert not made[0].closed

    run_virtual(main)


async def refuses_once(line, params):
    if line.number == 1:
        raise Refusal(-32603, "not yet")
    return {"tools": line.peer.tools}


def test_an_owner_that_closes_is_not_cancelled_by_the_alarm_of_its_start():
    async def main():
        async def late(line, params):
            await asyncio.sleep(6.5)
            raise Refusal(-32603, "no")

        server, made = slowly(Peer(on={"tools/list": late}), 2)
        async with watched(server) as seen:
            with pytest.raises(RouterError) as caught:
                await seen.connection.ready()
            assert caught.value.payload.code == "server_fault"
            await asyncio.sleep(4)
            assert (made[0].disturbed, made[0].closed) == (0, True)

    run_virtual(main)


@pytest.mark.parametrize("wait", [0, 1, 100])
def test_an_owner_is_never_cancelled_while_it_closes(wait):
    async def main():
        server, made = slowly(Peer(), 2)
        seen = Watched(server)
        await seen.connection.ready()
        await asyncio.sleep(wait)
        await asyncio.gather(seen.connection.close(), seen.connection.close())
        assert (made[0].disturbed, made[0].closed) == (0, True)
        assert seen.states == ["connecting", "ready", "closed"]

    run_virtual(main)


# --- it goes, and comes back


@ERAS
def test_a_server_that_dies_is_connected_to_again(modern):
    async def main():
        peer = Peer(modern=modern)
        async with watched(peer.server()) as seen:
            await seen.connection.ready()
            await asyncio.sleep(10)
            peer.line.end()
            await seen.until("ready", 2)
            assert now() == 10  # it had lived long enough: no back-off
            assert seen.codes == [None, None, "connection_lost", None, None]
            assert await seen.call() == "echo"

    run_virtual(main)


def test_calls_in_flight_of_a_server_that_dies_are_lost_and_may_have_run():
    async def main():
        peer = Peer(on={"slow": slow, "dies": dies})
        async with watched(peer.server()) as seen:
            await seen.connection.ready()
            other = asyncio.ensure_future(seen.connection.send(call_of("slow")))
            await asyncio.sleep(1)
            with pytest.raises(RouterError) as mine:
                await seen.call("dies")
            with pytest.raises(RouterError) as others:
                await other
            for caught in (mine, others):
                assert caught.value.payload.code == "connection_lost"
                assert caught.value.payload.delivered == "maybe"

    run_virtual(main)


def crash_times(peer, seconds, **options):
    """When a server is connected to that cannot be reached."""
    times = []

    async def main():
        async with watched(peer.server(), **options) as seen:
            seen.connection.start()
            before = 0
            while now() < seconds:
                await asyncio.sleep(0.01)
                if seen.connection.number > before:
                    before = seen.connection.number
                    times.append(now())

    run_virtual(main)
    return times


@pytest.mark.parametrize(("jitter", "share"), [(1.0, 1.0), (0.0, 0.5)])
def test_tries_to_connect_come_less_and_less_often_up_to_a_cap(jitter, share):
    times = crash_times(broken(Peer()), 200, jitter=jitter)
    gaps = [later - earlier for earlier, later in pairwise(times)]
    expected = [share * min(30, 0.1 * 2**number) for number in range(len(gaps))]
    assert gaps == pytest.approx(expected, abs=0.03)
    assert len(gaps) > 8


def test_a_server_that_crashes_soon_after_each_start_is_started_less_and_less_often():
    async def main():
        peer = Peer()
        async with watched(peer.server()) as seen:
            seen.connection.start()
            for number in range(1, 9):
                await seen.until("ready", number)
                peer.line.end()
            await seen.until("ready", 9)
            assert now() == pytest.approx(0.1 * (2**8 - 1))

    run_virtual(main)


def test_a_server_that_has_lived_for_a_while_begins_its_back_off_anew():
    async def main():
        peer = Peer()
        async with watched(peer.server()) as seen:
            seen.connection.start()
            for number in range(1, 6):
                await seen.until("ready", number)
                peer.line.end()
            await seen.until("ready", 6)
            await asyncio.sleep(5)
            peer.line.end()
            before = now()
            await seen.until("ready", 7)
            assert now() == before
            peer.line.end()
            await seen.until("ready", 8)
            assert now() == pytest.approx(before + 0.1)

    run_virtual(main)


def test_a_call_ends_the_wait_for_the_next_try():
    async def main():
        peer = broken(Peer())
        async with watched(peer.server()) as seen:
            seen.connection.start()
            await asyncio.sleep(40)
            tries = seen.connection.number
            peer.down = None
            assert await seen.call() == "echo"
            assert (now(), seen.connection.number) == (40, tries + 1)

    run_virtual(main)


def test_a_call_that_finds_its_server_gone_before_anybody_else_does_not_wait_for_the_back_off():
    async def main():
        peer = Peer()
        async with watched(peer.server()) as seen:
            seen.connection.start()
            for number in range(1, 8):
                await seen.until("ready", number)
                peer.line.end()
            await seen.until("ready", 8)
            before = now()
            generation = seen.connection._current
            peer.line.end()
            while not generation._opened.gone:
                await asyncio.sleep(0)
            assert seen.connection.state == "ready"  # nobody has noticed yet
            assert await seen.call() == "echo"
            assert now() == before

    run_virtual(main)


def test_a_call_that_was_answered_while_waiting_does_not_end_a_later_wait():
    async def main():
        async with watched(broken(Peer()).server()) as seen:
            for _ in range(3):
                with pytest.raises(RouterError):
                    await seen.connection.ready()
            assert (now(), seen.connection.number) == (0, 3)
            await asyncio.sleep(0.39)
            assert seen.connection.number == 3
            await asyncio.sleep(0.02)
            assert seen.connection.number == 4

    run_virtual(main)


def test_a_connection_that_ends_between_being_chosen_and_being_used_has_sent_nothing():
    async def main():
        peer = Peer()
        async with watched(peer.server()) as seen:
            generation = await seen.connection.ready()
            generation.retire()
            with pytest.raises(RouterError) as caught:
                await generation.send(call_of())
            assert caught.value.payload.code == "connection_lost"
            assert caught.value.payload.delivered == "no"
            with pytest.raises(RouterError):
                await generation.probe()

    run_virtual(main)


def test_a_generation_that_is_gone_as_soon_as_it_is_ready_leaves_nobody_waiting():
    async def main():
        peer = Peer()

        async def last_words(line, params):
            asyncio.get_running_loop().call_soon(line.end)
            return {"tools": peer.tools}

        peer.on["tools/list"] = last_words
        async with watched(peer.server()) as seen:
            outcome = await asyncio.gather(seen.call(), return_exceptions=True)
            assert isinstance(outcome[0], RouterError)
            assert outcome[0].payload.delivered == "no"
            del peer.on["tools/list"]
            assert await seen.call() == "echo"

    run_virtual(main)


def test_a_connection_is_given_up_on_request_and_the_next_one_takes_over():
    async def main():
        peer = Peer(on={"slow": slow})
        async with watched(peer.server()) as seen:
            seen.connection.renew()  # there is none
            await seen.connection.ready()
            call = asyncio.ensure_future(seen.connection.send(call_of("slow")))
            await asyncio.sleep(1)
            seen.connection.renew()
            with pytest.raises(RouterError) as caught:
                await call
            assert caught.value.payload.code == "connection_lost"
            assert caught.value.payload.delivered == "maybe"
            assert await seen.call() == "echo"
            assert len(peer.lines) == 2

    run_virtual(main)


# --- signs of life


@ERAS
def test_a_probe_asks_at_protocol_level_and_runs_no_tool(modern):
    async def main():
        peer = Peer(modern=modern)
        async with watched(peer.server()) as seen:
            await seen.connection.probe()
            before = len(peer.methods)
            await seen.connection.probe()
            assert peer.methods[before:] == ["server/discover" if modern else "ping"]

    run_virtual(main)


@ERAS
def test_a_probe_that_is_refused_says_so(modern):
    async def main():
        peer = Peer(modern=modern)
        async with watched(peer.server()) as seen:
            await seen.connection.ready()

            async def refuses(line, params):
                raise Refusal(-32603, "unwell")

            peer.on["server/discover"] = peer.on["ping"] = refuses
            with pytest.raises(RouterError) as caught:
                await seen.connection.probe()
            assert caught.value.payload.code == "server_fault"

    run_virtual(main)


# --- calls


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
def test_a_result_whose_schema_is_broken_is_said_not_to_fit(schema):
    async def main():
        peer = Peer(on={"odd": lambda line, params: asyncio.sleep(0, said("1", structuredContent={"n": 1}))})
        peer.tools.append(tool("odd", outputSchema={"type": "object", "properties": {"n": schema}}))
        async with watched(peer.server()) as seen:
            for _ in range(2):
                with pytest.raises(RouterError) as caught:
                    await seen.call("odd")
                assert (caught.value.payload.code, caught.value.payload.delivered) == ("invalid_result", "yes")

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


# --- it is closed


async def idle(seen, peer):
    return None


async def connecting(seen, peer):
    peer.on["tools/list"] = hangs
    seen.connection.start()
    await asyncio.sleep(1)


async def just_started(seen, peer):
    seen.connection.start()


async def ready(seen, peer):
    await seen.connection.ready()


async def backing_off(seen, peer):
    broken(peer)
    seen.connection.start()
    await asyncio.sleep(40)


@pytest.mark.parametrize("reach", [idle, just_started, connecting, ready, backing_off])
def test_a_connection_can_be_closed_in_every_state_twice_and_by_several_at_once(reach):
    async def main():
        peer = Peer()
        async with watched(peer.server()) as seen:
            await reach(seen, peer)
            begun = now()
            await asyncio.gather(seen.connection.close(), seen.connection.close())
            assert now() == begun
            await seen.connection.close()
            assert seen.states.count("closed") == 1
            assert seen.connection.state == "closed"
            seen.connection.start()
            for wish in (seen.connection.ready, seen.connection.probe, seen.call):
                with pytest.raises(RouterError) as caught:
                    await wish()
                assert caught.value.payload.code == "unreachable"
                assert caught.value.payload.delivered == "no"
                assert not caught.value.evidence

    run_virtual(main)


def test_who_waits_when_it_is_closed_is_told_so():
    async def main():
        peer = Peer(on={"tools/list": hangs})
        async with watched(peer.server()) as seen:
            waiting = [asyncio.ensure_future(seen.connection.ready()) for _ in range(3)]
            await asyncio.sleep(1)
            await seen.connection.close()
            for error in await asyncio.gather(*waiting, return_exceptions=True):
                assert "is closed" in error.payload.message

    run_virtual(main)


@ERAS
def test_calls_in_flight_when_it_is_closed_are_cut_off_at_once(modern):
    async def main():
        peer = Peer(modern=modern, on={"slow": slow})
        async with watched(peer.server()) as seen:
            await seen.connection.ready()
            calls = [asyncio.ensure_future(seen.connection.send(call_of("slow"))) for _ in range(10)]
            await asyncio.sleep(1)
            await seen.connection.close()
            assert now() == 1
            for error in await asyncio.gather(*calls, return_exceptions=True):
                assert error.payload.code == "connection_lost"
                assert error.payload.delivered == "maybe"
                assert error.payload.server == "peer"

    run_virtual(main)


def test_what_a_caller_does_after_his_call_was_cut_off_does_not_hold_up_the_closing():
    async def main():
        peer = Peer(on={"slow": slow})
        seen = Watched(peer.server())
        await seen.connection.ready()

        async def stubborn():
            try:
                await seen.connection.send(call_of("slow"))
            except RouterError:
                await asyncio.sleep(3)

        call = asyncio.ensure_future(stubborn())
        await asyncio.sleep(1)
        await seen.connection.close()
        assert now() == 1
        await call

    run_virtual(main)


def test_an_owner_that_does_not_end_in_time_is_named_in_the_log(caplog):
    async def main():
        server, made = slowly(Peer(), 60)
        seen = Watched(server)
        await seen.connection.ready()
        await seen.connection.close()
        assert now() == 6
        await asyncio.sleep(60)
        assert made[0].closed

    run_virtual(main)
    assert "recloser:peer:1 did not end in time" in caplog.text


def test_a_generation_that_closes_slowly_is_waited_for_together_with_the_one_that_took_over():
    async def main():
        peer = Peer()
        server, made = slowly(peer, 2)
        seen = Watched(server)
        await seen.connection.ready()
        await asyncio.sleep(10)
        peer.line.end()
        await seen.until("ready", 2)
        await seen.connection.close()
        assert [one.closed for one in made] == [True, True]
        assert now() == 12

    run_virtual(main)


def test_an_error_while_closing_is_kept_and_ends_nothing_else():
    class Bad(Slow):
        async def __aexit__(self, *error):
            await super().__aexit__(*error)
            raise OSError("already closed")

    async def main():
        peer = Peer()
        server = peer.server()
        object.__setattr__(server, "target", lambda: Bad(peer, 0))
        async with watched(server) as seen:
            generation = await seen.connection.ready()
            seen.connection.renew()
            await seen.until("ready", 2)
            await asyncio.sleep(1)
            assert generation.error.payload.code == "internal"
            assert await seen.call() == "echo"

    run_virtual(main)


# --- when the loop ends, or we are at fault


def test_a_loop_that_ends_takes_everything_along_without_a_word(caplog):
    async def main():
        peer = Peer(on={"slow": slow})
        seen = Watched(peer.server())
        await seen.connection.ready()
        waiting = Watched(Peer(on={"tools/list": hangs}).server())
        tasks = [
            asyncio.ensure_future(seen.connection.send(call_of("slow"))),
            asyncio.ensure_future(waiting.connection.ready()),
        ]
        await asyncio.sleep(1)
        return tasks

    tasks = run_virtual(main)
    assert all(task.done() for task in tasks)
    assert caplog.text == ""


def test_a_fault_of_our_own_leaves_nobody_waiting_and_the_next_caller_begins_anew(caplog):
    async def main():
        peer = Peer()
        faulty = [True]

        def changed(state, error):
            if state == "ready" and faulty:
                faulty.clear()
                raise ZeroDivisionError("ours")

        connection = Connection(
            peer.server(), Callbacks(), on_change=changed, on_listing=lambda _: None, on_stderr=lambda _: None
        )
        with pytest.raises(RouterError) as caught:
            await connection.ready()
        assert caught.value.payload.code == "internal"
        assert (await connection.send(call_of())).content[0].text == "echo"
        await asyncio.sleep(1)
        assert len(asyncio.all_tasks()) < 12
        await connection.close()

    with caplog.at_level(logging.ERROR):
        run_virtual(main)
    assert "server peer: its supervisor failed" in caplog.text


def test_a_listing_that_nobody_can_use_fails_the_start_and_is_told():
    async def main():
        def listed(listing):
            raise ZeroDivisionError("ours")

        connection = Connection(
            Peer().server(), Callbacks(), on_change=lambda *_: None, on_listing=listed, on_stderr=lambda _: None
        )
        with pytest.raises(RouterError) as caught:
            await connection.ready()
        assert caught.value.payload.code == "internal"
        await connection.close()

    run_virtual(main)


def test_an_owner_that_ends_in_an_unforeseen_way_is_logged_and_replaced(caplog):
    class Odd(BaseException):
        """Neither an error nor a cancellation."""

    async def main():
        peer = Peer()
        line = [True]

        class Rude(Slow):
            async def __aexit__(self, *error):
                await super().__aexit__(*error)
                if line:
                    line.clear()
                    raise Odd

        server = peer.server()
        object.__setattr__(server, "target", lambda: Rude(peer, 0))
        async with watched(server) as seen:
            await seen.connection.ready()
            await asyncio.sleep(10)
            seen.connection.renew()
            await seen.until("ready", 2)
            await asyncio.sleep(1)
            assert await seen.call() == "echo"

    run_virtual(main)
    assert "server peer: generation 1 ended in Odd" in caplog.text
