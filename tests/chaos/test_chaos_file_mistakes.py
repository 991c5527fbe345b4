"""Every mistake in a scenario file at once, each with its place and the nearest word."""

from __future__ import annotations

import pytest

from chaos.chaos_kit import GOOD, mistakes, written
from recloser.testing.scenario.records import Strike
from recloser.testing.scenario.tools import NEEDED, POLICIES, make_policy


def test_all_mistakes_of_a_file_are_told_at_once_with_their_lines(tmp_path):
    found = mistakes(
        tmp_path,
        """titel = "x"
proves = "y"
rules = [1, 9, "recovry"]
[servers.a]
transport = "htp"
timeouts = { attemt = 3 }
[servers.pipe]
transport = "stdio"
namespace = true
[servers.slow]
breaker = { window = 1.0 }
[[load]]
rate = -1
tools = { ecko = 1, echo = "much" }
[[timeline]]
at = 1
server = "b"
fault = "hang_cal"
[[timeline]]
at = 3
until = 1
server = "a"
action = "kill"
policy = "Latency"
[[timeline]]
server = "a"
fault = "hang_call"
arguments = { x = 1 }
[[timeline]]
action = "clock_step"
server = "a"
[[timeline]]
action = "freeze"
""",
    )
    assert found == [
        "1: titel: unknown key; did you mean 'title'?",
        "3: rules[1]: rule 9 cannot be judged yet: it is about the clients of the gateway, which is not there yet",
        "3: rules[2]: unknown: \"recovry\"; did you mean 'recovery'?",
        "5: servers.a.transport: expected 'http' or 'stdio', found the string \"htp\"; did you mean 'http'?",
        "6: servers.a.timeouts.attemt: unknown key; did you mean 'attempt'?",
        "9: servers.pipe.namespace: only a server over http has a network",
        "11: servers.slow.breaker: breaker.window must be at least twice timeouts.attempt, or attempts that time out "
        "leave it before they can add up; got 1.0 and 30.0",
        "13: load[0].rate: rate must be more than 0, got -1.0",
        "14: load[0].tools.ecko: unknown: \"ecko\"; did you mean 'echo'?",
        "14: load[0].tools.echo: expected a number, found 'much'",
        "18: timeline[0].fault: unknown: \"hang_cal\"; did you mean 'hang_call'?",
        "19: timeline[1]: expected exactly one of fault, action, policy, toxic, found action and policy",
        "28: timeline[2].arguments: hang_call has no argument 'x'; known: executes",
        "31: timeline[3].server: clock_step strikes this process and no server",
        "32: timeline[4].server: expected the server, or servers, that freeze strikes",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "servers: expected the servers of the fleet, [servers.<name>]"),
        ("servers = 3", "servers: expected tables [servers.<name>]"),
        ("load = 3", "load: expected tables [[load]]"),
        ("rules = 'all'", "rules: expected a list of the rules that are judged"),
        ("title = 3", "title: expected a string, found the number 3"),
        ("[servers.a]\n[[load]]\nrate = 3", "load[0]: expected tools, or calls: what is called"),
        ("[servers.a]\n[[load]]\ntools = 'read-only'", "'read-only' is for your own servers, fleet = 'config'"),
        ("[servers.a]\n[[load]]\ntools = 3", "expected a table of tools and their weights"),
        ("[servers.a]\n[[load]]\nservers = 'b'\ntools = { echo = 1 }", 'load[0].servers: unknown: "b"; known: a'),
        (
            "[servers.a]\n[[load]]\nservers = 3\ntools = { echo = 1 }",
            "expected the name of a server, or a list of them",
        ),
        (
            "[servers.a]\n[[load]]\nservers = [3]\ntools = { echo = 1 }",
            "expected the name of a server, or a list of them",
        ),
        ("[servers.a]\n[[load]]\ncalls = 3", "load[0].calls: expected a list of tables"),
        ("[servers.a]\n[[load]]\ncalls = [{ server = 'a' }]", "load[0].calls[0].tool: expected the name of a tool"),
        ("[servers.a]\n[[timeline]]\nserver = 'a'", "expected exactly one of fault, action, policy, toxic, found none"),
        (
            "[servers.a]\n[[timeline]]\nserver = 'a'\nfault = 3",
            "timeline[0].fault: expected a string, found the number 3",
        ),
        ("[servers.a]\n[[timeline]]\nserver = 'a'\ntoxic = 'lateny'", "did you mean 'latency'?"),
        (
            "[servers.a]\n[[timeline]]\nserver = 'a'\npolicy = 'Latency'\narguments = { x = 1 }",
            "Latency has no argument 'x'",
        ),
        (
            "[servers.a]\n[[timeline]]\nserver = 'a'\npolicy = 'Latency'",
            "timeline[0].arguments: Latency needs delay",
        ),
        (
            "[servers.a]\n[[timeline]]\nserver = 'a'\ntoxic = 'latency'\narguments = { delay = 1 }",
            "latency has no attribute 'delay'",
        ),
        ("fleet = 'config'\n[servers.a]", "a scenario for your own servers takes them from --config"),
        ("fleet = 'config'\n[[load]]\ntools = { echo = 1 }", "these tools are the built-in fleet's"),
        ("fleet = 'config'\n[[timeline]]\nserver = 'x'\nfault = 'hang_call'", "hang_call needs the built-in fleet"),
        ("fleet = 'config'\n[[timeline]]\nserver = 'x'\naction = 'freeze'", "freeze needs the built-in fleet"),
        ("title = ", "expected TOML: Invalid value"),
        ("[limits]\nanswered = 2.0", "2: limits.answered: answered must be a share from 0 to 1, got 2.0"),
        ("duration = 0", "duration must be more than 0, got 0"),
        ("[servers.a]\n[servers.a.retry]\natempts = 3", "3: servers.a.retry.atempts: unknown key"),
        ("[[load]]\ntools = { echo = 1 }\n[load.more]\nx = 1", "3: load[0].more: unknown key"),
    ],
)
def test_a_mistake_says_what_was_expected(tmp_path, text, said):
    assert any(said in each for each in mistakes(tmp_path, text)), mistakes(tmp_path, text)


