"""What a server does not read, and who waits for it."""

from __future__ import annotations

import asyncio
import os
import signal

import anyio
import pytest
from pydantic_core import PydanticSerializationError
from stdio_peer import ECHO, notification, request, run, server, until

# Reads nothing until it is told to; then says of each line which one it was, and how long.
LATE = """
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
note("ready")
signal.sigwait([signal.SIGUSR1])
for line in sys.stdin.buffer:
    say(id=json.loads(line)["id"], result={"size": len(line)})
"""
DEAF = "note('ready'); forever()"


def test_a_server_that_does_not_read_is_ended_and_its_senders_are_told() -> None:
    async def main() -> None:
        transport = server(DEAF, write_timeout=0.05, shutdown=60)
        async with transport as (read, write):
            results = await asyncio.gather(
                *(write.send(request(number, text="x" * 300_000)) for number in range(3)), return_exceptions=True
            )
            assert [type(result) for result in results] == [anyio.BrokenResourceError] * 3
            assert transport.died.is_set()
            with pytest.raises(anyio.EndOfStream):
                await read.receive()
            with pytest.raises(anyio.BrokenResourceError):
                await write.send(request(4))
            # It does not need to be left for that.
            assert await transport.wait_exited(10) == -15

    run(main)


def test_a_server_that_has_not_read_for_a_while_is_seen_to_be_stalled() -> None:
    async def main() -> None:
        transport = server(LATE, write_timeout=2)
        async with transport as (read, write):
            await until(lambda: transport.stderr)
            sender = asyncio.create_task(write.send(request(1, text="x" * 300_000)))
            assert not transport.stalled
            await until(lambda: transport.stalled)
            os.kill(transport.pid, signal.SIGUSR1)
            await sender
            assert not transport.stalled
            assert (await read.receive()).message.id == 1

    run(main)


def test_cancelled_senders_get_out_at_once_and_the_lines_stay_whole() -> None:
    async def main() -> None:
        transport = server(LATE)
        async with transport as (read, write):
            await until(lambda: transport.stderr)
            begun = asyncio.create_task(write.send(request(1, text="x" * 300_000)))
            waiting = asyncio.create_task(write.send(request(2, text="y")))
            patient = asyncio.create_task(write.send(request(3, text="z" * 300_000)))
            await asyncio.sleep(0)
            for sender in (begun, waiting):
                sender.cancel()
                await asyncio.wait([sender])
                assert sender.cancelled()
            os.kill(transport.pid, signal.SIGUSR1)
            await patient
            first, second = [(await read.receive()).message for _ in range(2)]
            # The first had begun, so the rest of it followed; the second had not.
            assert (first.id, second.id) == (1, 3)
            assert first.result["size"] > 300_000

    run(main)


def fill(transport: object) -> None:
    """Fill the pipe to a server to the last byte."""
    fd = transport._pipes[0]._fd  # type: ignore[attr-defined]
    with pytest.raises(BlockingIOError):
        while True:
            os.write(fd, b"\n" * 65_536)


def test_a_message_is_not_sent_if_its_sender_is_cancelled_before_a_byte_went_out() -> None:
    async def main() -> None:
        code = LATE.replace(
            "for line", "for line in filter(str.strip, sys.stdin): say(id=json.loads(line)['id'], result={})\nfor line"
        )
        transport = server(code)
        async with transport as (read, write):
            await until(lambda: transport.stderr)
            fill(transport)
            withdrawn = asyncio.create_task(write.send(request(1)))
            await asyncio.sleep(0)
            withdrawn.cancel()
            await asyncio.wait([withdrawn])
            later = asyncio.create_task(write.send(request(2)))
            await asyncio.sleep(0)
            assert not later.done()
            os.kill(transport.pid, signal.SIGUSR1)
            await later
            assert (await read.receive()).message.id == 2

    run(main)


def test_a_server_that_does_not_read_is_ended_though_every_sender_gives_up_early() -> None:
    async def main() -> None:
        transport = server(DEAF, write_timeout=0.2, shutdown=60)
        async with transport as (_, write):
            fill(transport)
            while not transport.died.is_set():
                try:
                    async with asyncio.timeout(0.01):
                        await write.send(request(1))
                except (TimeoutError, anyio.BrokenResourceError):
                    pass
            assert await transport.wait_exited(10) == -15

    run(main)


