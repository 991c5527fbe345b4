"""What the speed benchmarks make of their samples: slopes, growth, and what counts as over a limit."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted(path.stem for path in (ROOT / "benchmarks").glob("[a-z]*.py"))
NO_BENCHMARKS = {"fixtures", "sick"}


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Import benchmarks as they import each other when they are run: from their own directory."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    before = set(sys.modules)

    def by_name(name: str) -> ModuleType:
        return importlib.import_module(name)

    yield by_name
    for name in set(sys.modules) - before:
        if str(ROOT / "benchmarks") in str(getattr(sys.modules[name], "__file__", None)):
            del sys.modules[name]


def pieces(*sizes: float, tasks: float = 5) -> list[dict[str, float]]:
    return [
        {"calls": 1000 * number, "bytes": size, "tasks": tasks, "fds": 9} for number, size in enumerate(sizes, start=1)
    ]


def test_a_slope_is_that_of_the_line(load: Any) -> None:
    soak = load("soak")
    assert soak.slope([(0, 1), (1, 3), (2, 5)]) == pytest.approx(2)
    assert soak.slope([(1, 1)]) == 0
    assert soak.slope([(1, 1), (1, 2)]) == 0


def test_what_grows_is_told_and_the_warming_up_is_left_out(load: Any) -> None:
    soak = load("soak")
    assert soak.grown(pieces(900, 9, 9, 9, 9, 9))["bytes_per_1000_calls"] == 0
    assert soak.grown(pieces(0, 0, 0, 100, 200, 300))["bytes_per_1000_calls"] == pytest.approx(100)
    more = pieces(1, 1, 1, 1) + pieces(1, 1, 1, 1, tasks=9)
    assert soak.grown(more)["tasks"] == pytest.approx(4)


def test_a_ratio_is_over_its_limit_only_beyond_the_slack(load: Any) -> None:
    check = load("_check")
    document = {"ratios": {"a": 1.1, "b": 1.3, "c": 9.0}, "limits": {"a": 1.0, "b": 1.0}}
    assert check.over(document) == {"b": (1.3, 1.0)}
    assert check.over({"ratio": 2.0, "limit": 1.2}) == {"ratio": (2.0, 1.2)}
    assert check.over({"ratio": 1.2, "limit": 1.2}) == {}


def test_what_misses_twice_fails_and_what_misses_once_does_not(
    load: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    check = load("_check")
    bad, good = {"ratios": {"a": 2.0}, "limits": {"a": 1.0}}, {"ratios": {"a": 0.5}, "limits": {"a": 1.0}}
    answers = iter([bad, good])
    monkeypatch.setattr(check, "measured", lambda _name: next(answers))
    assert check.main(("catalog",)) == 0
    monkeypatch.setattr(check, "measured", lambda _name: bad)
    assert check.main(("catalog",)) == 1
    assert "a 2.000 > 1" in capsys.readouterr().out
    assert check.main(("catalog",), slack=2.5) == 0


def test_what_is_checked_is_there(load: Any) -> None:
    check = load("_check")
    assert set(check.CHECKS) <= set(SCRIPTS)
    assert set(check.LONG) <= set(check.CHECKS)


def test_a_document_says_whether_its_limits_were_kept(load: Any, capsys: pytest.CaptureFixture[str]) -> None:
    many = load("_many")
    assert many.conclude({"a": 1.0, "b": 7.0}, {"a": 1.0}, ["a line"], as_json=True, more=1) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["passed"], document["more"]) == (True, 1)
    assert many.conclude({"a": 1.5}, {"a": 1.0}, ["a line"], as_json=False) == 1
    assert "over its limit: a, 1.500 > 1" in capsys.readouterr().out


@pytest.mark.parametrize("name", [name for name in SCRIPTS if name not in NO_BENCHMARKS])
def test_a_benchmark_says_what_it_measures_and_how_to_run_it(load: Any, name: str) -> None:
    module = load(name)
    title, _, rest = module.__doc__.partition("\n")
    assert title.endswith(".")
    assert f"python benchmarks/{name}.py" in rest
