"""The reference page and the schema say what the code does."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from recloser.config import load, reference
from recloser.config.host_files import IGNORED, NOT_DONE, HostEntry
from recloser.config.schema import ONLY_IN_CODE, SERVER
from recloser.options import Server

ROOT = Path(__file__).parents[2]
EXAMPLES = re.findall(r"^```(json|toml)\n(.*?)^```$", reference.page(), re.DOTALL | re.MULTILINE)
ENVIRON = {"SEARCH_TOKEN": "token-123456", "RECLOSER_INPUT_SEARCH_TOKEN": "token-123456"}


def validate(data: Any) -> None:
    jsonschema.validate(data, reference.schema(), cls=jsonschema.Draft202012Validator)


def test_the_page_is_what_the_code_says() -> None:
    assert (ROOT / reference.PAGE).read_text(encoding="utf-8") == reference.page(), (
        "run: python -m recloser.config.reference write"
    )


def test_the_schema_is_what_the_code_says() -> None:
    assert json.loads((ROOT / reference.SCHEMA).read_text(encoding="utf-8")) == reference.schema(), (
        "run: python -m recloser.config.reference write"
    )
    jsonschema.Draft202012Validator.check_schema(reference.schema())


def test_there_is_an_example_of_each_form() -> None:
    assert [form for form, _ in EXAMPLES] == ["json", "json", "json", "toml"]


@pytest.mark.parametrize(("form", "text"), EXAMPLES)
def test_every_example_of_the_page_works(tmp_path: Path, form: str, text: str) -> None:
    path = tmp_path / f"mcp.{form}"
    path.write_text(text, encoding="utf-8")
    settings = load(path, environ=ENVIRON)
    assert {"files", "search"} <= {server.name for server in settings.servers}
    assert settings.notes == ()


@pytest.mark.parametrize(("form", "text"), EXAMPLES)
def test_every_example_fits_the_schema(tmp_path: Path, form: str, text: str) -> None:
    path = tmp_path / f"mcp.{form}"
    path.write_text(text, encoding="utf-8")
    validate(dict(reference_data(path)))


def reference_data(path: Path) -> Any:
    from recloser.config.reading import read

    return read(path).data


def test_the_schema_refuses_what_loading_refuses() -> None:
    for wrong in (
        {},
        {"mcpServers": {"a": {"comand": "x"}}},
        {"recloser": {"servers": {"a": {"retry": {"atempts": 1}}}}},
        {"recloser": {"defaults": {"url": "https://a.example"}}},
        {"recloser": {"names": "all"}},
    ):
        with pytest.raises(jsonschema.ValidationError):
            validate(wrong)


def test_the_schema_allows_references_for_numbers_and_words() -> None:
    validate({"recloser": {"names": "${N}", "servers": {"a": {"priority": "${P}", "lazy": "${L}", "era": "${E}"}}}})


def test_the_example_of_a_changed_name_is_true() -> None:
    assert load({"mcpServers": {"My files": {"command": "x"}}}).servers[0].name in reference.page()


def test_every_field_of_a_server_can_be_set_in_a_file_or_is_known_to_be_code_s_alone() -> None:
    assert {each.name for each in fields(Server)} == set(SERVER.model_fields) | ONLY_IN_CODE


def test_a_host_s_key_is_in_one_table_only() -> None:
    assert not set(IGNORED) & set(NOT_DONE)
    assert not (set(IGNORED) | set(NOT_DONE)) & set(HostEntry.model_fields)


def test_the_module_prints_and_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reference.main([]) == 0
    assert capsys.readouterr().out == reference.page()
    assert reference.main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == reference.schema()
    assert reference.main(["nonsense"]) == 64
    assert "usage" in capsys.readouterr().err
    monkeypatch.chdir(tmp_path)
    for path in (reference.PAGE, reference.SCHEMA):
        path.parent.mkdir(parents=True)
    assert reference.main(["write"]) == 0
    assert reference.PAGE.read_text(encoding="utf-8") == reference.page()
    assert json.loads(reference.SCHEMA.read_text(encoding="utf-8")) == reference.schema()


def test_the_module_can_be_run() -> None:
    ran = subprocess.run([sys.executable, "-m", "recloser.config.reference", "page"], capture_output=True, check=True)
    assert ran.stdout.decode() == reference.page()
