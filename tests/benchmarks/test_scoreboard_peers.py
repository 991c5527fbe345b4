"""The table of peers: short adapters that name what they follow, and pinned versions."""

from __future__ import annotations

import ast
import re

import pytest
from benchmarks.scoreboard.environments import Missing, cache, python_of
from benchmarks.scoreboard.fleet import Piped
from benchmarks.scoreboard.peers import HERE, PEERS, Peer
from benchmarks.scoreboard.scenarios import QUICK, SCENARIOS, USUAL

from recloser.testing.faulty import FAULTS

LONGEST = 60


@pytest.mark.parametrize("peer", PEERS.values(), ids=list(PEERS))
def test_an_adapter_is_short_and_names_the_documentation_that_it_follows(peer: Peer) -> None:
    text = peer.adapter.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= LONGEST
    tree = ast.parse(text)
    doc = ast.get_docstring(tree) or ""
    assert "https://" in doc or "docs/" in doc
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert [argument.arg for argument in functions["connect"].args.args] == ["servers", "deadline", "tuned"]
    assert functions["versions"].args.args == []


@pytest.mark.parametrize("peer", PEERS.values(), ids=list(PEERS))
def test_requirements_are_pinned_and_name_no_place(peer: Peer) -> None:
    if peer.requirements is None:
        assert peer.name == "recloser"
        return
    for line in (HERE / "requirements" / f"{peer.requirements}.txt").read_text(encoding="utf-8").splitlines():
        assert re.fullmatch(r"[a-z0-9-]+(\[[a-z]+\])?==[0-9a-z.]+", line), line


def test_every_adapter_and_every_file_of_requirements_belongs_to_a_peer() -> None:
    adapters = {path.stem for path in (HERE / "adapters").glob("*.py")}
    assert adapters - {peer.module for peer in PEERS.values()} == {"common", "gateway"}
    files = {path.stem for path in (HERE / "requirements").glob("*.txt")}
    assert files == {peer.requirements for peer in PEERS.values() if peer.requirements}


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=list(SCENARIOS))
def test_a_scenario_is_a_fault_that_its_server_can_have(scenario: object) -> None:
    from benchmarks.scoreboard.scenarios import Scenario

    from recloser.testing.faulty.plan import Order

    assert isinstance(scenario, Scenario)
    assert scenario.transport in FAULTS[scenario.fault].transports
    Order.of(**scenario.order(times=1)).check(scenario.transport)


def test_the_short_form_is_a_part_of_the_long_one() -> None:
    assert set(QUICK) < set(USUAL) < set(SCENARIOS)


def test_what_could_not_be_installed_is_not_tried_again(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    tried: list[list[str]] = []

    def fail(command: list[str]) -> None:
        tried.append(command)
        raise Missing("nothing of that name")

    monkeypatch.setattr("benchmarks.scoreboard.environments._run", fail)
    for _ in range(2):
        with pytest.raises(Missing, match="nothing of that name"):
            python_of(PEERS["mcp"])
    assert len(tried) == 1
    assert cache().is_relative_to(str(tmp_path))


def test_a_command_s_server_gets_sick_as_ordered() -> None:
    import asyncio

    server = Piped("sick", "legacy")
    for scenario in SCENARIOS.values():
        if scenario.transport == "stdio":
            asyncio.run(server.behave(scenario.order(times=1)))
    asyncio.run(server.behave(None))
    assert server.alive() == []
    asyncio.run(server.close())
