"""Which era a server speaks, and what is no sign of one."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from connection_kit import watched
from mcp import MCPError
from mcp.client import ClientSession

from recloser import RouterError, Server, Timeouts
from recloser.connection.negotiation import Silent, negotiate
from recloser.errors import Cause
from recloser.testing.clock import run_virtual
from recloser.testing.faulty import FaultyHttp, FaultyStdio
from support.peers import LEGACY, MODERN, Peer, Refusal, Silence

PATIENT = Timeouts(start=5.0)
"""Long enough for a process to start twice on a busy machine: silence is what these servers' starts are judged by."""


async def never(line, params):
    raise Silence


def refuses(code, message="no", data=None):
    async def handler(line, params):
        raise Refusal(code, message, data)

    return handler


def answers(**result):
    async def handler(line, params):
        return result

    return handler


@asynccontextmanager
async def session_with(peer):
    async with peer() as (read, write), ClientSession(read, write) as session:
        yield session


def version_of(peer, **options):
    async def main():
        async with watched(peer.server(**options)) as seen:
            await seen.connection.ready()
            assert await seen.call(arguments={"text": "hello"}) == "hello"
            return seen.connection.protocol_version

    return run_virtual(main)


def error_of_start(peer, **options):
    async def main():
        async with watched(peer.server(**options)) as seen:
            with pytest.raises(RouterError) as caught:
                await seen.connection.ready()
            return caught.value.payload

    return run_virtual(main)


def test_a_server_of_both_eras_is_spoken_to_in_the_modern_one():
    peer = Peer()
    assert version_of(peer) == MODERN
    assert "initialize" not in peer.methods


@pytest.mark.parametrize("code", [-32601, -32600, -32602, -32000 - 42, -32002])
def test_a_refusal_in_so_many_words_means_the_handshake_era(code):
    assert version_of(Peer(on={"server/discover": refuses(code)})) == LEGACY


@pytest.mark.parametrize("code", [-32000, -32001])
def test_what_the_sdk_says_of_a_broken_connection_or_of_its_clock_is_no_refusal(code):
    peer = Peer(on={"server/discover": refuses(code)})
    error_of_start(peer)
    assert "initialize" not in peer.methods


def test_a_server_that_names_a_version_of_ours_is_asked_again_at_that_one():
    peer = Peer()

    async def once(line, params):
        del peer.on["server/discover"]
        raise Refusal(-32022, "unsupported", {"supported": ["2027-01-01", MODERN], "requested": "x"})

    peer.on["server/discover"] = once
    assert version_of(peer) == MODERN
    assert peer.methods.count("server/discover") == 2


def test_a_server_that_does_not_keep_to_the_version_that_it_has_named_is_tried_in_the_handshake_era():
    data = {"supported": [MODERN], "requested": "x"}
    peer = Peer(on={"server/discover": refuses(-32022, data=data)})
    assert version_of(peer) == LEGACY
    assert peer.methods.count("server/discover") == 2


@pytest.mark.parametrize("data", [None, {"supported": [LEGACY], "requested": "x"}, {"supported": "all"}])
def test_a_server_that_names_no_modern_version_of_ours_is_tried_in_the_handshake_era(data):
    peer = Peer(on={"server/discover": refuses(-32022, data=data)})
    assert version_of(peer) == LEGACY
    assert peer.methods.count("server/discover") == 1


def test_a_server_that_shares_no_version_with_us_at_all_fails():
    data = {"supported": ["2099-01-01"], "requested": "x"}
    peer = Peer(on={"server/discover": refuses(-32022, data=data), "initialize": refuses(-32022, data=data)})
    assert error_of_start(peer).code == "protocol_violation"


@pytest.mark.parametrize("version", ["1999-01-01", "2099-12-31", MODERN, ""])
def test_a_server_that_answers_the_handshake_with_a_version_that_is_none_of_it_does_not_keep_to_the_protocol(version):
    hello = answers(protocolVersion=version, capabilities={}, serverInfo={"name": "odd", "version": "1"})
    payload = error_of_start(Peer(on={"server/discover": refuses(-32601), "initialize": hello}))
    assert (payload.code, payload.delivered) == ("protocol_violation", "no")
    assert payload.cause == Cause(exception="mcp.MCPError", jsonrpc_code=-32022)


def test_a_mistake_of_our_own_in_the_handshake_is_not_put_on_the_server():
    async def main():
        async with Peer()() as (read, write):
            with pytest.raises(RuntimeError):
                await negotiate(ClientSession(read, write), "legacy", pipe=False, patience=1)

    run_virtual(main)


@pytest.mark.parametrize(
    "result", [{"supportedVersions": [LEGACY], "capabilities": {}}, {"supportedVersions": 7}, {"hello": "there"}]
)
def test_an_answer_that_names_no_modern_version_means_the_handshake_era(result):
    assert version_of(Peer(on={"server/discover": answers(**result)})) == LEGACY


def test_an_era_that_is_held_fixed_is_not_asked_for():
    peer = Peer()
    assert version_of(peer, era="legacy") == LEGACY
    assert "server/discover" not in peer.methods


def test_a_modern_server_that_is_to_be_modern_is():
    assert version_of(Peer(), era="modern") == MODERN


@pytest.mark.parametrize(
    "handler",
    [refuses(-32601), answers(supportedVersions=7), answers(supportedVersions=[LEGACY], capabilities={})],
)
def test_a_server_that_is_to_be_modern_and_is_not_fails_and_is_not_downgraded(handler):
    peer = Peer(on={"server/discover": handler})
    error_of_start(peer, era="modern")
    assert "initialize" not in peer.methods


