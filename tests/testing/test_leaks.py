"""Whether leaks are seen, named, and told from what only needs a moment."""

from __future__ import annotations

import asyncio
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from anyio import to_thread

from recloser.testing import leaks
from recloser.testing.leaks import Child, no_leaks, snapshot

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are seen on Linux only")


def check(body: Callable[[], object], *, grace: float = 0.0) -> str:
    """Run a body and return what is said to be left behind."""

    async def main() -> str:
        with pytest.raises(AssertionError) as raised:
            async with no_leaks(grace=grace):
                body()
        return str(raised.value)

    return asyncio.run(main())


def test_nothing_is_said_where_nothing_is_left() -> None:
    async def main() -> None:
        async with no_leaks() as before:
            assert asyncio.current_task() in before.tasks
            await asyncio.create_subprocess_exec("true")
            await asyncio.to_thread(int)
            with Path(os.devnull).open():
                pass

    asyncio.run(main())


def test_a_snapshot_can_be_made_without_a_loop() -> None:
    assert snapshot().tasks == frozenset()
    assert snapshot().beyond(snapshot()) == []


def test_a_task_that_is_left_is_named() -> None:
    async def forever() -> None:
        await asyncio.get_running_loop().create_future()

    kept = []
    said = check(lambda: kept.append(asyncio.get_running_loop().create_task(forever(), name="lost")))
    assert "- task lost: <coroutine object" in said


def test_a_task_that_ends_within_the_grace_is_no_leak() -> None:
    async def main() -> None:
        kept = []
        async with no_leaks(grace=10):
            kept.append(asyncio.create_task(asyncio.sleep(0.02)))

    asyncio.run(main())


def test_a_descriptor_that_is_left_is_named() -> None:
    ends: list[int] = []
    said = check(lambda: ends.extend(os.pipe()))
    assert said.count("- file descriptor ") == 2
    assert f"- file descriptor {ends[0]}: pipe:[" in said or not sys.platform.startswith("linux")
    for end in ends:
        os.close(end)


def test_a_thread_that_is_left_is_named() -> None:
    go = threading.Event()
    thread = threading.Thread(target=go.wait, name="lost")
    assert "- thread lost" in check(thread.start)
    go.set()
    thread.join()


def waits_for(what: str) -> tuple[Callable[[], object], Callable[[], object]]:
    """Return what holds up a thread, and what lets it go: by an event, a queue, or a lock."""
    if what == "event":
        event = threading.Event()
        return event.wait, event.set
    if what == "queue":
        line: queue.Queue[None] = queue.Queue()
        return line.get, lambda: line.put(None)
    lock = threading.Lock()
    lock.acquire()
    return lock.acquire, lock.release


POOLS: dict[str, Callable[[Callable[[], object]], Coroutine[Any, Any, object]]] = {
    "asyncio_": asyncio.to_thread,
    "AnyIO worker thread": partial(to_thread.run_sync, abandon_on_cancel=True),
}


@pytest.mark.parametrize("what", ["event", "queue", "lock"])
@pytest.mark.parametrize("pool", POOLS)
def test_a_thread_of_a_pool_that_never_comes_back_is_named(pool: str, what: str) -> None:
    wait, release = waits_for(what)

    async def main() -> None:
        begun = asyncio.Event()
        loop = asyncio.get_running_loop()

        def body() -> None:
            loop.call_soon_threadsafe(begun.set)
            wait()

        try:
            with pytest.raises(AssertionError, match=f"- thread {pool}"):
                async with no_leaks(grace=0):
                    left = asyncio.create_task(POOLS[pool](body))
                    await begun.wait()
                    left.cancel()
        finally:
            release()

    asyncio.run(main())


@pytest.mark.parametrize("pool", POOLS)
def test_a_thread_that_its_pool_keeps_for_later_is_no_leak(pool: str) -> None:
    async def main() -> None:
        async with no_leaks():
            assert await POOLS[pool](int) == 0
        assert [thread for thread in threading.enumerate() if thread.name.startswith(pool)]

    asyncio.run(main())


