"""A peer that does what a call's text says; loaded by the scoreboard's driver in a process of its own."""

import asyncio
import os
from contextlib import asynccontextmanager


def versions():
    return {"fake": "1.0"}


@asynccontextmanager
async def connect(servers, deadline, tuned):
    if servers == ["refused"]:
        raise OSError("it cannot start")
    print("peers may print what they like")
    dying = asyncio.Event()
    kept = []

    async def call(server, tool, arguments, timeout, safe):
        text = arguments["text"]
        if text == "hang":
            await asyncio.sleep(60)
        if text == "raise":
            raise ExceptionGroup("several", [ValueError("the first of them")])
        if text == "wrong":
            return "something else"
        if text == "leave a task":
            kept.append(asyncio.create_task(asyncio.sleep(60), name="left"))
        if text == "leave a pipe":
            kept.append(os.pipe())
        if text == "die":
            dying.set()
        return text

    host = asyncio.current_task()
    watching = asyncio.create_task(_cancel(host, dying))
    yield call
    watching.cancel()


async def _cancel(host, dying):
    await dying.wait()
    host.cancel()
