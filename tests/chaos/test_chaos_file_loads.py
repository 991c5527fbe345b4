"""What a load of a scenario file says is heeded, or a mistake."""

from __future__ import annotations

import pytest

from chaos.chaos_kit import mistakes, written

LOADS = """title = "X"
proves = "Y."
rules = [1]
[servers.web]
[[load]]
{}
"""


@pytest.mark.parametrize(
    ("load", "said"),
    [
        (
            "tools = { echo = 1 }\ncallers = 3\npause = 0.1",
            [
                "7: load[0].callers: only a load of kind 'closed' has callers, and this one is 'open'",
                "8: load[0].pause: only a load of kind 'closed' has pause",
            ],
        ),
        (
            "tools = { echo = 1 }\nkind = 'closed'\nrate = 3",
            ["8: load[0].rate: only a load of kind 'open' has rate, and this one is 'closed'"],
        ),
        ("tools = { echo = 1 }\ncancel_after = 1", ["7: load[0].cancel_after: no caller gives up: say cancel"]),
        (
            "tools = { big = 1 }\nseconds = 1\nbytes = 1",
            ["7: load[0].seconds: only the tool 'sleep' is asked for seconds, and this load does not call it"],
        ),
        ("tools = { echo = 1 }\nend = 8.5", ["7: load[0].end: the scenario ends after 8 s, before 8.5"]),
        (
            "calls = [{ server = 'web', tool = 'ech' }]",
            ["6: load[0].calls[0].tool: unknown: \"ech\"; did you mean 'echo'?"],
        ),
        (
            "name = 'a'\ntools = { echo = 1 }\n[[load]]\nname = 'a'\ntools = { echo = 1 }",
            ["9: load[1].name: another load has the name 'a' already"],
        ),
        (
            "name = 'load 2'\ntools = { echo = 1 }\n[[load]]\ntools = { echo = 1 }",
            ["8: load[1].name: another load has the name 'load 2' already"],
        ),
        # What is not heeded because of another mistake is none of its own.
        ("tools = { ech = 1 }\nkind = 'shut'\nrate = 3\nseconds = 1", ["6: load[0].tools.ech: ", "7: load[0].kind: "]),
    ],
)
def test_what_a_load_says_and_nothing_heeds_is_a_mistake(tmp_path, load, said):
    found = mistakes(tmp_path, LOADS.format(load))
    assert len(found) == len(said), found
    assert all(expected in each for expected, each in zip(said, found, strict=True)), found


def test_what_is_heeded_is_no_mistake(tmp_path):
    written(tmp_path, LOADS.format("kind = 'closed'\ncallers = 3\npause = 0.1\ntools = { sleep = 1 }\nseconds = 1"))
    written(tmp_path, LOADS.format("tools = { echo = 1 }\ncancel = 0.5\ncancel_after = 1\nend = 8"))
    calls = (
        "calls = [{ server = 'web', tool = 'progress', arguments = { steps = 1 } }, { server = 'web', tool = 'big' }]"
    )
    what = written(tmp_path, LOADS.format(f"{calls}\nbytes = 7\nrate = 3"))
    assert [call.tool for call in what.loads[0].calls] == ["progress", "big"]
