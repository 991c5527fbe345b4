"""What goes to stdout is for whoever reads it: JSON for programs in any encoding, and nothing that a terminal obeys."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import mcp_types as types
import pytest

from recloser.cli import check, output, tools
from recloser.cli.call import _as_text
from recloser.cli.chaos.running import _write
from recloser.cli.streams import lasting
from support.commands import on_a_terminal, recloser, write

EVIL = "a\x1b[2J\x1b]0;owned\x07b\rc\x9bd\u202ee\ttab"
HARMLESS = "ab\ncde\ttab"

SERVER = """
from mcp.server import MCPServer
server = MCPServer("evil")
@server.tool(description={evil!r})
async def say() -> str: return {evil!r}
server.run()
"""


@pytest.fixture
def evil(tmp_path: Path) -> str:
    script = tmp_path / "evil.py"
    script.write_text(SERVER.format(evil=EVIL), encoding="utf-8")
    return write(tmp_path, {"evil": {"command": sys.executable, "args": [str(script)]}})


def written(value: object, encoding: str, monkeypatch: pytest.MonkeyPatch) -> str:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    with lasting():
        output.document(value)
    return stream.buffer.getvalue().decode(encoding)


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "latin-1", "ascii", "utf-16"])
def test_a_document_is_json_in_whatever_encoding_stdout_has(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    value = {"Größe": ["日本 \U0001f600", "half \ud83d", EVIL, "\x7f\x00"]}
    text = written(value, encoding, monkeypatch)
    assert json.loads(text) == value
    assert not [sign for sign in text if sign != "\n" and not sign.isprintable()]
    assert ("Größe" in text) == encoding.startswith("utf")


def test_structured_content_is_json_in_whatever_encoding_stdout_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="cp1252"))
    (text,) = _as_text(types.CallToolResult(content=[], structured_content={"a": "日本"}))
    assert text.isascii()
    assert json.loads(text) == {"a": "日本"}


def test_a_report_with_half_a_character_in_it_is_json_too(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    assert _write({"a": "half \ud83d"}, path) is None
    assert json.loads(path.read_text(encoding="utf-8")) == {"a": "half \ud83d"}


@pytest.mark.thorough
@pytest.mark.processes
def test_a_terminal_obeys_nothing_that_a_server_has_written(evil: str) -> None:
    code, seen = on_a_terminal("call", evil, "say")
    assert code == 0
    assert "ab\r\ncde\ttab\r\n" in seen
    for sequence in ("\x1b[2J", "\x1b]0", "owned", "\x07", "\x9b", "\u202e"):
        assert sequence not in seen


@pytest.mark.thorough
@pytest.mark.processes
def test_a_program_gets_what_a_server_has_answered_whole(evil: str) -> None:
    done = recloser("call", evil, "say")
    assert done.stdout == f"{EVIL}\n".replace("\r", "\n")  # as text is read


@pytest.mark.parametrize("person", [True, False])
def test_a_description_is_one_cell_that_nothing_obeys(
    person: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(output, "on_terminal", lambda: person)
    listed = [
        types.Tool(name="one\x1b[2J\tx", description=f" \n \x1b[2J\n{EVIL}", input_schema={"type": "object"}),
        types.Tool(name="two", description="\x1b[2J", input_schema={"type": "object"}),
    ]
    tools._show(listed)
    out = capsys.readouterr().out
    if person:
        assert [line.split() for line in out.splitlines()[1:]] == [["one", "x", "ab"], ["two"]]
    else:
        assert out == "one x\tab\ntwo\t\n"


def test_a_remark_is_nothing_that_a_terminal_obeys(capsys: pytest.CaptureFixture[str]) -> None:
    output.warn(EVIL)
    assert capsys.readouterr().err == f"Warning: {HARMLESS}\n".expandtabs()


# --- the table of `check`


def reported(name: str) -> check.Report:
    return check.Report(
        name=name,
        state="ready",
        transport="stdio",
        protocol_version="2026-07-28",
        era="modern",
        tools=12,
        resources=100,
        prompts=0,
        seconds_to_ready=12.25,
    )


@pytest.fixture
def shown_at(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., list[str]]:
    def at(width: int, *names: str) -> list[str]:
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setattr(output, "on_terminal", lambda: True)
        check._show([reported(name) for name in names])
        return capsys.readouterr().out.splitlines()

    return at


LONG = ("company-knowledge-base-production", "company-knowledge-base-staging")


@pytest.mark.parametrize("width", [20, 40, 80, 100, 120])
def test_check_cuts_no_name_and_no_figure_however_narrow_the_terminal_is(
    width: int, shown_at: Callable[..., list[str]]
) -> None:
    lines = shown_at(width, *LONG)
    assert all(len(line) <= width for line in lines)
    joined = " ".join(lines) if width >= 40 else "".join("".join(lines).split())
    for text in (*LONG, "ready", "2026-07-28", "(modern)", "12.25 s", "100"):
        assert (text if width >= 40 else text.replace(" ", "")) in joined


def test_check_breaks_its_table_before_it_gives_it_up(shown_at: Callable[..., list[str]]) -> None:
    assert len(shown_at(100, "math", "My files")) == 3
    assert [line.split() for line in shown_at(80, "math", "My files")][2] == [
        *("math", "ready", "stdio", "2026-07-28", "12", "100", "0", "12.25", "s")
    ]
    assert shown_at(60, "math")[:3] == ["math", "  ready", "  Transport: stdio"]
