"""The page, the picture and the table in a terminal, from a document alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from benchmarks.scoreboard import page
from benchmarks.scoreboard.__main__ import arguments
from benchmarks.scoreboard.figures import figures
from benchmarks.scoreboard.plot import score, svg
from benchmarks.scoreboard.verdict import missed, put_together
from scored import DEADLINE, outcome, piece


def document(*pieces: dict[str, Any]) -> dict[str, Any]:
    rows = put_together(pieces or (piece(), piece(peer="mcp", tuned=False, duplicates=3)), deadline=DEADLINE)
    return {
        "schema": "recloser.scoreboard/1",
        "date": "2026-11-21",
        "machine": {"python": "3.11.7", "system": "Linux x86_64", "cores": 2},
        "era": "legacy",
        "rounds": 1,
        "quick": False,
        "deadline": DEADLINE,
        "scenarios": {"exit_mid_call": "the process dies in the call"},
        "rows": rows,
        "missing": {"somebody": "nothing | of that name"},
        "missed": missed(rows, deadline=DEADLINE),
    }


def test_every_table_has_as_many_cells_in_each_line() -> None:
    tables: list[list[str]] = [[]]
    for line in page.markdown(document()).splitlines():
        if line.startswith("|"):
            tables[-1].append(line)
        elif tables[-1]:
            tables.append([])
    for table in filter(None, tables):
        assert len({line.count("|") for line in table}) == 1, table[0]


def test_the_page_tells_who_when_and_why_not() -> None:
    text = page.markdown(document())
    for part in (
        "2026-11-21",
        "**recloser (library), tuned**",
        "mcp: Client, defaults",
        "recloser 0.1.0",
        "nothing / of",
    ):
        assert part in text
    assert "Nowhere in this run." in text


def test_where_recloser_is_beaten_is_on_the_page_and_in_the_terminal() -> None:
    beaten = document(piece(served=5.0), piece(peer="mcp", tuned=False))
    (line,) = beaten["missed"]
    assert f"- {line}" in page.markdown(beaten)
    assert f"missed: {line}" in page.terminal(beaten)


def test_almost_all_is_not_shown_as_all() -> None:
    good = [outcome(0.001 * number, 0.01) for number in range(5000)]
    found = document(piece(calls={"alpha": [*good, outcome(2, 1, good=False)], "gamma": []}))
    assert "99.9 %" in page.terminal(found)
    assert page.terminal(document()).count("100 %") == 4


def test_the_picture_is_well_formed_and_has_a_cell_for_each() -> None:
    found = document()
    root = ET.fromstring(svg(found["rows"], [*found["scenarios"], "another"]))
    cells = [each for each in root.iter() if each.get("class") in ("good", "some", "bad", "none")]
    assert [each.get("class") for each in cells] == ["good", "none", "bad", "none", "good", "some", "bad"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, (4, 4, False)),
        ({"blips": [], "blips_planned": 0}, (3, 3, False)),
        ({"served": None}, (3, 4, False)),
        ({"left": ["task a"]}, (3, 4, False)),
        ({"duplicates": 1}, (4, 4, True)),
        ({"calls": {"alpha": [outcome(1, 1, good=False)]}}, (4, 4, True)),
    ],
)
def test_promises_are_counted_and_harm_is_seen(changes: dict[str, Any], expected: tuple[int, int, bool]) -> None:
    assert score(figures(piece(**changes), deadline=DEADLINE)) == expected


def test_what_is_written_can_be_rendered_again(tmp_path: Path) -> None:
    place = tmp_path / "scoreboard.json"
    found = document()
    page.write(found, place, json.dumps(found))
    first = place.with_suffix(".md").read_text(encoding="utf-8")
    page.write(json.loads(place.read_text(encoding="utf-8")), place, json.dumps(found))
    assert place.with_suffix(".md").read_text(encoding="utf-8") == first
    assert place.with_suffix(".svg").exists()


def test_the_command_line_refuses_names_that_it_does_not_know(capsys: pytest.CaptureFixture[str]) -> None:
    assert arguments(["--peers", "recloser,mcp"]).peers == ("recloser", "mcp")
    with pytest.raises(SystemExit):
        arguments(["--faults", "flood"])
    assert "unknown fault flood; known: hang_initialize" in capsys.readouterr().err