STRIKES = """title = "X"
proves = "Y."
rules = [1]
[servers.web]
namespace = false
[servers.new]
era = "modern"
[servers.pipe]
transport = "stdio"
[[load]]
tools = {{ echo = 1 }}
[[timeline]]
{}
"""


@pytest.mark.parametrize(
    ("strike", "said"),
    [
        (
            "policy = 'AuthFailure'\nserver = 'web'\ntimes = 1\nafter = 5\non = 'resources/read'",
            [
                "15: timeline[0].times: AuthFailure takes no times: a policy strikes the calls of a tool, as often as",
                "16: timeline[0].after: AuthFailure takes no after",
                "17: timeline[0].on: AuthFailure takes no on",
            ],
        ),
        (
            "toxic = 'latency'\nserver = 'web'\ntool = 'peek'\ntimes = 1",
            [
                "15: timeline[0].tool: latency takes no tool: a proxy knows bytes and no messages",
                "16: timeline[0].times: latency takes no times",
            ],
        ),
        ("action = 'freeze'\nserver = 'web'\ntool = 'echo'", ["15: timeline[0].tool: freeze takes no tool"]),
        ("action = 'clock_step'\nafter = 1", ["14: timeline[0].after: clock_step takes no after"]),
        ("action = 'kill'\nserver = 'web'\nuntil = 2.0", ["15: timeline[0].until: a kill is over at once"]),
        (
            "policy = 'Latency'\nserver = 'web'\narguments = { rate = 7, mean = 1, phase = 'x' }",
            [
                "15: timeline[0].arguments: Latency needs delay",
                "15: timeline[0].arguments: rate must be",
                "15: timeline[0].arguments: Latency has no argument 'mean'",
                "15: timeline[0].arguments: phase must be",
            ],
        ),
        (
            "fault = 'status'\nserver = 'web'\narguments = { status = 'five hundred', excutes = 'x' }",
            [
                "15: timeline[0].arguments: status: status must be",
                "15: timeline[0].arguments: status has no argument 'excutes'",
            ],
        ),
        (
            "policy = 'Disconnect'\nserver = 'web'\ntool = 'echo'\narguments = { tools = 'add' }",
            ["16: timeline[0].arguments: Disconnect: say tool, or the argument tools, and not both"],
        ),
        (
            "fault = 'hang_list'\nserver = 'web'\ntool = 'echo'",
            [
                "15: timeline[0].tool: hang_list on tools/list, resources/list, resources/templates/list, prompts/list",
            ],
        ),
        ("fault = 'reset'\nserver = 'pipe'", ["14: timeline[0].server: pipe: reset is not possible over stdio"]),
        (
            "fault = 'session_lost'\nserver = ['web', 'new']",
            ["14: timeline[0].server: new: session_lost is not possible in the modern era"],
        ),
        ("toxic = 'down'\nserver = ['web', 'pipe']", ["14: timeline[0].server: no proxy can stand before 'pipe'"]),
        (
            "toxic = 'down'\nserver = 'web'\narguments = { x = 1 }",
            ["15: timeline[0].arguments.x: down has no argument"],
        ),
        (
            "toxic = 'latency'\nserver = 'web'\narguments = { latency = -1, toxicity = 7, stream = 'sideways' }",
            [
                "15: timeline[0].arguments.stream: stream must be upstream or downstream, got 'sideways'",
                "15: timeline[0].arguments.toxicity: toxicity must be between 0 and 1, got 7",
                "15: timeline[0].arguments: latency.latency must not be negative, got -1",
            ],
        ),
        ("toxic = 'latency'\nserver = 'web'\narguments = { toxicity = 'x' }", ["toxicity must be a number, got 'x'"]),
        ("action = 'partition'\nserver = 'web'", ["14: timeline[0].server: web has no network of its own"]),
        ("action = 'partition'\nserver = 'pipe'", ["14: timeline[0].server: pipe is spoken to over stdio"]),
        ("action = 'clock_step'\narguments = { seconds = inf }", ["arguments.seconds: expected a number, found inf"]),
        (
            "action = 'collector_down'\narguments = { refuse = 1 }",
            ["arguments.refuse: expected true or false, found 1"],
        ),
        (
            "action = 'freeze'\nserver = 'web'\narguments = { megabytes = 1 }",
            ["15: timeline[0].arguments.megabytes: freeze has no argument 'megabytes'; known: none"],
        ),
        (
            "action = 'memory'\nserver = 'web'\narguments = { bytes = 1 }",
            ["memory has no argument 'bytes'; known: megabytes"],
        ),
        (
            "fault = 'reset'\nserver = 'web'\non = 'tools/cal'",
            ["timeline[0].on: unknown: \"tools/cal\"; did you mean 'tools/call'"],
        ),
        (
            "fault = 'reset'\nserver = 'web'\non = 'tool/*'",
            ['timeline[0].on: unknown: "tool/*"; did you mean \'tools/'],
        ),
        ("fault = 'reset'\nserver = 'web'\ntool = 'ech'", ["timeline[0].tool: unknown: \"ech\"; did you mean 'echo'?"]),
        (
            "policy = 'Blackhole'\nserver = 'web'\ntool = 'wri'",
            ["timeline[0].tool: unknown: \"wri\"; did you mean 'write'?"],
        ),
        (
            "fault = 'reset'\nserver = 'web'\nuntil = 50",
            ["15: timeline[0].until: the scenario ends after 8 s, before 50"],
        ),
        ("action = 'freeze'\nserver = 'web'\nat = 8.0", ["15: timeline[0].at: the scenario ends after 8 s, before 8"]),
    ],
)
def test_what_a_strike_says_and_cannot_be_done_is_a_mistake_and_never_ignored(tmp_path, strike, said):
    found = mistakes(tmp_path, STRIKES.format(strike))
    assert len(found) == len(said), found
    assert all(expected in each for expected, each in zip(said, found, strict=True)), found


