"""What servers tell beside their answers: logs, and notifications that change nothing."""

import asyncio
import logging

from connection_kit import ERAS, watched

from recloser.connection import Callbacks
from recloser.testing.clock import run_virtual
from support.peers import Peer, said


@ERAS
def test_what_a_server_logs_is_heard_with_its_name(modern):
    async def main():
        heard = []

        async def on_log(server, params):
            heard.append((server, params.level, params.data))

        async def talks(line, params):
            level = params.get("_meta", {}).get("io.modelcontextprotocol/logLevel")
            assert level == ("info" if line.modern else None)
            line.notify("notifications/message", {"level": "warning", "data": "careful"})
            return said("done")

        async with watched(Peer(modern=modern, on={"talks": talks}).server(), Callbacks(on_log=on_log)) as seen:
            await seen.call("talks")
            await asyncio.sleep(0.01)
            assert heard == [("peer", "warning", "careful")]

    run_virtual(main)


def test_a_log_callback_that_fails_costs_only_its_own_message(caplog):
    async def main():
        async def on_log(server, params):
            raise ValueError("full")

        async def talks(line, params):
            line.notify("notifications/message", {"level": "warning", "data": "careful"})
            return said("done")

        async with watched(Peer(on={"talks": talks}).server(), Callbacks(on_log=on_log)) as seen:
            assert await seen.call("talks") == "done"
            assert await seen.call("talks") == "done"

    run_virtual(main)
    assert "the log callback failed for server peer" in caplog.text


@ERAS
def test_a_notification_that_is_none_is_left_out_and_quoted_nowhere(modern, caplog):
    caplog.set_level(logging.INFO)

    async def main():
        heard = []

        async def on_log(server, params):
            heard.append(params.data)

        async def talks(line, params):
            line.notify("notifications/message", {"data": "SECRET"})
            line.notify("notifications/progress", {"progressToken": ["SECRET"]})
            line.notify("notifications/resources/updated", {"uri": {"SECRET": 1}})
            line.notify("notifications/weather", {"it": "SECRET"})
            line.notify("notifications/message", {"level": "warning", "data": "careful"})
            return said("done")

        async with watched(Peer(modern=modern, on={"talks": talks}).server(), Callbacks(on_log=on_log)) as seen:
            assert await seen.call("talks") == "done"
            await asyncio.sleep(0.01)
            assert heard == ["careful"]

    run_virtual(main)
    assert "SECRET" not in caplog.text


def test_nobody_who_does_not_listen_is_sent_logs():
    async def main():
        peer = Peer()
        async with watched(peer.server()) as seen:
            await seen.call("echo")
            assert "io.modelcontextprotocol/logLevel" not in peer.line.seen[-1].params["_meta"]

    run_virtual(main)


def test_notifications_of_other_kinds_change_nothing():
    async def main():
        peer = Peer(modern=False)
        async with watched(peer.server()) as seen:
            await seen.connection.ready()
            peer.line.notify("notifications/resources/updated", {"uri": "a://b"})
            await asyncio.sleep(10)
            assert peer.methods.count("tools/list") == 1

    run_virtual(main)
