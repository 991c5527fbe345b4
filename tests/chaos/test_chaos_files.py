"""Scenario files: what they say, where they are found, and what marks one's own servers."""

from __future__ import annotations

import pytest

from chaos.chaos_kit import GOOD, written
from recloser.config import ConfigurationError, load
from recloser.testing.scenario.records import CallSpec, Limits, Load, Strike
from recloser.testing.scenario.shipped import find_scenario, shipped
from recloser.testing.scenario.starter import command, starter
from recloser.testing.scenario.tools import make_policy


def test_a_file_is_read_to_records(tmp_path):
    what = written(tmp_path, GOOD)
    assert (what.name, what.title, what.rules, what.raw_holds) == ("mine", "X", ("1", "recovery"), None)
    assert what.servers["a"].transport == "stdio"
    assert what.servers["a"].options.timeouts.attempt == 0.5
    assert what.servers["a"].options.trusted
    assert what.loads[0].name == "load 1"
    first, second = what.timeline
    assert (first.kind, first.name, first.servers, first.at, first.until) == (
        "fault",
        "hang_call",
        ("a", "b"),
        1.0,
        2.5,
    )
    assert (second.kind, second.servers) == ("action", ())


def test_why_a_raw_client_passes_is_kept(tmp_path):
    assert written(tmp_path, 'raw = "it does nothing"\n' + GOOD).raw_holds == "it does nothing"


def test_a_scenario_for_one_s_own_servers_names_calls_of_theirs(tmp_path):
    what = written(
        tmp_path,
        """
title = "X"
proves = "Y."
rules = [1]
fleet = "config"
[[load]]
calls = [{ server = "search", tool = "web", arguments = { q = "x" }, safe = true }]
[[timeline]]
server = "marked"
toxic = "down"
[[timeline]]
server = "search"
action = "kill"
[[timeline]]
server = "search"
policy = "RateLimited"
""",
    )
    (call,) = what.loads[0].calls
    assert (call.server, call.tool, call.safe, call.weight) == ("search", "web", True, 1.0)
    assert [each.servers for each in what.timeline] == [("marked",), ("search",), ("search",)]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Load(name="a", callers=0), "callers must be at least 1"),
        (lambda: Load(name="a", cancel=2), "cancel must be a share"),
        (lambda: Load(name="a", begin=2, end=1), "end must be later than begin"),
        (lambda: Load(name="a", pause=-1), "pause must not be negative"),
        (lambda: Load(name="a", tools={"echo": 0}), "weights of tools must be more than 0"),
        (lambda: Load(name="a", rate=float("inf")), "rate must be finite, got inf"),
        (lambda: Load(name="a", pause=float("nan")), "pause must be finite, got nan"),
        (lambda: Load(name="a", total=-1), "total must be at least 1, got -1"),
        (lambda: CallSpec(server="a", tool="b", weight=0), "weight must be more than 0"),
        (lambda: Strike(kind="fault", name="x", at=2, until=1), "until must be later than at"),
        (lambda: Strike(kind="fault", name="x", times=0), "times must be at least 1"),
        (lambda: Strike(kind="fault", name="x", after=-1), "after must not be negative"),
        (lambda: Limits(recover_within=0), "recover_within must be more than 0"),
    ],
)
def test_records_check_themselves(make, said):
    with pytest.raises(ValueError, match=said):
        make()


def test_a_policy_is_made_as_the_timeline_says_and_waits_switched_off():
    strike = Strike(kind="policy", name="Latency", arguments={"delay": 0.5, "rate": 0.25}, tool="web*")
    policy = make_policy(strike, seed=7)
    assert (policy.rate, policy.seed, policy.tools, policy.active) == (0.25, 7, ("web*",), False)


@pytest.mark.parametrize("config", [None, "mcp.json"])
def test_a_starter_is_a_scenario_that_can_be_read(tmp_path, config):
    what = written(tmp_path, starter("my_first.toml", config=config, marked=["search"]), "my_first.toml")
    assert what.title == "My first"
    assert what.fleet == ("built-in" if config is None else "config")
    for marked in ([], ["a", "b"]):
        assert written(tmp_path, starter("x.toml", config="c", marked=marked)).timeline[0].servers == ("marked",)


@pytest.mark.parametrize(
    "name", ['a b"c.toml', "tab\tand\nline.toml", "\udcff.toml", "back\\slash.toml", "it's.toml", ".toml"]
)
def test_a_starter_can_be_read_whatever_it_is_called(tmp_path, name):
    title = name.removesuffix(".toml").capitalize()
    what = written(tmp_path, starter(name, config='c "d".json', marked=["search"]))
    assert what.title == ("".join(each if each.isprintable() else "\ufffd" for each in title) or "A scenario")


def test_a_command_is_quoted_for_the_shell():
    assert command('a b"c.toml', config="it's.json") == ("""recloser chaos run 'a b"c.toml' --config 'it'"'"'s.json'""")


def test_a_scenario_is_found_by_its_name_or_as_a_file(tmp_path):
    assert find_scenario("slow_one") == shipped()["slow_one"]
    assert str(find_scenario("mine.toml")) == "mine.toml"
    file = tmp_path / "plain"
    file.touch()
    assert find_scenario(str(file)) == file
    for word, said in [
        ("slow_on", "did you mean 'slow_one'"),
        ("zzzzzz", "recloser chaos list"),
        ("brownout_of_replicas", "needs replicas"),
    ]:
        with pytest.raises(ConfigurationError, match=said):
            find_scenario(word)


# --- the mark in a configuration


def test_a_configuration_marks_the_servers_that_may_be_struck():
    settings = load(
        {
            "mcpServers": {"My files": {"command": "x"}, "search": {"command": "y"}},
            "recloser": {
                "servers": {
                    "My files": {"chaos": True},
                    "search": {"chaos": False},
                    "own": {"command": "z", "chaos": True},
                }
            },
        }
    )
    assert settings.chaos_allowed == {"My-files-985698", "own"}
    assert all(server.chaos == () for server in settings.servers)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ({"recloser": {"servers": {"a": {"command": "x", "chaos": "yes"}}}}, "expected true or false"),
        ({"recloser": {"defaults": {"chaos": True}}}, "it belongs to one server: recloser.servers.<name>.chaos"),
        ({"mcpServers": {"a": {"command": "x", "chaos": True}}}, "it belongs to recloser.servers.<name>.chaos"),
    ],
)
def test_a_mark_in_the_wrong_place_is_a_mistake(source, said):
    with pytest.raises(ConfigurationError, match=said):
        load(source)
