"""One address of a server: what guards it, what its results really are, and what its process says."""

import asyncio

import pytest

from recloser import Breaker, Bulkhead, Call, CircuitOpen, Limits, RouterError, Server, Timeouts
from recloser.errors import error_for
from recloser.events import AttemptFinished, ConnectionChanged
from recloser.redact import MASK
from recloser.testing.clock import run_virtual
from recloser.testing.faulty import FaultyStdio
from recloser.testing.leaks import no_leaks
from support.endpoints import ONCE, SHORT, open_circuit, peer
from support.peers import Refusal, said
from support.routers import hangs, now
from support.upstreams import call_of, watched

# --- attempts


def test_an_attempt_counts_when_it_is_let_through_and_only_then():
    async def main():
        made = peer()
        async with watched(made.server(retry=ONCE, timeouts=SHORT)) as seen:
            call = call_of("echo")
            await seen.upstream.send(call)
            assert call.trail.attempts == 1
            await open_circuit(seen, made)
            call = call_of("echo")
            with pytest.raises(CircuitOpen):
                await seen.upstream.send(call)
            assert call.trail.attempts == 0

    run_virtual(main)


def test_each_attempt_is_told_with_its_outcome():
    async def main():
        async def refuses(line, params):
            raise Refusal(-32602, "no")

        made = peer(refuses=refuses, hangs=hangs)
        async with watched(made.server(retry=ONCE, timeouts=SHORT)) as seen:
            await seen.call("echo")
            for name in ("refuses", "hangs"):
                with pytest.raises(RouterError):
                    await seen.call(name)
            leaver = asyncio.ensure_future(seen.call("hangs"))
            await asyncio.sleep(1)
            leaver.cancel()
            await asyncio.wait({leaver})
            told = seen.of(AttemptFinished)
            assert [event.code for event in told] == [None, "invalid_request", "timeout", "cancelled"]
            assert [event.duration for event in told] == [0, 0, 2, 1]
            assert {event.endpoint for event in told} == {"peer/0"}

    run_virtual(main)


def test_an_attempt_that_failed_tells_whether_it_may_have_run_and_when_to_come_again():
    failures = [
        None,
        error_for("connection_lost", "gone before it was sent", delivered="no"),
        error_for("connection_lost", "gone in the middle"),
        error_for("overloaded", "come again", retry_after=1.5),
    ]

    async def fails(call, call_next):
        failure = failures.pop(0)
        if failure is not None:
            raise failure
        return await call_next(call)

    async def main():
        async with watched(peer().server(retry=ONCE, chaos=[fails])) as seen:
            await seen.call("echo")
            for _ in range(3):
                with pytest.raises(RouterError):
                    await seen.call("echo")
            told = [(event.code, event.delivered, event.retry_after) for event in seen.of(AttemptFinished)]
            assert told == [
                (None, None, None),
                ("connection_lost", "no", None),
                ("connection_lost", "maybe", None),
                ("overloaded", "no", 1.5),
            ]

    run_virtual(main())


def test_a_failure_over_a_connection_that_is_not_there_begins_no_look_at_it():
    async def gone(call, call_next):
        await asyncio.sleep(1)
        raise error_for("unreachable", "gone")

    async def main():
        made = peer()
        server = made.server(retry=ONCE, chaos=[gone], breaker=Breaker(consecutive=2))
        async with no_leaks(), watched(server) as seen:
            with pytest.raises(RouterError):
                await seen.call("echo", session="alice")
            call = asyncio.ensure_future(seen.call("echo"))
            await asyncio.sleep(0)
            await seen.endpoint.close()
            with pytest.raises(RouterError):
                await call
            assert seen.circuit.state == "open"
            assert made.lines == []

    run_virtual(main)


def test_only_what_speaks_against_the_server_is_its_last_failure():
    async def main():
        async def refuses(line, params):
            raise Refusal(-32602, "no")

        made = peer(refuses=refuses, hangs=hangs)
        async with watched(made.server(retry=ONCE, timeouts=SHORT)) as seen:
            await seen.fail(1, "refuses")
            assert seen.endpoint.last_failure is None
            assert seen.endpoint.health().last_failure_ago is None
            await seen.fail(1, "hangs")
            await asyncio.sleep(7)
            assert seen.endpoint.last_failure.code == "timeout"
            assert seen.endpoint.health().last_failure_ago == 7

    run_virtual(main)


def test_as_many_attempts_are_in_flight_as_there_are_places():
    async def main():
        made = peer(hangs=hangs)
        server = made.server(retry=ONCE, timeouts=Timeouts(attempt=2, total=3), bulkhead=Bulkhead(limit=2))
        async with watched(server) as seen:
            await seen.endpoint.shared.ready()
            calls = [asyncio.ensure_future(seen.call("hangs")) for _ in range(5)]
            await asyncio.sleep(1)
            health = seen.endpoint.health()
            assert (health.in_flight, health.waiting, seen.endpoint.load) == (2, 3, 5)
            errors = await asyncio.gather(*calls, return_exceptions=True)
            assert sorted(error.payload.code for error in errors) == ["bulkhead_full"] + ["timeout"] * 4
            assert seen.endpoint.load == 0

    run_virtual(main)


# --- what results really are


STANDARD = {"code": "RATE_LIMIT", "message": "slow down", "type": "transient"}


def test_the_standardized_shape_of_an_error_is_an_error():
    async def main():
        async def limited(line, params):
            return said("slow down", isError=True, structuredContent={"error": STANDARD})

        async with watched(peer(limited=limited).server(retry=ONCE)) as seen:
            with pytest.raises(RouterError) as caught:
                await seen.call("limited")
            assert caught.value.payload.code == "overloaded"
            assert seen.circuit.snapshot().failures == 0

    run_virtual(main)