def test_closing_does_not_wait_for_a_message_that_was_withdrawn() -> None:
    async def main() -> None:
        transport = server("note('ready'); signal.sigwait([signal.SIGTERM])", shutdown=0.05)
        async with transport as (_, write):
            fill(transport)
            sender = asyncio.create_task(write.send(request(1)))
            await asyncio.sleep(0)
            sender.cancel()
            await asyncio.wait([sender])
            transport._pipes[0].finish(100)
            assert transport._pipes[0]._file.closed

    run(main)


def test_a_server_that_has_closed_its_input_breaks_the_next_send() -> None:
    async def main() -> None:
        transport = server("os.close(0); say(method='closed'); forever()", shutdown=0.05)
        async with transport as (read, write):
            await read.receive()
            with pytest.raises(anyio.BrokenResourceError):
                await write.send(request(1))
            assert transport.died.is_set()
            assert transport.exit_code is None

    run(main)


def test_a_server_that_dies_in_the_middle_of_a_message_breaks_its_send() -> None:
    async def main() -> None:
        transport = server(DEAF)
        async with transport as (_, write):
            senders = [asyncio.create_task(write.send(request(number, text="x" * 300_000))) for number in range(2)]
            await asyncio.sleep(0)
            os.kill(transport.pid, signal.SIGKILL)
            for sender in senders:
                with pytest.raises(anyio.BrokenResourceError):
                    await sender

    run(main)


def test_a_closed_stream_sends_nothing_more_but_finishes_what_it_began() -> None:
    async def main() -> None:
        transport = server(LATE)
        async with transport as (read, write):
            await until(lambda: transport.stderr)
            begun = asyncio.create_task(write.send(request(1, text="x" * 300_000)))
            waiting = asyncio.create_task(write.send(request(2)))
            await asyncio.sleep(0)
            async with write:
                pass
            with pytest.raises(anyio.ClosedResourceError):
                os.kill(transport.pid, signal.SIGUSR1)
                await waiting
            await begun
            assert (await read.receive()).message.result["size"] > 300_000

    run(main)


def test_leaving_lets_the_server_have_the_message_that_is_under_way() -> None:
    async def main() -> None:
        code = LATE.replace("say(id=json.loads(line)", "note(json.dumps(json.loads(line)").replace(
            ', result={"size": len(line)})', "))"
        )
        transport = server(code)
        async with asyncio.TaskGroup() as group, transport as (_, write):
            await until(lambda: transport.stderr)
            group.create_task(write.send(request(7, text="x" * 300_000)))
            await asyncio.sleep(0)
            os.kill(transport.pid, signal.SIGUSR1)
        assert transport.stderr == "ready\n7\n"
        assert transport.exit_code == 0

    run(main)


def test_leaving_does_not_wait_long_for_a_message_that_is_not_read() -> None:
    async def main() -> None:
        transport = server(DEAF, shutdown=1)
        async with transport as (_, write):
            sender = asyncio.create_task(write.send(request(1, text="x" * 300_000)))
            await asyncio.sleep(0)
        with pytest.raises(anyio.ClosedResourceError):
            await sender
        assert transport.exit_code == -15

    run(main)


def test_a_message_that_is_no_json_fails_its_sender_only() -> None:
    async def main() -> None:
        async with server(ECHO) as (read, write):
            with pytest.raises(PydanticSerializationError):
                await write.send(notification(text="\ud83d"))
            await write.send(request(1))
            assert (await read.receive()).message.id == 1

    run(main)


def test_a_sender_in_a_cancelled_scope_sends_nothing() -> None:
    async def main() -> None:
        async with server(ECHO) as (read, write):
            with anyio.CancelScope() as scope:
                scope.cancel()
                await write.send(request(1))
            assert scope.cancelled_caught
            await write.send(request(2))
            assert (await read.receive()).message.id == 2

    run(main)