def test_words_that_are_known_are_no_mistake(tmp_path):
    for strike in (
        "fault = 'reset'\nserver = 'web'\non = 'notifications/*'\nuntil = 8",
        "fault = 'reset'\nserver = 'web'\ntool = 'no_such_tool'",
        "policy = 'Blackhole'\nserver = 'web'\ntool = 'u*t'",
    ):
        assert written(tmp_path, STRIKES.format(strike)).timeline


def test_a_rule_that_is_said_twice_is_a_mistake(tmp_path):
    assert mistakes(tmp_path, GOOD.replace("rules = [", "rules = ['6', 6, ")) == ["4: rules[1]: 6 is said twice"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("delivered = 'bogus'", "delivered must be one of no, maybe, yes, got 'bogus'"),
        ("retry_after = 'x'", "retry_after must be a number of seconds, got 'x'"),
        ("retry_after = -1", "retry_after must not be negative, got -1"),
        ("retry_after = inf", "retry_after must be finite, got inf"),
        ("evidence = 'maybe'", "evidence must be true or false, got 'maybe'"),
        ("status = '503'", "status must be a whole number, got '503'"),
        ("tools = [3]", "tools must be patterns of tools' names, got [3]"),
        ("tools = 3", "tools must be patterns of tools' names, got 3"),
        ("speed = 3", "Fault has no argument 'speed'"),
    ],
)
def test_the_arguments_of_a_policy_are_looked_at_with_all_else_that_is_wrong(tmp_path, arguments, said):
    strike = f"policy = 'Fault'\nserver = 'web'\narguments = {{ code = 'server_error', {arguments} }}\ntimes = 1"
    found = mistakes(tmp_path, STRIKES.format(strike))
    assert len(found) == 2
    assert found[0].startswith(f"15: timeline[0].arguments: {said}")
    assert found[1].startswith("16: timeline[0].times: Fault takes no times")


