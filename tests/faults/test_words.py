"""What a server says is no proof that its tool has not run: a tool may pass on what a server of its own has told it."""

from __future__ import annotations

import asyncio

import pytest
from mcp import MCPError
from mcp.server import MCPServer

from recloser import Breaker, Retry, Router, Server, error_of
from recloser.testing.clock import run_virtual
from recloser.testing.faulty import FaultyHttp, FaultyStdio

WORDS = [
    (-32600, "Session terminated", "protocol_violation"),
    (-32600, "Session not found", "protocol_violation"),
    (-32001, "Session not found", "server_fault"),
    (-32020, "Mcp-Param-x does not match", "protocol_violation"),
    (-32021, "sampling", "invalid_request"),
    (-32022, "2030-01-01", "protocol_violation"),
]
"""A code, a text, and what becomes of it where only the server says so."""
EAGER = {"retry": Retry(attempts=3, backoff=0.01), "breaker": Breaker(enabled=False)}


async def told(router, faulty):
    for number, (code, message, expected) in enumerate(WORDS):
        faulty.fault("jsonrpc_error", code=code, message=message, executes=True, on="tools/call")
        label = f"mail {number}"
        error = error_of(await router.call_tool("mail__write", {"text": label}))
        assert (error.code, error.delivered, error.attempts) == (expected, "maybe", 1), message
        assert faulty.executed("write").count(label) == 1, message
        faulty.heal()


@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_a_tool_that_passes_on_what_its_own_server_said_runs_once_over_http(era):
    async def main():
        async with (
            FaultyHttp(era=era) as faulty,
            Router(Server("mail", faulty.url, era=era, **EAGER)) as router,
        ):
            await told(router, faulty)

    asyncio.run(main())


@pytest.mark.processes
@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_a_tool_that_passes_on_what_its_own_server_said_runs_once_over_a_pipe(era):
    async def main():
        with FaultyStdio(era=era) as faulty:
            async with Router(Server("mail", faulty.parameters(), era=era, **EAGER)) as router:
                await told(router, faulty)

    asyncio.run(main())


@pytest.mark.parametrize("era", ["legacy", "modern"])
@pytest.mark.parametrize(("code", "message", "expected"), WORDS)
def test_a_tool_that_passes_on_what_its_own_server_said_runs_once_within_the_process(era, code, message, expected):
    async def main():
        ran = []
        mail = MCPServer("mail", log_level="CRITICAL")

        @mail.tool()
        async def write() -> str:
            ran.append(True)
            raise MCPError(code, message)

        async with Router(Server("mail", mail, era=era, **EAGER)) as router:
            error = error_of(await router.call_tool("mail__write"))
            assert (error.code, error.delivered, len(ran)) == (expected, "maybe", 1)

    run_virtual(main)
