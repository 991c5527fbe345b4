"""Real misbehaving servers for the tests of the stdio transport: small scripts, and what the tests do with them."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCNotification, JSONRPCRequest

from recloser.testing.leaks import no_leaks
from recloser.transport.stdio import StdioTransport

PRELUDE = """
import json, os, signal, subprocess, sys, time
def say(**members):
    raw(json.dumps({"jsonrpc": "2.0", **members}).encode() + b"\\n")
def raw(data):
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
def note(text):
    print(text, file=sys.stderr, flush=True)
def lines():
    for line in sys.stdin.buffer:
        yield json.loads(line)
def forever():
    while True:
        time.sleep(100)
"""

ECHO = """
for message in lines():
    say(id=message["id"], result=message.get("params") or {})
"""


def server(code: str, **options: Any) -> StdioTransport:
    """Return a transport that runs `code` after the prelude."""
    options = {"max_message": 1 << 25, "stderr_tail": 8192, **options}
    return StdioTransport(command=sys.executable, args=["-I", "-S", "-c", PRELUDE + code], **options)


def request(number: int, **params: Any) -> SessionMessage:
    return SessionMessage(JSONRPCRequest(jsonrpc="2.0", id=number, method="echo", params=params))


def notification(**params: Any) -> SessionMessage:
    return SessionMessage(JSONRPCNotification(jsonrpc="2.0", method="tell", params=params))


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a test that must leave nothing behind: no task, process, descriptor or thread."""

    async def checked() -> None:
        async with no_leaks():
            await main()

    asyncio.run(checked())


async def until(condition: Callable[[], object]) -> None:
    """Wait for what has no event; a test that waits in vain ends by its time limit."""
    while not condition():
        await asyncio.sleep(0.002)


def is_running(pid: int) -> bool:
    """Return whether a process is there and no zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"
