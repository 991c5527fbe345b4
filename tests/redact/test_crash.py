"""What a process says when it crashes."""

from __future__ import annotations

import subprocess
import sys

import pytest

BEGIN = """
import sys, threading
from recloser.redact import Redactor
from recloser.redact.crash import guard
undo = guard(lambda: Redactor(["hunter2hunter2"]))
def fail():
    raise ValueError("say hunter2hunter2")
"""


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", BEGIN + program], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize(
    ("program", "code", "said"),
    [
        ("fail()", 1, ["Traceback (most recent call last)", "in fail", "ValueError: say [redacted]"]),
        ("threading.Thread(target=fail).start()", 0, ["Exception in a thread:\n", "ValueError: say [redacted]"]),
        (
            "class Bad:\n    def __del__(self): fail()\nBad()",
            0,
            ["Exception ignored:\n", "ValueError: say [redacted]"],
        ),
        ("try:\n    fail()\nexcept ValueError as e:\n    raise KeyError('x') from e", 1, ["[redacted]", "KeyError"]),
    ],
    ids=["uncaught", "in a thread", "unraisable", "with a cause"],
)
def test_a_crash_is_told_redacted(program: str, code: int, said: list[str]) -> None:
    done = run(program)
    assert done.returncode == code
    assert "hunter2" not in done.stderr
    for text in said:
        assert text in done.stderr


@pytest.mark.parametrize(
    "program",
    [
        "def ends(): raise SystemExit('hunter2')\nthreading.Thread(target=ends).start()",
        "sys.unraisablehook(type('Args', (), {'exc_value': None}))",
        "sys.stderr = None\nfail()",
        "sys.stderr.close()\nfail()",
    ],
    ids=["the end of a thread", "nothing at all", "no stderr", "a closed stderr"],
)
def test_where_there_is_nothing_to_tell_or_nobody_to_be_told_nothing_is_said(program: str) -> None:
    assert run(program).stderr == ""


def test_it_can_be_undone_and_leaves_an_application_s_own_hooks_alone() -> None:
    done = run(
        """
undo()
assert sys.excepthook is sys.__excepthook__
assert threading.excepthook is threading.__excepthook__
own = sys.excepthook = lambda *_: print("own")
undo = guard(Redactor)
assert sys.excepthook is own
assert sys.unraisablehook is not sys.__unraisablehook__
threading.excepthook = other = lambda *_: None
undo()
assert threading.excepthook is other
assert sys.unraisablehook is sys.__unraisablehook__
fail()
"""
    )
    assert (done.stdout, done.stderr) == ("own\n", "")
