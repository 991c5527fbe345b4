"""What a router that closes leaves behind: nothing, and a word on each of its calls."""

import asyncio

import pytest

from recloser import Bulkhead, Call, Retry, Router, Server, Timeouts, error_of
from recloser.errors import error_for
from recloser.testing.clock import run_virtual
from recloser.testing.faulty import FaultyHttp
from recloser.testing.leaks import no_leaks
from support.peers import Peer, Silence


async def hangs(line, params):
    raise Silence


def test_calls_that_wait_when_a_router_closes_are_over_and_audited_when_it_is_closed():
    audited = []

    async def main():
        async with no_leaks():
            server = Peer(on={"hangs": hangs}).server("a", bulkhead=Bulkhead(limit=1))
            async with Router(server, audit=audited.append) as router:
                calls = [asyncio.ensure_future(router.call_tool("a__hangs", idempotent=True)) for _ in range(3)]
                await asyncio.sleep(1)
            assert all(call.done() for call in calls)
            assert [record.code for record in audited] == ["connection_lost"] * 3
            assert [len(record.attempts) for record in audited] == [1, 1, 1]

    run_virtual(main)


def test_a_server_that_does_not_take_leave_is_left_within_the_time_for_that():
    async def main():
        async with FaultyHttp(era="legacy") as server:
            server.fault("delete_hang")
            async with Router(Server("s", server.url, timeouts=Timeouts(shutdown=0.1))) as router:
                await router.ready("s")
            left = [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("recloser:")]
            assert left == []

    asyncio.run(main())


def test_the_connections_of_one_session_can_be_closed_alone():
    peer = Peer()

    async def main():
        async with no_leaks(), Router(peer.server("a"), peer.server("b")) as router:
            for name in ("a", "b"):
                for session in (None, "alice", "bob"):
                    await router.call_tool(f"{name}__echo", session=session)
            before = len(peer.lines)
            await router.close_session("alice")
            await router.close_session("nobody")
            await router.call_tool("a__echo", session="bob")
            assert len(peer.lines) == before
            assert not (await router.call_tool("a__echo", session="alice")).is_error
            assert len(peer.lines) == before + 1

    run_virtual(main)


def test_sessions_that_are_closed_with_calls_in_flight_say_nothing_about_the_server():
    async def main():
        async with Router(Peer(on={"echo": hangs}).server()) as router:
            calls = [asyncio.create_task(router.call_tool("peer__echo", session=f"user{n}")) for n in range(12)]
            await asyncio.sleep(0.1)
            for n in range(12):
                await router.close_session(f"user{n}")
            told = [error_of(await call) for call in calls]
            assert {(error.code, error.delivered) for error in told} == {("connection_lost", "maybe")}
            assert router.health()["peer"].endpoints[0].circuit.state == "closed"
            assert router.health()["peer"].endpoints[0].circuit.failures == 0

    run_virtual(main)


@pytest.mark.parametrize("where", ["in flight", "in back-off", "in the bulkhead"])
def test_a_call_of_a_session_that_was_closed_does_not_open_it_again(where):
    async def main():
        peer = Peer(on={} if where == "in back-off" else {"echo": hangs})
        bulkhead = Bulkhead(limit=1 if where == "in the bulkhead" else 2)
        server = peer.server(bulkhead=bulkhead, retry=Retry(backoff=5.0), classify=lambda _: error_for("timeout", "no"))
        async with Router(server) as router:
            if where == "in the bulkhead":
                first = asyncio.create_task(router.call_tool("peer__echo", timeout=20))
                await asyncio.sleep(0.1)
            begun = len(peer.lines)
            call = Call.tool("peer__echo", idempotent=True, session="alice")
            replied = asyncio.create_task(router.fan_out([call], quorum=0))
            await asyncio.sleep(0.5)
            await router.close_session("alice")
            [reply] = (await replied).replies
            assert reply.error.code == "connection_lost"
            assert reply.error.delivered == ("no" if where == "in the bulkhead" else "maybe")
            await asyncio.sleep(60)
            assert len(peer.lines) - begun == (0 if where == "in the bulkhead" else 1)
            if where == "in the bulkhead":
                await first

    run_virtual(main)


def test_a_call_that_is_cut_off_before_its_second_attempt_leaves_may_have_run_in_the_first():
    async def main():
        second = asyncio.Event()

        async def held(call, call_next):
            if call.attempt > 1:
                second.set()
                await asyncio.Event().wait()
            return await call_next(call)

        server = Peer().server(retry=Retry(backoff=0.1), chaos=[held], classify=lambda _: error_for("timeout", "no"))
        async with Router(server) as router:
            call = Call.tool("peer__echo", idempotent=True, session="alice")
            replied = asyncio.create_task(router.fan_out([call], quorum=0))
            await second.wait()
            await router.close_session("alice")
            [reply] = (await replied).replies
            assert (reply.error.code, reply.error.delivered) == ("connection_lost", "maybe")

    run_virtual(main)


def test_a_router_whose_audit_cannot_be_opened_again_is_closed_and_can_be_opened_later(tmp_path):
    place = tmp_path / "there"
    place.mkdir()

    async def main():
        router = Router(Peer().server("a"), audit=place / "audit.jsonl")
        async with router:
            await router.call_tool("a__echo")
        (place / "audit.jsonl").unlink()
        place.rmdir()
        with pytest.raises(OSError, match=r"audit\.jsonl"):
            await router.open()
        with pytest.raises(RuntimeError, match="not open"):
            await router.call_tool("a__echo")
        place.mkdir()
        async with router:
            await router.call_tool("a__echo")
        assert len((place / "audit.jsonl").read_text().splitlines()) == 1

    asyncio.run(main())
