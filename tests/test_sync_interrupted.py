"""A program without an event loop that is interrupted or ends: its calls are cancelled, its servers end with it."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
from contextlib import contextmanager

import pytest
from anyio.from_thread import BlockingPortal

from recloser import Call
from support.routers import text
from support.sync_routers import Local, router


class Interrupted(BaseException):
    """As Ctrl-C is."""


@contextmanager
def interrupted_in(local):
    """Interrupt the main thread, by a signal, once the server's tool runs; that is what goes out."""

    def interrupt(number, frame):
        raise Interrupted

    def when_entered():
        local.entered.wait(10)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGALRM)

    old = signal.signal(signal.SIGALRM, interrupt)
    helper = threading.Thread(target=when_entered)
    try:
        helper.start()
        with pytest.raises(Interrupted) as raised:
            yield raised
        helper.join()
    finally:
        signal.signal(signal.SIGALRM, old)


def test_a_call_that_is_interrupted_is_cancelled():
    local = Local()
    with router(local) as made:
        with interrupted_in(local):
            made.call_tool("local__hang")
        assert local.cancelled.wait(10)
        assert text(made.call_tool("local__echo", {"text": "hi"})) == "hi"


def test_a_stream_that_is_interrupted_is_cancelled_and_the_interruption_goes_out_as_it_came():
    local = Local()
    with router(local) as made:
        with interrupted_in(local) as raised:
            for reply in made.stream([Call.tool("local__hang")] * 2):
                pytest.fail(f"a tool that hangs has answered: {reply}")
        assert raised.value.__context__ is None
        assert local.cancelled.wait(10)
        assert made.health()["local"].endpoints[0].in_flight == 0
        assert text(made.call_tool("local__echo", {"text": "hi"})) == "hi"


def test_an_interruption_in_the_middle_of_handing_a_call_over_cancels_it_too(monkeypatch):
    local = Local()
    hand_over = BlockingPortal.start_task_soon

    def interrupted(portal, *args):
        monkeypatch.undo()
        hand_over(portal, *args)
        assert local.entered.wait(10)
        raise KeyboardInterrupt

    with router(local) as made:
        monkeypatch.setattr(BlockingPortal, "start_task_soon", interrupted)
        with pytest.raises(KeyboardInterrupt):
            made.call_tool("local__hang")
        assert local.cancelled.wait(10)
        assert text(made.call_tool("local__echo", {"text": "hi"})) == "hi"


def test_an_interruption_after_the_loop_has_ended_goes_out_as_it_came(monkeypatch):
    def interrupted(portal, *args):
        made.close()
        raise KeyboardInterrupt

    with router() as made:
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(BlockingPortal, "start_task_soon", lambda *args: (patch.undo(), interrupted(*args)))
            made.call_tool("local__hang")
        with pytest.raises(RuntimeError, match="not open"):
            made.health()


@pytest.mark.processes
def test_a_program_that_forgets_to_close_ends_all_the_same_and_its_servers_with_it(tmp_path):
    server = tmp_path / "server.py"
    server.write_text(
        textwrap.dedent(
            """
            import os
            from mcp.server import MCPServer

            server = MCPServer("local", log_level="ERROR")

            @server.tool()
            def pid() -> int:
                return os.getpid()

            server.run()
            """
        )
    )
    code = textwrap.dedent(
        f"""
        import sys
        from recloser import Server, SyncRouter

        router = SyncRouter(Server("local", command=sys.executable, args=[{str(server)!r}], required=True))
        router.open()
        print(router.call_tool("local__pid").structured_content["result"])
        """
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""
    with pytest.raises(ProcessLookupError):
        os.kill(int(done.stdout), 0)


@pytest.mark.processes
def test_ctrl_c_ends_a_program_that_uses_it():
    code = textwrap.dedent(
        """
        import asyncio
        from mcp.server import MCPServer
        from recloser import Server, SyncRouter

        server = MCPServer("local", log_level="ERROR")

        @server.tool()
        async def hang() -> str:
            print("in", flush=True)
            await asyncio.Event().wait()

        with SyncRouter(Server("local", server)) as router:
            router.call_tool("local__hang")
        """
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=-1, stderr=-1, text=True)
    try:
        assert process.stdout.readline() == "in\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
        assert process.returncode == -signal.SIGINT
        assert errors.rstrip().endswith("KeyboardInterrupt")
    finally:
        process.kill()
