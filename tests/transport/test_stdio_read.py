"""What a server writes: long, many, broken, or more than anybody takes."""

from __future__ import annotations

import asyncio

import anyio
import pytest
from stdio_peer import ECHO, request, run, server, until

from recloser.facts import HttpFacts, facts_of
from recloser.transport.stdio import _OVERHEAD, _QUEUED


def test_a_line_of_twenty_megabytes_is_received() -> None:
    async def main() -> None:
        async with server("say(id=1, result={'text': 'x' * 20_000_000})\nlist(lines())") as (read, _):
            assert len((await read.receive()).message.result["text"]) == 20_000_000

    run(main)


def test_many_messages_in_one_chunk_and_one_message_in_many_chunks_are_received() -> None:
    async def main() -> None:
        code = """
one = b'{"jsonrpc":"2.0","id":%d,"result":{}}\\r\\n'
raw(b"".join(one % number for number in range(1000)))
for byte in one % 1000:
    raw(bytes([byte]))
"""
        async with server(code) as (read, _):
            assert [item.message.id async for item in read] == list(range(1001))

    run(main)


def test_noise_is_counted_and_the_answers_between_it_are_received() -> None:
    async def main() -> None:
        code = """
raw(b"Welcome!\\n\\n\\xff\\xfe\\n[1]\\n{not json\\n")
say(id=1, result={"text": "fine"})
raw(b'{"jsonrpc":"2.0","id":2,"result":{"text":"caf\\xe9"}}\\n')
raw(b'{"jsonrpc":"2.0","id":3,"result":7}\\n')
list(lines())
"""
        transport = server(code)
        async with transport as (read, _):
            found = [(await read.receive()).message for _ in range(3)]
        assert found[0].result == {"text": "fine"}
        assert found[1].result == {"text": "caf\ufffd"}
        assert (found[2].id, found[2].error.code) == (3, -32700)
        assert transport.ignored_lines == 5

    run(main)


@pytest.mark.parametrize("order", ["'id': 1, 'result': big", "'result': big, 'jsonrpc': '2.0', 'id': 1"])
def test_an_answer_that_is_too_large_fails_alone_and_the_connection_lives_on(order: str) -> None:
    async def main() -> None:
        code = f"""
big = {{"text": "x" * 5_000_000}}
raw(json.dumps({{{order.replace("'id': 1, 'r", "'jsonrpc': '2.0', 'id': 1, 'r")}}}).encode() + b"\\n")
raw(b"z" * 3_000_000 + b"\\n")
say(id=2, result={{}})
list(lines())
"""
        transport = server(code, max_message=1_000_000)
        async with transport as (read, _):
            large, fine = [(await read.receive()).message for _ in range(2)]
        assert (large.id, large.error.code) == (1, -32099)
        assert facts_of(large.error.data) == HttpFacts(kind="too_large", sent=True)
        assert fine.id == 2
        assert transport.ignored_lines == 1

    run(main)


def test_a_server_that_writes_more_than_is_taken_has_to_wait() -> None:
    async def main() -> None:
        code = """
text = "x" * 1000
for number in range(20_000):
    say(method="tell", params={"number": number, "text": text})
list(lines())
"""
        transport = server(code)
        async with transport as (read, _):
            stdout = transport._pipes[1]
            await until(lambda: stdout.paused)
            chunk = 65_536 + 70 * _OVERHEAD
            assert transport._inbox.level <= _QUEUED + chunk
            numbers = [(await read.receive()).message.params["number"] for _ in range(20_000)]
            assert numbers == list(range(20_000))
            assert transport._inbox.level == 0

    run(main)


def test_a_server_that_writes_first_and_a_client_that_sends_first_do_not_wait_for_each_other() -> None:
    async def main() -> None:
        code = (
            "for number in range(6000): say(method='tell', params={'number': number, 'text': 'x' * 1000})\n"
            "for message in lines(): say(id=message['id'], result={})\n"
        )
        transport = server(code)
        async with transport as (read, write):
            await until(lambda: transport._pipes[1].paused)
            # More than a pipe holds: it is taken only when the server gets rid of its own.
            await write.send(request(1, text="y" * 500_000))
            for _ in range(6000):
                await read.receive()
            assert (await read.receive()).message.id == 1

    run(main)


def test_a_server_that_has_to_wait_is_still_ended() -> None:
    async def main() -> None:
        transport = server("while True: say(method='tell', params={'text': 'x' * 10_000})", shutdown=0.1)
        async with transport:
            await until(lambda: transport._pipes[1].paused)

    run(main)


def test_a_stream_that_is_closed_lets_the_server_write_on() -> None:
    async def main() -> None:
        code = "for _ in range(20_000): say(method='tell', params={'text': 'x' * 1000})\nnote('written')"
        transport = server(code)
        async with transport as (read, _):
            await until(lambda: transport._pipes[1].paused)
            async with read:
                pass
            with pytest.raises(anyio.ClosedResourceError):
                await read.receive()
            await transport.wait_exited(60)
            assert transport.stderr == "written\n"
            assert transport._inbox.level == 0

    run(main)


def test_a_receiver_is_woken_when_its_stream_is_closed() -> None:
    async def main() -> None:
        async with server(ECHO) as (read, _):
            receiver = asyncio.create_task(read.receive())
            await asyncio.sleep(0)
            await read.aclose()
            with pytest.raises(anyio.ClosedResourceError):
                await receiver

    run(main)


def test_only_one_task_receives_at_a_time() -> None:
    async def main() -> None:
        async with server(ECHO) as (read, write):
            first = asyncio.create_task(read.receive())
            await asyncio.sleep(0)
            with pytest.raises(anyio.BusyResourceError):
                await read.receive()
            await write.send(request(1))
            assert (await first).message.id == 1

    run(main)


def test_a_receiver_that_is_cancelled_loses_no_message() -> None:
    async def main() -> None:
        transport = server(ECHO)
        async with transport as (read, _):
            receiver = asyncio.create_task(read.receive())
            await asyncio.sleep(0)
            # It is woken for a message and cancelled in the same turn of the loop.
            transport._inbox.put(request(1), 0)
            receiver.cancel()
            await asyncio.wait([receiver])
            assert receiver.cancelled()
            assert (await read.receive()).message.id == 1

    run(main)


def test_a_receiver_of_many_messages_lets_others_have_their_turn() -> None:
    async def main() -> None:
        transport = server("for number in range(100): say(id=number, result={})")
        async with transport as (read, _):
            await transport.wait_exited(60)
            turns = 0

            async def count() -> None:
                nonlocal turns
                while True:
                    turns += 1
                    await asyncio.sleep(0)

            other = asyncio.create_task(count())
            for _ in range(100):
                await read.receive()
            other.cancel()
            await asyncio.wait([other])
            assert turns >= 4

    run(main)
