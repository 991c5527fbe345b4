"""The page of the architecture says what is built: floors, classes on the way of a call, and tests by name."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from pages import ROOT, blocks, codes, prose, tables

PAGE = ROOT / "docs" / "architecture.md"
SOURCE = ROOT / "src" / "recloser"
TABLES = tables(PAGE)
TEXT = prose(PAGE)
RULES = re.findall(r"^### (Rule \d+.*?)\n(.*?)(?=\n### |\n## )", TEXT, re.DOTALL | re.MULTILINE)


def floors() -> list[list[str]]:
    """The rooms of the import contract, floor by floor, those that are optional in parentheses."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    (layers,) = (contract["layers"] for contract in contracts if contract["type"] == "layers")
    return [[room.strip() for room in layer.split("|")] for layer in layers]


def exists(room: str) -> bool:
    return (SOURCE / f"{room}.py").exists() or (SOURCE / room / "__init__.py").exists()


def test_the_floors_are_those_of_the_contract() -> None:
    table = TABLES["floor", "rooms", "what is in them"]
    assert [codes(rooms) for _, rooms, _ in table] == floors()
    assert [int(floor) for floor, _, _ in table] == list(reversed(range(len(table))))


def test_a_room_is_in_parentheses_as_long_as_it_is_not_built() -> None:
    for room in (room for rooms in floors() for room in rooms):
        assert exists(room.strip("()")) is not room.startswith("("), f"{room}: say so in pyproject.toml and on the page"


def test_every_room_has_its_place() -> None:
    built = {path.stem for path in SOURCE.iterdir() if (path.suffix == ".py" or (path / "__init__.py").exists())}
    on_a_floor = {room.strip("()") for rooms in floors() for room in rooms}
    assert built - on_a_floor == {"__init__", "testing"}


def test_every_name_on_the_way_of_a_call_is_in_the_code() -> None:
    (way,) = (block.text for block in blocks(PAGE) if "Router.call_tool" in block.text)
    source = "\n".join(path.read_text(encoding="utf-8") for path in SOURCE.rglob("*.py"))
    steps = [re.split(r"  +", line.strip())[0] for line in way.splitlines()]
    names = [name for step in steps for name in re.findall(r"[A-Za-z_][\w.]*", step.partition("(")[0])]
    assert len(names) >= 14
    for name in names:
        for part in name.split("."):
            known = rf"^\s*(?:async def|def|class) {part}\b" if not exists(part) else r"\A"
            assert re.search(known, source, re.MULTILINE), name


def test_there_are_thirteen_rules_each_with_tests_or_what_is_open() -> None:
    assert [title.split(":")[0] for title, _ in RULES] == [f"Rule {number}" for number in range(1, 14)]
    for title, text in RULES:
        assert "`tests/" in text or "- Open: " in text, title


@pytest.mark.parametrize(("title", "text"), RULES, ids=[title.split(":")[0] for title, _ in RULES])
def test_the_tests_of_a_rule_are_there(title: str, text: str) -> None:
    for item in re.split(r"^- ", text, flags=re.MULTILINE)[1:]:
        if item.startswith("Open: "):
            continue
        path, *names = codes(item)
        assert (ROOT / path).is_file(), path
        defined = (ROOT / path).read_text(encoding="utf-8")
        for name in names:
            assert f"def {name}(" in defined, f"{path}: {name}"


def test_no_test_file_is_named_that_is_not_there() -> None:
    for path in re.findall(r"`(tests/[\w/.]+)`", TEXT):
        assert Path(ROOT / path).exists(), path
