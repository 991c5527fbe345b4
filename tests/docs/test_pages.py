"""What the pages show runs, and what they name is there."""

from __future__ import annotations

import ast
import asyncio
import code
import contextlib
import inspect
import io
import itertools
import re
import shlex
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from pages import PAGES, ROOT, anchors, blocks, links, prose

from recloser.cli.app import app

TYPED = [page for page in PAGES if "python -m asyncio" in prose(page)]
RUN = [page for page in PAGES if any(block.mark == "run" for block in blocks(page))]


def run(page: Path) -> None:
    """Run a page's marked blocks in one namespace and one event loop, as `python -m asyncio` does.

    One with `asyncio.run` or `run_virtual` in it is a program of its own, and has no loop around it. What a block
    prints must be what the block after it says, if that is marked `prints`.
    """
    main = types.ModuleType("__main__")
    with asyncio.Runner() as runner:
        for block, following in itertools.pairwise([*blocks(page), None]):
            assert block is not None
            if block.mark != "run":
                continue
            assert block.language == "python", block
            # Line breaks in front let a traceback name the line of the page.
            compiled = compile(
                "\n" * (block.line - 1) + block.text,
                str(page),
                "exec",
                flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT,
                dont_inherit=True,
            )
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                if re.search(r"\b(asyncio\.run|run_virtual)\(", block.text):
                    exec(compiled, main.__dict__)
                else:
                    runner.run(within_the_loop(compiled, main.__dict__))
            if following is not None and following.mark == "prints":
                assert out.getvalue().rstrip("\n") == following.text, str(following)


async def within_the_loop(compiled: types.CodeType, names: dict[str, Any]) -> None:
    waiting = eval(compiled, names)
    if inspect.iscoroutine(waiting):
        await waiting


@pytest.mark.processes
@pytest.mark.parametrize("page", RUN, ids=lambda page: page.name)
def test_the_blocks_that_a_page_lets_run_do_what_it_says(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    # A page says `python`, and means the one that has recloser.
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
    run(page)


class Typed(code.InteractiveConsole):
    """Takes lines as `python -m asyncio` does, and keeps why it would refuse them."""

    def __init__(self) -> None:
        super().__init__()
        self.compile.compiler.flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        self.refused: list[str] = []

    def runcode(self, code: types.CodeType) -> None:
        pass

    def showsyntaxerror(self, *_arguments: Any, **_options: Any) -> None:
        self.refused.append(str(sys.exc_info()[1]))


@pytest.mark.parametrize("page", TYPED, ids=lambda page: page.name)
def test_the_blocks_of_a_page_can_be_pasted_line_by_line_where_it_says_so(page: Path) -> None:
    for block in blocks(page):
        if block.mark == "run":
            console = Typed()
            for line in (*block.text.splitlines(), ""):
                console.push(line)
            assert (console.refused, console.buffer) == ([], []), str(block)


def test_the_pages_with_whole_programs_are_run() -> None:
    assert {page.name for page in RUN} >= {"README.md", "quickstart.md", "observability.md"}
    assert "quickstart.md" in {page.name for page in TYPED}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_mark_means_something_and_stands_before_a_block(page: Path) -> None:
    marks = re.findall(r"^<!-- (run|prints) -->$", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert marks == [block.mark for block in blocks(page) if block.mark in ("run", "prints")]
    for before, block in itertools.pairwise(blocks(page)):
        assert block.mark != "prints" or before.mark == "run", str(block)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_python_block_can_be_compiled(page: Path) -> None:
    for block in blocks(page):
        if block.language == "python":
            compile(block.text, str(block), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name}: {link}"
        assert target.is_relative_to(ROOT), f"{page.name}: {link}"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), f"{page.name}: {link}"


def commands() -> list[str]:
    """Every line of a shell block of any page."""
    shells = [block for page in PAGES for block in blocks(page) if block.language in ("bash", "sh", "console")]
    lines = [line for block in shells for line in block.text.splitlines()]
    return [line for line in lines if line.strip() and not line.startswith("#")]


def named(command: str) -> list[str]:
    """What of a command is not there: a make target, a file, a command of recloser."""
    words = shlex.split(command, comments=True)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    if words[0] == "make":
        targets = [word for word in words[1:] if "=" not in word]
        return [target for target in targets if not re.search(rf"^{target}:", makefile, re.MULTILINE)]
    missing = [word for word in words if re.match(r"(tests|benchmarks|examples|docs|src)/", word)]
    missing = [word for word in missing if not (ROOT / word.partition("::")[0]).exists()]
    if Path(words[0]).name == "recloser":
        known = {(each.callback.__name__ if each.callback else "") for each in app.registered_commands}
        known |= {str(each.name) for each in app.registered_groups}
        missing += [word for word in words[1:2] if not word.startswith("-") and word not in known]
    return missing


def test_every_command_names_what_is_there() -> None:
    assert commands()
    assert {command: missing for command in commands() if (missing := named(command))} == {}
