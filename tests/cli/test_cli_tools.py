"""`recloser tools`: one list of all tools."""

from __future__ import annotations

import json
from pathlib import Path

import mcp_types as types
import pytest

from recloser.cli import main
from recloser.cli.tools import hints
from support.commands import MISSING, server, write

pytestmark = pytest.mark.processes


def test_tools_are_listed_one_a_line_for_programs_that_read_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write(tmp_path, {"math": server("math"), "notes": server("notes", "--era", "legacy")})
    assert main(["tools", config]) == 0
    out, err = capsys.readouterr()
    listed = dict(line.split("\t") for line in out.splitlines())
    assert listed["math__add"] == "Add two numbers."
    assert listed["notes__add_note"] == "Add a note; doing it twice makes two."
    assert err == ""


def test_json_has_the_tools_in_the_form_of_the_protocol_and_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write(tmp_path, {"math": server("math"), "gone": MISSING})
    assert main(["tools", config, "--json"]) == 0
    out, err = capsys.readouterr()
    document = json.loads(out)
    tools = [types.Tool.model_validate(tool) for tool in document["tools"]]
    assert [tool.name for tool in tools] == ["math__add", "math__multiply", "math__sum_of_primes"]
    assert document["unavailable"]["gone"]["code"] == "cannot_start"
    assert "Warning: gone is not available" in err


def test_a_list_without_any_server_is_a_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tools", write(tmp_path, {"gone": MISSING})]) == 70
    out, err = capsys.readouterr()
    assert out == ""
    assert "gone is not available" in err


def test_a_configuration_without_servers_has_no_tools(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tools", write(tmp_path, {})]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "has any tools" in err


def test_the_configuration_is_found_in_the_working_directory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, {"math": server("math")})
    monkeypatch.chdir(tmp_path)
    assert main(["tools"]) == 0
    assert "math__add" in capsys.readouterr().out


def test_hints_are_told_in_words() -> None:
    def said(annotations: types.ToolAnnotations | None) -> str:
        return hints(types.Tool(name="t", input_schema={"type": "object"}, annotations=annotations))

    assert said(None) == ""
    assert said(types.ToolAnnotations(read_only_hint=True, idempotent_hint=True)) == "read-only"
    assert said(types.ToolAnnotations(idempotent_hint=True, destructive_hint=True)) == "idempotent, destructive"
