"""One's own servers: only what is marked is ever struck, on our own side; and what a load calls there."""

from __future__ import annotations

import asyncio
import sys

import mcp_types as types
import pytest
from mcp.server import MCPServer

from chaos.chaos_kit import member, scenario, written
from recloser import Server
from recloser.config import Settings, load
from recloser.testing.scenario import RefusedError, judge, run_scenario
from recloser.testing.scenario.fleets import ConfigFleet
from recloser.testing.scenario.load import NothingToCallError, arguments_for, sampled, specs_for
from recloser.testing.scenario.observed import Run
from recloser.testing.scenario.recorder import Recorder
from recloser.testing.scenario.records import CallSpec, Load, Strike
from recloser.testing.scenario.targets import Order, RouterTarget
from recloser.testing.scenario.watchers import known_tools

pytestmark = pytest.mark.processes


def strike(kind: str, name: str, *servers: str) -> Strike:
    return Strike(kind=kind, name=name, servers=servers or ("a",), at=1.0, until=2.0)


def config_fleet(*timeline, kill=False, marked=("a",), loads=()):
    servers = [
        Server("a", command="x"),
        Server("b", "http://127.0.0.1:9/mcp"),
        Server("off", command="x", enabled=False),
    ]
    what = scenario(servers=(member("z"),), timeline=timeline, loads=loads)
    return ConfigFleet(what, servers, frozenset(marked), kill=kill, seed=1)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda: config_fleet(strike("policy", "Latency", "b")),
            '\'b\' is not marked for chaos: set .*"b".*"chaos": true',
        ),
        (lambda: config_fleet(strike("policy", "Latency", "nobody")), "'nobody' is not in the configuration"),
        (lambda: config_fleet(marked=()), 'no server is marked for chaos: set .*"a".*of a, b'),
        (lambda: config_fleet(strike("action", "kill")), "say --allow-kill"),
        (lambda: config_fleet(loads=(Load(name="l", servers=("c",)),)), "'c' is not in the configuration"),
        (lambda: config_fleet(loads=(Load(name="l", calls=(CallSpec(server="d", tool="t"),)),)), "'d' is not in"),
    ],
)
def test_what_is_not_marked_is_refused_loudly(make, said):
    with pytest.raises(RefusedError, match=said):
        make()


def test_a_proxy_cannot_stand_before_a_server_over_stdio():
    async def main():
        fleet = config_fleet(strike("toxic", "latency"))
        with pytest.raises(ValueError, match="it is reached over stdio; use a policy"):
            await fleet.start()
        fleet = ConfigFleet(
            scenario(timeline=(strike("toxic", "latency", "s"),)),
            [Server("s", "https://search.example/mcp")],
            frozenset({"s"}),
            kill=False,
            seed=1,
        )
        with pytest.raises(ValueError, match="TLS, which names the server"):
            await fleet.start()

    asyncio.run(main())


def configured(*names: str) -> Settings:
    """Return the settings of real servers with these names, of which `math` is marked for chaos."""
    entry = {"command": sys.executable, "args": ["-P", "-m", "recloser.demo.servers.math_server"]}
    return load(
        {"mcpServers": dict.fromkeys(names, entry), "recloser": {"servers": {"math": {"chaos": True}}}},
    )


def test_a_configuration_s_servers_are_struck_on_our_own_side_and_nothing_else_is(tmp_path):
    settings = configured("math", "other")
    what = written(
        tmp_path,
        """
title = "X"
proves = "Y."
fleet = "config"
duration = 1.2
rules = [1, 3, 6, 7, 10]
[[load]]
rate = 20
timeout = 2.0
tools = "read-only"
[[load]]
kind = "closed"
callers = 1
calls = [{ server = "math", tool = "add", arguments = { a = 1, b = 2 } }]
[[timeline]]
at = 0.3
until = 0.9
server = "marked"
policy = "Disconnect"
[[timeline]]
at = 0.6
server = "math"
action = "kill"
""",
    )

    async def main() -> Run:
        return await run_scenario(what, seed=1, settings=settings, kill=True)

    run = asyncio.run(main())
    assert run.executed is None
    assert run.struck_servers == {"math"}
    assert all(each.times for each in run.struck)
    assert (set(run.known), set(run.options)) == ({"math", "other"}, {"math", "other"})
    assert all(each.good for each in run.samples if each.server == "other")
    assert any(not each.good for each in run.samples if each.server == "math")
    found = {each.rule: each for each in judge(run)}
    assert all(each.held for each in found.values()), found
    assert "judged by what was sent" in found["3"].evidence