def test_every_value_that_is_wrong_by_itself_is_told_at_its_own_line(tmp_path):
    found = mistakes(
        tmp_path,
        """title = "X"
proves = "Y."
rules = [1]
callback = -1
[servers.a]
[[load]]
rate = -1
timeout = 0
total = 0
pause = inf
tools = { echo = -1, write = nan, add = 1 }
[[load]]
calls = [{ server = "a", tool = "add", weight = -1 }, { server = "a", tool = "big", weight = 0 }]
begin = 3
end = 2
[[load]]
tools = { echo = 1 }
begin = 9.0
[[timeline]]
server = "a"
fault = "hang_call"
at = -1
times = 0
after = -1
[limits]
recover_within = 0
answered = 2
""",
    )
    assert found == [
        "4: callback: callback must not be negative, got -1.0",
        "7: load[0].rate: rate must be more than 0, got -1.0",
        "8: load[0].timeout: timeout must be more than 0, got 0.0",
        "9: load[0].total: total must be at least 1, got 0",
        "10: load[0].pause: expected a finite number, found the number inf",
        "11: load[0].tools.echo: expected a weight of more than 0, found -1",
        "11: load[0].tools.write: expected a number, found nan",
        "12: load[1]: end must be later than begin, got 2.0 and 3.0",
        "13: load[1].calls[0].weight: weight must be more than 0, got -1.0",
        "13: load[1].calls[1].weight: weight must be more than 0, got 0.0",
        "18: load[2].begin: the scenario ends after 8 s, before 9",
        "22: timeline[0].at: at must not be negative, got -1.0",
        "23: timeline[0].times: times must be at least 1, got 0",
        "24: timeline[0].after: after must not be negative, got -1",
        "26: limits.recover_within: recover_within must be more than 0, got 0.0",
        "27: limits.answered: answered must be a share from 0 to 1, got 2.0",
    ]


def test_where_the_duration_is_wrong_no_moment_is_beyond_the_end(tmp_path):
    found = mistakes(tmp_path, "duration = -1\n" + GOOD.replace("at = 1\nuntil = 2.5", "at = 9"))
    assert found == ["1: duration: duration must be more than 0, got -1.0"]


def test_every_policy_of_a_scenario_can_be_made_of_what_it_needs_and_of_nothing_less():
    for name in POLICIES:
        needed = NEEDED.get(name, {})
        assert make_policy(Strike(kind="policy", name=name, arguments=needed), seed=0).active is False
        for key in needed:
            with pytest.raises(ValueError, match=f"{name} needs {key}"):
                make_policy(Strike(kind="policy", name=name, arguments={}), seed=0)
