"""The first page shows what its script prints, and stays short."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from pages import ROOT, blocks

SCRIPT = ROOT / "docs" / "render_readme.py"
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.processes
def test_the_block_about_a_server_that_dies_is_what_the_script_prints(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text(README, encoding="utf-8")
    ran = subprocess.run([sys.executable, SCRIPT, page], capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == 0, ran.stderr
    normalised = runpy.run_path(str(SCRIPT))["normalised"]
    assert normalised(page.read_text(encoding="utf-8")) == normalised(README), "run: python docs/render_readme.py"


@pytest.mark.processes
def test_the_example_gets_an_answer(tmp_path: Path) -> None:
    (example,) = (block.text for block in blocks(ROOT / "README.md") if block.mark == "run")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    ran = subprocess.run(
        [sys.executable, "-c", example],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert json.loads(ran.stdout)["hits"][0]["title"] == "Deadline"


def test_the_first_screen_says_how_to_see_it_work() -> None:
    first = README.splitlines()[:20]
    assert "make demo" in "\n".join(first)
    assert "make test" in "\n".join(first)
    assert len(README.splitlines()) <= 160


def test_the_first_page_names_every_page_and_every_benchmark() -> None:
    scripts = [path for path in (ROOT / "benchmarks").glob("*.py") if "__main__" in path.read_text(encoding="utf-8")]
    for path in (*(ROOT / "docs").glob("*.md"), *scripts):
        assert str(path.relative_to(ROOT)) in README