def test_a_tools_own_error_is_an_answer():
    async def main():
        async def fails(line, params):
            return said("it failed", isError=True)

        async with watched(peer(fails=fails).server()) as seen:
            result = await seen.call("fails")
            assert result.is_error
            assert len(seen.of(AttemptFinished)) == 1

    run_virtual(main)


def test_a_users_hook_may_say_what_a_result_really_is():
    def classify(result):
        if "limit" in result.content[0].text:
            return error_for("overloaded", "too much", retry_after=1.0)
        return None

    async def main():
        async def limited(line, params):
            return said("rate limit" if made.methods.count("tools/call") == 1 else "fine")

        made = peer(limited=limited)
        async with watched(made.server(classify=classify)) as seen:
            assert (await seen.call("limited")).content[0].text == "fine"
            assert made.methods.count("tools/call") == 2
            assert now() >= 1

    run_virtual(main)


def test_results_that_are_no_tools_answers_are_not_shown_to_the_hook():
    async def main():
        async def prompts(line, params):
            return {"messages": []}

        made = peer(**{"prompts/get": prompts})
        async with watched(made.server(classify=lambda result: 1 / 0)) as seen:
            call = Call(method="prompts/get", key="p", server="peer", name="p", params={"name": "p"})
            assert (await seen.upstream.send(call)).messages == []

    run_virtual(main)


# --- connections of sessions


def test_each_session_has_a_connection_of_its_own():
    async def main():
        made = peer()
        async with watched(made.server()) as seen:
            await seen.call("echo")
            await seen.call("echo", session="alice")
            await seen.call("echo", session="bob")
            await seen.call("echo", session="alice")
            assert len(made.lines) == 3
            assert len(seen.listings) == 1
            assert seen.available == []
            await seen.endpoint.close_session("alice")
            await seen.endpoint.close_session("nobody")
            await seen.call("echo", session="alice")
            assert len(made.lines) == 4

    run_virtual(main)


def test_a_session_that_ends_says_nothing_about_the_server():
    async def main():
        made = peer()
        async with watched(made.server()) as seen:
            await seen.call("echo")
            await seen.call("echo", session="alice")
            told = len(seen.of(ConnectionChanged))
            made.line.end()
            await asyncio.sleep(1)
            assert len(seen.of(ConnectionChanged)) == told
            assert seen.upstream.health().state == "ready"

    run_virtual(main)


def test_a_closed_endpoint_opens_no_new_session():
    async def main():
        made = peer()
        async with watched(made.server(retry=ONCE)) as seen:
            await seen.call("echo")
            await seen.upstream.close()
            for session in (None, "alice"):
                with pytest.raises(RouterError) as caught:
                    await seen.call("echo", session=session)
                assert caught.value.payload.code == "unreachable"
            assert len(made.lines) == 1

    run_virtual(main)


# --- what a process says


def say(text):
    """A command that says a text on stderr and goes."""
    import sys

    return sys.executable, ["-c", f"import sys; sys.stderr.write({text!r})"]


def stderr_of(text, secrets=(), tail=8192):
    async def main():
        command, args = say(text)
        async with watched(
            Server("peer", command=command, args=args, retry=ONCE, limits=Limits(stderr_tail=tail)), secrets=secrets
        ) as seen:
            assert seen.endpoint.stderr is None
            with pytest.raises(RouterError):
                await seen.upstream.ready()
            return seen.upstream.health().stderr

    return asyncio.run(main())


@pytest.mark.processes
def test_what_a_server_says_on_stderr_is_shown_without_secrets():
    told = stderr_of("starting\nkey is hunter2-hunter2\npassword=topsecret9\n", secrets=["hunter2-hunter2"])
    assert told.startswith("starting\nkey is ")
    assert "hunter2" not in told
    assert "topsecret9" not in told


@pytest.mark.processes
def test_the_end_of_what_a_server_says_is_kept():
    assert stderr_of("".join(f"line {number}\n" for number in range(100)), tail=20) == "line 98\nline 99"
    assert stderr_of("x" * 50 + "end\n", tail=20) == "x" * 17 + "end"
    assert stderr_of("something\n", tail=0) is None


@pytest.mark.processes
def test_what_a_cut_of_stderr_leaves_of_a_secret_is_not_shown():
    secret = "Zq7-kLmN_" + "abcdefghij" * 4 + "-END"
    for text in (f"{secret}{'y ' * 290}\n", f"{'x ' * 9000}{secret}\n", f"{secret}\n{'y ' * 280}\n"):
        told = stderr_of(text, tail=100, secrets=[secret])
        assert "-END" not in told
        assert "Zq7" not in told
    key = "\n".join(["MIIEowIBAAKCAQEA" * 4] * 40)
    told = stderr_of(f"-----BEGIN PRIVATE KEY-----\n{key}\n", tail=100)
    assert told == MASK


@pytest.mark.processes
def test_the_health_of_an_endpoint_shows_its_process():
    async def main():
        with FaultyStdio() as faulty:
            async with watched(Server("peer", command=faulty.command, args=faulty.args)) as seen:
                await seen.upstream.ready()
                health = seen.endpoint.health()
                assert health.pid == faulty.pids()[0]
                assert (health.name, health.state, health.generation) == ("peer/0", "ready", 1)
                assert health.circuit.state == "closed"

    asyncio.run(main())
