"""Speed beside the peers: what is made of the rounds, and the page that is made of that."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from typing import Any

import pytest
from benchmarks.scoreboard import speed
from benchmarks.scoreboard.peers import OPEN, PEERS
from benchmarks.scoreboard.speed_page import BASE, FIGURES, render, terminal

ROUNDS = [
    {"mcp": {"stdio_p50": 0.002, "memory": 0.0}, "recloser": {"stdio_p50": 0.003, "memory": 1024.0}},
    {"mcp": {"stdio_p50": 0.004}, "recloser": {"stdio_p50": 0.004}},
    {"mcp": {"stdio_p50": 0.001}, "recloser": {"stdio_p50": 0.002}, "litellm": {}},
]


def document() -> dict[str, Any]:
    return {
        "date": "2026-11-21",
        "machine": {"python": "3.11.7", "system": "Linux x86_64", "cores": 2},
        "rounds": 3,
        "many": 10,
        "catalog": {"date": "2026-11-22", "rounds": 2, "servers": 200, "tools": 10_000},
        "peers": {
            name: {
                "title": PEERS[name].title,
                "versions": {name: "1.0"},
                "figures": speed.medians(ROUNDS, name),
                "ratios": speed.ratios(ROUNDS, name),
                "note": "Gone: its process ended" if name == "litellm" else None,
            }
            for name in ("mcp", "recloser", "litellm")
        },
        "missing": {"somebody": "not built yet"},
    }


def test_a_ratio_is_made_in_each_round_and_the_median_counts() -> None:
    assert speed.ratios(ROUNDS, "recloser") == {"stdio_p50": 1.5}
    assert speed.ratios(ROUNDS, BASE) == {"stdio_p50": 1.0}
    assert speed.ratios(ROUNDS, "litellm") == {}


def test_a_figure_is_the_median_of_the_rounds_that_have_it() -> None:
    assert speed.medians(ROUNDS, "recloser") == {"stdio_p50": 0.003, "memory": 1024.0}


def test_the_page_has_a_cell_for_every_figure_of_every_peer_and_says_what_is_missing() -> None:
    page = render(document())
    rows = [line for line in page.splitlines() if line.startswith(("| mcp", "| recloser", "| LiteLLM", "| peer"))]
    assert {line.count("|") for line in rows} == {len(FIGURES) + 2}
    for part in ("recloser (library) (recloser 1.0)", "3.00 ms (1.50 ×)", "1 KiB", "2026-11-21"):  # noqa: RUF001 - the sign
        assert part in page
    assert "- LiteLLM: MCP gateway: Gone: its process ended" in page
    assert "- somebody: not built yet" in page


def test_a_catalog_that_was_measured_alone_is_put_beside_the_rest() -> None:
    alone = {
        "catalog": {"date": "2026-11-23", "rounds": 1, "servers": 10, "tools": 500},
        "peers": {
            "mcp": {"figures": {"list": 0.5}, "ratios": {"list": 1.0}, "note": None},
            "litellm": {"figures": {}, "ratios": {}, "note": "its list: 0"},
            "somebody": {"figures": {"list": 0.1}, "ratios": {}, "note": None},
        },
    }
    both = speed.with_catalog(document(), alone)
    assert both["catalog"] == alone["catalog"]
    assert both["peers"].keys() == document()["peers"].keys()
    assert both["peers"]["mcp"]["figures"] == document()["peers"]["mcp"]["figures"] | {"list": 0.5}
    assert both["peers"]["litellm"]["note"] == "Gone: its process ended; its list: 0"
    page = render(both)
    assert "500.00 ms (1.00 ×)" in page  # noqa: RUF001 - the sign
    assert "10 servers with 500 tools in all, 1 rounds on 2026-11-23" in page
    assert "tools in all" not in render({**document(), "catalog": None})


def test_a_peer_that_a_document_does_not_know_yet_was_not_measured() -> None:
    known = {**document(), "missing": {PEERS["strands"].title: "ERROR: no such version", "somebody": "not built yet"}}
    found = speed.absent(known)
    assert found.pop(PEERS["strands"].title) == "ERROR: no such version"
    assert found.pop(PEERS["contextforge"].title) == "not measured here"
    assert OPEN.items() <= found.items()
    assert not found.keys() & {"somebody", *(row["title"] for row in known["peers"].values())}


def test_the_terminal_shows_the_client_in_units_and_the_others_over_it() -> None:
    lines = terminal(document()).splitlines()
    assert "2.00 ms" in lines[2]
    assert "1.50 ×" in lines[3]  # noqa: RUF001 - the sign


def test_a_name_that_nobody_has_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        speed.main(["--peers", "mcp,recluser"])
    assert "unknown peer recluser" in capsys.readouterr().err


def test_memory_is_that_of_the_hosts_and_their_helpers_and_not_of_servers() -> None:
    helper = [sys.executable, "-c", "print(flush=True); input()"]
    with subprocess.Popen(helper, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as one:
        assert one.stdout is not None
        assert one.stdin is not None
        one.stdout.readline()
        counted = speed.private(os.getpid())
        with subprocess.Popen([*helper, "faulty"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
            assert server.stdout is not None
            assert server.stdin is not None
            server.stdout.readline()
            assert counted > 1e6
            assert speed.private(os.getpid()) < counted * 1.5
            server.stdin.close()
        one.stdin.close()


@pytest.mark.thorough
@pytest.mark.processes
def test_recloser_itself_is_measured_in_every_figure() -> None:
    pace = speed.Pace(load=0.2, many=3, rest=0.1, stocked=3, lists=2)
    figures, note, versions = asyncio.run(speed.measure(PEERS["recloser"], sys.executable, pace))
    assert note is None
    assert set(FIGURES) <= set(figures)
    assert {name for name, value in figures.items() if value <= 0} <= {"memory"}
    assert versions["recloser"]