def test_what_was_lost_before_it_was_sent_may_be_sent_again(tmp_path):
    settings = configured("math")
    what = written(
        tmp_path,
        """
title = "X"
proves = "Y."
fleet = "config"
duration = 1.0
rules = [3]
[[load]]
kind = "closed"
timeout = 5.0
calls = [{ server = "math", tool = "add", arguments = { a = 1, b = 2 } }]
[[timeline]]
at = 0.2
until = 0.8
server = "math"
policy = "Disconnect"
arguments = { rate = 0.5, phase = "before" }
""",
    )
    run = asyncio.run(run_scenario(what, seed=1, settings=settings))
    (found,) = judge(run)
    assert any(each.number > 1 for each in run.attempts)
    assert found.held, found


# --- what is called


def test_what_a_schema_suggests_is_given_and_nothing_else():
    schema = {
        "properties": {
            "a": {"type": "string"},
            "b": {"const": 3},
            "c": {"default": "x"},
            "d": {"enum": ["p", "q"]},
            "e": {"examples": [7]},
            "f": {"type": "integer"},
        },
        "required": ["a", "b", "c", "d", "e"],
    }
    assert sampled(schema) == {"a": "test", "b": 3, "c": "x", "d": "p", "e": 7}
    assert sampled({}) == {}
    assert sampled({"properties": {"a": {"type": "object"}}, "required": ["a"]}) is None
    assert sampled({"required": ["a"]}) is None


def test_a_load_calls_what_it_names_and_only_there():
    load = Load(name="l", tools={"echo": 2, "write": 1}, servers=("marked",))
    found = specs_for(load, ["a", "b"], frozenset({"b"}), {})
    assert [(each.server, each.tool, each.safe, each.weight) for each in found] == [
        ("b", "echo", True, 2),
        ("b", "write", False, 1),
    ]
    with pytest.raises(NothingToCallError, match="none of a, b offers a tool"):
        specs_for(Load(name="l", tools={"read-only": 1}), ["a", "b"], frozenset(), {})
    with pytest.raises(NothingToCallError, match="none of no servers"):
        specs_for(Load(name="l", tools={"read-only": 1}), [], frozenset(), {})


def test_a_call_of_marked_is_one_of_each_marked_server():
    load = Load(name="l", calls=(CallSpec(server="marked", tool="t", weight=2.0), CallSpec(server="b", tool="u")))
    found = specs_for(load, ["a", "b", "c"], frozenset({"a", "c"}), {})
    assert [(each.server, each.tool, each.weight) for each in found] == [
        ("a", "t", 2.0),
        ("c", "t", 2.0),
        ("b", "u", 1.0),
    ]
    with pytest.raises(NothingToCallError):
        specs_for(Load(name="l", calls=load.calls[:1]), ["a"], frozenset(), {})


def test_tools_are_offered_and_known_under_their_servers_own_names():
    files = MCPServer("files", log_level="CRITICAL")
    for name in ("files.read", "files__list", "hidden"):
        files.tool(name=name, annotations=types.ToolAnnotations(read_only_hint=True))(lambda: "x")

    async def main():
        recorder = Recorder(asyncio.get_running_loop().time)
        target = RouterTarget([Server("files", files, exclude=["hidden"])], recorder)
        await target.open()
        try:
            offered = await target.offered()
            assert [tool.name for tool in offered["files"]] == ["files.read", "files__list"]
            known = await known_tools(target)
            assert known == {"files": {tool.name for tool in await target.router.list_tools()}}
            for spec in specs_for(Load(name="l", tools={"read-only": 1.0}), ["files"], frozenset(), offered):
                order = Order(server="files", tool=spec.tool, arguments={}, timeout=5.0, caller="c", safe=spec.safe)
                assert (await target.call(order)).good
        finally:
            await target.close()

    asyncio.run(main())


def test_each_tool_of_the_fleet_gets_arguments_that_fit_it():
    load = Load(name="l", seconds=0.5, bytes=7)
    given = {
        tool: arguments_for(CallSpec(server="a", tool=tool), load, "call-1")
        for tool in ("add", "sleep", "big", "unknown", "bad_arguments", "echo", "ask", "other")
    }
    assert given["add"] == ("add", {"a": 1, "b": 2, "text": "call-1"})
    assert given["sleep"][1]["seconds"] == 0.5
    assert given["big"][1]["bytes"] == 7
    assert given["unknown"][0] == "no_such_tool"
    assert given["bad_arguments"] == ("echo", {"text": 5})
    assert given["echo"][1] == {"text": "call-1"}
    assert given["ask"][1]["kind"] == "elicitation"
    assert given["other"] == ("other", {"text": "call-1"})
    own = CallSpec(server="a", tool="unknown", arguments={"text": "mine"})
    assert arguments_for(own, load, "call-1") == ("unknown", {"text": "mine call-1"})
