"""A router without an event loop in a process that forks: the child is told, and ends."""

import subprocess
import sys
import textwrap

import pytest

pytestmark = pytest.mark.processes

BEGIN = """
import os, sys
from mcp.server import MCPServer
from recloser import Server, SyncRouter

server = MCPServer("local", log_level="ERROR")

@server.tool()
async def echo() -> str:
    return "echo"

def text():
    return router.call_tool("local__echo").content[0].text

router = SyncRouter(Server("local", server))
router.open()
print(text(), flush=True)
child = os.fork()
"""
END = """
print(os.waitpid(child, 0)[1], text())
router.close()
"""


def run(in_the_child):
    code = BEGIN + "if child == 0:\n" + textwrap.indent(textwrap.dedent(in_the_child), "    ") + END
    return subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )


def test_a_call_in_a_fork_is_refused_at_once():
    done = run(
        """
        try:
            text()
        except RuntimeError as error:
            print(error, flush=True)
        router.close()
        try:
            text()
        except RuntimeError as error:
            print(error, flush=True)
        sys.exit(3)
        """
    )
    told = done.stdout.splitlines()
    assert told[0] == "echo"
    assert "opened in another process" in told[1]
    assert "not open" in told[2]
    assert told[3] == f"{3 << 8} echo"


def test_a_fork_that_uses_nothing_of_it_ends():
    assert run("sys.exit(0)").stdout.splitlines() == ["echo", "0 echo"]