def test_silence_over_a_pipe_is_told_to_the_caller():
    async def main():
        loop = asyncio.get_running_loop()
        async with session_with(Peer(on={"server/discover": never})) as session:
            with pytest.raises(Silent):
                await negotiate(session, "auto", pipe=True, patience=12)
            assert loop.time() == 4
            with pytest.raises(Silent):
                await negotiate(session, "auto", pipe=True, patience=300)
            assert loop.time() == 14

    run_virtual(main)


def test_a_transport_that_takes_a_message_too_slowly_downgrades_nobody():
    async def main():
        peer, slow = Peer(), True

        @asynccontextmanager
        async def opened():
            async with peer() as (read, write):
                if slow:
                    write.send = gives_up
                yield read, write

        async def gives_up(item):
            raise TimeoutError("not taken")

        async with watched(Server("peer", opened)) as seen:
            with pytest.raises(RouterError) as caught:
                await seen.connection.ready()
            assert (caught.value.payload.code, caught.value.payload.delivered) == ("unreachable", "no")
            slow = False
            await seen.connection.ready()
            assert seen.connection.protocol_version == MODERN

    run_virtual(main)


def test_silence_elsewhere_is_a_fault_and_downgrades_nobody():
    async def main():
        peer = Peer(on={"server/discover": never})
        async with watched(peer.server()) as seen:
            with pytest.raises(RouterError) as caught:
                await seen.connection.ready()
            assert caught.value.payload.code == "unreachable"
            assert asyncio.get_running_loop().time() == 30
            del peer.on["server/discover"]
            await seen.connection.ready()
            assert seen.connection.protocol_version == MODERN
            assert "initialize" not in peer.methods

    run_virtual(main)


def test_a_connection_that_ends_while_it_is_negotiated_downgrades_nobody():
    async def main():
        peer = Peer()

        async def dies(line, params):
            del peer.on["server/discover"]
            line.end()
            raise Silence

        peer.on["server/discover"] = dies
        async with watched(peer.server()) as seen:
            with pytest.raises(RouterError) as caught:
                await seen.connection.ready()
            assert caught.value.payload.code == "unreachable"
            assert caught.value.payload.delivered == "no"
            await seen.connection.ready()
            assert seen.connection.protocol_version == MODERN

    run_virtual(main)


def test_the_error_of_the_fallback_is_not_hidden_by_the_refusal_before_it():
    async def main():
        peer = Peer(on={"server/discover": refuses(-32601), "initialize": refuses(-32603, "broken")})
        async with session_with(peer) as session:
            with pytest.raises(MCPError) as caught:
                await negotiate(session, "auto", pipe=False, patience=30)
            assert caught.value.error.code == -32603

    run_virtual(main)


# --- over HTTP, by its statuses


@pytest.mark.parametrize("status", [400, 404, 405])
def test_a_status_that_refuses_the_question_means_the_handshake_era(status):
    async def main():
        async with FaultyHttp() as faulty:
            faulty.fault(f"status_{status}", on="server/discover")
            async with watched(Server("peer", faulty.url)) as seen:
                await seen.connection.ready()
                assert seen.connection.protocol_version == LEGACY
                assert await seen.call(arguments={"text": "hello"}) == "hello"

    asyncio.run(main())


@pytest.mark.parametrize(
    "fault", ["status_401", "status_429", "status_500", "status_503", "reset", "close", "accepted"]
)
def test_a_fault_of_the_moment_never_downgrades_a_server(fault):
    async def main():
        async with FaultyHttp() as faulty:
            faulty.fault(fault, on="server/discover", times=1)
            async with watched(Server("peer", faulty.url)) as seen:
                with pytest.raises(RouterError) as caught:
                    await seen.connection.ready()
                assert caught.value.payload.delivered == "no"
                await seen.connection.ready()
                assert seen.connection.protocol_version == MODERN
                assert faulty.requests("initialize") == 0

    asyncio.run(main())


@pytest.mark.parametrize(("era", "version"), [("legacy", LEGACY), ("modern", MODERN)])
def test_a_server_of_one_era_is_spoken_to_in_its_own(era, version):
    async def main():
        async with FaultyHttp(era=era) as faulty, watched(Server("peer", faulty.url)) as seen:
            await seen.connection.ready()
            assert seen.connection.protocol_version == version

    asyncio.run(main())


# --- over a pipe


@pytest.mark.processes
def test_silence_over_a_pipe_is_remembered_so_that_the_next_process_is_not_asked_again():
    async def main():
        with FaultyStdio() as faulty:
            faulty.fault("hang_initialize", on="server/discover")
            server = Server("peer", command=faulty.command, args=faulty.args, timeouts=PATIENT)
            async with watched(server) as seen:
                await seen.connection.ready()
                assert seen.connection.protocol_version == LEGACY
                assert (faulty.fired, faulty.starts) == (1, 2)
                assert "failed" not in seen.states
                faulty.kill()
                await seen.until("ready", 2)
                assert seen.connection.protocol_version == LEGACY
                assert (faulty.fired, faulty.starts) == (1, 3)

    asyncio.run(main())


@pytest.mark.processes
def test_silence_that_was_no_sign_of_an_older_server_is_forgotten_again():
    async def main():
        with FaultyStdio(era="modern") as faulty:
            faulty.fault("hang_initialize", on="server/discover", times=1)
            server = Server("peer", command=faulty.command, args=faulty.args, timeouts=PATIENT)
            async with watched(server) as seen:
                with pytest.raises(RouterError):
                    await seen.connection.ready()
                await seen.connection.ready()
                assert seen.connection.protocol_version == MODERN

    asyncio.run(main())
