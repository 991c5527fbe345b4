"""A host's callback that awaited what was cancelled has failed by itself; one that is cancelled ends as it should."""

import asyncio

import pytest
from asks_kit import asking
from connection_kit import ERAS, watched

from recloser import RouterError
from recloser.apart import of_the_host
from recloser.connection import Callbacks
from recloser.testing.clock import run_virtual
from support.peers import Peer, said


async def closed_dialog(*_):
    answer = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(answer.cancel)
    await answer


class Bad(BaseException):
    pass


async def raises_what_is_no_exception(*_):
    raise Bad


FAILS = pytest.mark.parametrize("fails", [closed_dialog, raises_what_is_no_exception])


async def tells(line, params):
    """Tell a log message and progress, wait, and answer."""
    line.notify("notifications/message", {"level": "warning", "data": "careful"})
    token = params.get("_meta", {}).get("progressToken")
    if token is not None:
        line.notify("notifications/progress", {"progressToken": token, "progress": 1})
    await asyncio.sleep(1)
    return said("done")


@ERAS
@FAILS
def test_neither_the_session_nor_any_call_ends_where_a_callback_has_awaited_what_was_cancelled(modern, fails, caplog):
    async def main():
        peer = asking(Peer(modern=modern, on={"tells": tells}), "elicitation")
        async with watched(peer.server(), Callbacks(elicitation=fails, on_log=fails)) as seen:
            sibling = asyncio.create_task(seen.call("tells"))
            assert await seen.call("tells", progress=fails) == "done"
            if not modern:
                assert await seen.call("ask") == "the callback for elicitation failed"
            assert await sibling == "done"
            assert seen.connection.number == 1

    run_virtual(main)
    assert "the log callback failed for server peer" in caplog.text
    assert "a progress callback failed" in caplog.text


@pytest.mark.parametrize("what", ["elicitation", "on_log", "progress"])
def test_a_callback_that_waits_is_cancelled_with_its_connection(what):
    async def main():
        begun, ended = asyncio.Event(), []

        async def waits(*_):
            begun.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                ended.append(what)
                raise

        peer = asking(Peer(modern=False, on={"tells": tells}), "elicitation")
        callbacks = {} if what == "progress" else {what: waits}
        more = {"progress": waits} if what == "progress" else {}
        async with watched(peer.server(), Callbacks(**callbacks)) as seen:
            call = asyncio.create_task(seen.call("ask" if what == "elicitation" else "tells", **more))
            await begun.wait()
            await seen.connection.close()
            with pytest.raises(RouterError, match="was closed during the call"):
                await call
        assert ended == [what]

    run_virtual(main)


def test_the_end_of_the_process_is_no_failure_of_a_callback():
    assert not of_the_host(KeyboardInterrupt())
    assert not of_the_host(SystemExit())
    assert of_the_host(ValueError())