def test_a_thread_of_a_pool_that_has_not_begun_is_not_idle() -> None:
    assert not leaks._is_idle(threading.Thread(name="asyncio_0"))


@linux
def test_a_process_that_is_left_is_named_and_so_is_a_zombie() -> None:
    children: list[subprocess.Popen[bytes]] = []
    assert "(sleep) of " in check(lambda: children.append(subprocess.Popen(["sleep", "100"])))
    (child,) = children

    def kill() -> None:
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)

    before = snapshot()
    kill()
    (seen,) = [other for other in snapshot().children if other.pid == child.pid]
    assert seen.zombie
    assert seen in before.children
    assert snapshot().beyond(before) == []
    before = leaks.Snapshot(tasks=before.tasks, children=frozenset(), fds=before.fds, threads=before.threads)
    assert f"zombie {child.pid} (sleep) of {os.getpid()}" in snapshot().beyond(before)
    child.wait()


ORPHAN = "import subprocess; print(subprocess.Popen(['sleep', '100'], stdout=-3, stderr=-3).pid)"


def leave_an_orphan() -> int:
    """Start a process in another session whose parent has ended, and return its number."""
    parent = subprocess.run([sys.executable, "-c", ORPHAN], start_new_session=True, capture_output=True, check=True)
    return int(parent.stdout)


@linux
def test_an_orphan_in_another_session_is_named() -> None:
    pids: list[int] = []
    said = check(lambda: pids.append(leave_an_orphan()))
    assert f"- process {pids[0]} (sleep) of {os.getpid()}" in said
    os.kill(pids[0], signal.SIGKILL)
    os.waitpid(pids[0], 0)


@linux
def test_an_orphan_that_was_ended_is_no_leak_though_nobody_has_reaped_it() -> None:
    async def main() -> None:
        async with no_leaks():
            pid = leave_an_orphan()
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)

    asyncio.run(main())


@linux
def test_a_process_is_seen_as_long_as_the_leader_of_its_session_is_ours() -> None:
    code = """
import os, subprocess, sys
# The shell in the middle ends at once, so the sleeper is nobody's child that is below us.
subprocess.run(["sh", "-c", "sleep 100 > /dev/null & echo $!"])
sys.stdin.read()
"""
    leader = subprocess.Popen(
        [sys.executable, "-c", code], start_new_session=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert leader.stdin is not None
    assert leader.stdout is not None
    sleeper = int(leader.stdout.readline())
    assert {leader.pid, sleeper} <= {child.pid for child in snapshot().children}
    os.killpg(leader.pid, signal.SIGKILL)
    leader.communicate()


def test_the_exception_of_the_body_goes_first() -> None:
    async def main() -> None:
        kept = []
        async with no_leaks(grace=0):
            kept.append(os.pipe())
            raise ZeroDivisionError

    before = {fd for fd, _ in snapshot().fds}
    with pytest.raises(ZeroDivisionError):
        asyncio.run(main())
    for fd in {fd for fd, _ in snapshot().fds} - before:
        os.close(fd)


def test_a_number_that_is_used_again_makes_another_child() -> None:
    facts = {"command": "x", "parent": 1, "session": 1}
    child = Child(pid=7, started=1, zombie=False, **facts)  # type: ignore[arg-type]
    assert child == Child(pid=7, started=1, zombie=True, **facts)  # type: ignore[arg-type]
    assert child != Child(pid=7, started=2, zombie=False, **facts)  # type: ignore[arg-type]
    assert child != 7


def test_other_systems_tell_what_they_have(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(leaks, "_PROC", tmp_path)
    monkeypatch.setattr(sys, "platform", "darwin")
    ends: list[int] = []
    said = check(lambda: ends.extend(os.pipe()))
    assert said.count("- file descriptor ") == 2
    assert snapshot().children == frozenset()
    for end in ends:
        os.close(end)


def test_a_process_that_ends_while_the_list_is_read_is_passed_over(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "123").mkdir()
    monkeypatch.setattr(leaks, "_PROC", tmp_path)
    assert snapshot().children == frozenset()
