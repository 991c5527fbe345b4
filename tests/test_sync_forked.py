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
"""
END = """
print(os.waitpid(child, 0)[1], text())
router.close()
"""


def run(in_the_child, *, before="", after=END):
    forked = "child = os.fork()\nif child == 0:\n" + textwrap.indent(textwrap.dedent(in_the_child), "    ")
    return subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", BEGIN + textwrap.dedent(before) + forked + after],
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
    assert told[2] == told[1]
    assert told[3] == f"{3 << 8} echo"


def test_a_router_of_the_parent_is_not_opened_in_a_fork_but_a_new_one_can_be():
    done = run(
        """
        for close in (False, True):
            if close:
                router.close()
            try:
                router.open()
            except RuntimeError as error:
                print(error, flush=True)
        router = SyncRouter(Server("local", server))
        with router:
            print(text(), flush=True)
        with router:
            print(text(), flush=True)
        sys.exit(3)
        """
    )
    refusal = "the router was opened in another process; make a new SyncRouter in each, after forking"
    assert done.stdout.splitlines() == ["echo", refusal, refusal, "echo", "echo", f"{3 << 8} echo"]


def test_a_router_that_the_parent_has_closed_can_be_opened_in_a_fork():
    done = run(
        """
        with router:
            print(text(), flush=True)
        sys.exit(3)
        """,
        before="router.close()\n",
        after="\nprint(os.waitpid(child, 0)[1], 'closed')",
    )
    assert done.stdout.splitlines() == ["echo", "echo", f"{3 << 8} closed"]


def test_a_stream_of_the_parent_that_a_fork_throws_away_says_nothing():
    done = run(
        """
        del replies
        sys.exit(0)
        """,
        before="""
        from recloser import Call
        replies = router.stream([Call.tool("local__echo")] * 2)
        next(replies)
        """,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["echo", "0 echo"]


def test_a_fork_that_uses_nothing_of_it_ends():
    assert run("sys.exit(0)").stdout.splitlines() == ["echo", "0 echo"]
