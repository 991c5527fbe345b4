"""Servers that `recloser top` looks at are asked for a sign of life again and again."""

import asyncio

from recloser.cli import top_source
from recloser.testing.clock import run_virtual


def test_servers_are_asked_at_once_and_then_every_few_seconds(monkeypatch):
    asked = []

    async def ask(router):
        asked.append((router, asyncio.get_running_loop().time()))

    async def main():
        probing = asyncio.create_task(top_source._keep_probing("the router"))
        await asyncio.sleep(2.5 * top_source.PROBE_EVERY)
        probing.cancel()
        await asyncio.wait({probing})

    monkeypatch.setattr(top_source, "_probe_all", ask)
    run_virtual(main)
    assert asked == [("the router", times * top_source.PROBE_EVERY) for times in (0, 1, 2)]
